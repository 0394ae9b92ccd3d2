"""Conversations: begun and continued by tasks, read and kept in order by people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from serve_app.domain.errors import BadRequest, NotFound
from serve_app.domain.people import Conversation, Message, Principal
from serve_app.domain.tasks import Task, TaskSpec
from serve_app.tasks.store import (
    AddMessage,
    Change,
    DeleteConversation,
    InsertConversation,
    RenameConversation,
    TaskStore,
    cursor_of,
    key_of,
)

HISTORY_TURNS = 12
HISTORY_CHARS = 4_000
MAX_MESSAGES = 1_000  # shown of one conversation, newest
MAX_PAGE = 200
_TITLE_CHARS = 80

# Kinds that answer a person -> the argument that holds their words.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "chat": ("message", "query"),
    "multiagent": ("query", "message"),
    "research": ("topic",),
    "analyze": ("urls",),
}


class Conversations:
    """Reads and changes conversations; every call with a `Principal` answers NotFound for others' ones."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store

    async def join(
        self, spec: TaskSpec, task_id: str, conversation_id: str, now: datetime
    ) -> tuple[str | None, tuple[Change, ...]]:
        """The conversation a new task belongs to, and what is written for it.

        A kind that answers a person begins one (as `conversation_id`) when the spec names none. Raises
        NotFound for an unknown one or somebody else's.
        """
        words = _words(spec)
        changes: list[Change] = []
        if spec.conversation_id is not None:
            known = await self._store.conversation(spec.conversation_id, 1)
            if known is None or known.user_id != spec.user_id:
                raise _unknown()
            conversation_id = spec.conversation_id
        elif spec.kind in _WORDS:
            talk = Conversation(conversation_id, spec.user_id, _title(words), now, now)
            changes.append(InsertConversation(talk))
        else:
            return None, ()
        if words:
            changes.append(AddMessage(conversation_id, Message("user", words, now, task_id)))
        return conversation_id, tuple(changes)

    async def history(self, task: Task) -> tuple[tuple[str, str], ...]:
        """(role, text) of the turns before this task, oldest first: the last ones that fit the bounds."""
        if task.conversation_id is None:
            return ()
        turns = await self._store.turns_before(task.conversation_id, task.id, HISTORY_TURNS)
        kept: list[tuple[str, str]] = []
        room = HISTORY_CHARS
        for message in reversed(turns):
            room -= len(message.text)
            if room < 0:
                break
            kept.append((message.role, message.text))
        return tuple(reversed(kept))

    def answer(self, task: Task, result: Mapping[str, Any], now: datetime) -> tuple[Change, ...]:
        """What a result adds to its conversation."""
        text = result.get("response")
        if task.conversation_id is None or not isinstance(text, str):
            return ()
        extra = {name: value for name, value in result.items() if name != "response"}
        message = Message("assistant", text, now, task.id, extra)
        return (AddMessage(task.conversation_id, message),)

    async def list(
        self, who: Principal, limit: int, cursor: str | None
    ) -> tuple[list[Conversation], str | None]:
        limit = max(1, min(MAX_PAGE, limit))
        found = await self._store.conversations(who.user_id, limit + 1, key_of(cursor))
        page = found[:limit]
        more = len(found) > limit
        return page, cursor_of((page[-1].updated_at, page[-1].id)) if more else None

    async def get(self, conversation_id: str, who: Principal) -> Conversation:
        talk = await self._store.conversation(conversation_id, MAX_MESSAGES)
        if talk is None or not who.may_see(talk.user_id):
            raise _unknown()
        return talk

    async def rename(self, conversation_id: str, who: Principal, title: str) -> Conversation:
        title = _title(title)
        if not title:
            raise BadRequest("The title of a conversation cannot be empty.", field="title")
        talk = await self.get(conversation_id, who)
        await self._store.apply(RenameConversation(conversation_id, title))
        return replace(talk, title=title)

    async def delete(self, conversation_id: str, who: Principal) -> None:
        await self.get(conversation_id, who)
        await self._store.apply(DeleteConversation(conversation_id))


def _words(spec: TaskSpec) -> str:
    """What the person said, as kept in the conversation."""
    for name in _WORDS.get(spec.kind, ()):
        if value := spec.args.get(name):
            return value if isinstance(value, str) else "\n".join(str(item) for item in value)
    return ""


def _title(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _TITLE_CHARS else line[: _TITLE_CHARS - 1].rstrip() + "…"


def _unknown() -> NotFound:
    return NotFound("There is no such conversation.")
