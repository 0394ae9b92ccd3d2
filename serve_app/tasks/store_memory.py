"""The ledger in memory: the fake beside the real store, for tests and trials."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import singledispatchmethod
from typing import Any, TypeVar

from serve_app.domain.errors import BrainError, Conflict, StaleAttempt
from serve_app.domain.people import Conversation, Message, User
from serve_app.domain.tasks import Task, TaskEvent
from serve_app.tasks import store as s

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class MemoryTaskStore:
    """`TaskStore` in dictionaries. What it holds outlives `close`, as a file would."""

    def __init__(self) -> None:
        self._open = False
        self._undo: list[Callable[[], None]] = []
        self._tasks: dict[str, Task] = {}
        self._events: dict[str, tuple[TaskEvent, ...]] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._limits: dict[str, int] = {}
        self._schedules: dict[str, s.ScheduleRow] = {}
        self._fired: dict[tuple[str, datetime], bool] = {}
        self._users: dict[str, User] = {}
        self._tokens: dict[str, s.TokenRow] = {}
        self._talks: dict[str, Conversation] = {}

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def apply(self, *changes: s.Change) -> None:
        self._check_open()
        self._undo.clear()
        try:
            for change in changes:
                self._write(change)
        except BrainError:
            for undo in reversed(self._undo):
                undo()
            raise

    def _check_open(self) -> None:
        if not self._open:
            raise s.closed()

    def _put(self, table: dict[K, V], key: K, value: V) -> None:
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.__delitem__(key))
        table[key] = value

    def _drop(self, table: dict[K, V], keys: Iterable[K]) -> None:
        for key in list(keys):
            if key in table:
                before = table.pop(key)
                self._undo.append(lambda k=key, b=before: table.__setitem__(k, b))  # type: ignore[misc]

    def _insert(self, table: dict[K, V], key: K, value: V) -> None:
        if key in table:
            raise Conflict(f"The ledger holds {key!r} already.")
        self._put(table, key, value)

    @singledispatchmethod
    def _write(self, change: Any) -> None:
        raise TypeError(f"{type(change).__name__} is no change of the ledger")

    @_write.register
    def _(self, change: s.InsertTask) -> None:
        task = change.task
        self._insert(self._tasks, task.id, task)
        self._insert(self._events, task.id, ())
        if task.idempotency_key is not None:
            self._insert(self._keys, (task.user_id, task.idempotency_key), task.id)

    @_write.register
    def _(self, change: s.SaveTask) -> None:
        row = self._tasks.get(change.task.id)
        if row is None or (row.status, row.attempt) != (change.status, change.attempt):
            raise StaleAttempt(f"Task {change.task.id} has moved on since.")
        self._put(self._tasks, change.task.id, change.task)

    @_write.register
    def _(self, change: s.AppendEvents) -> None:
        for event in change.events:
            log = self._events.get(event.task_id)
            if log is None or any(event.seq == e.seq for e in log):
                raise Conflict(f"Event {event.seq} of {event.task_id} cannot be added.")
            bare = replace(event, conversation_id=None)
            self._put(self._events, event.task_id, (*log, bare))

    @_write.register
    def _(self, change: s.ExpireResults) -> None:
        for task_id in change.task_ids:
            task = self._tasks[task_id]
            if task.expires_at is None:
                continue
            self._put(self._tasks, task_id, replace(task, result=None, expired=True))
            gone = {"result": None, "expired": True}
            kept = tuple(
                replace(event, data=gone) if event.type == "task_completed" else event
                for event in self._events[task_id]
                if event.seq >= task.last_seq
            )
            self._put(self._events, task_id, kept)

    @_write.register
    def _(self, change: s.DeleteTasks) -> None:
        over = {t.id for t in self._tasks.values() if t.finished_at and t.id in change.task_ids}
        self._drop(self._tasks, over)
        self._drop(self._events, over)
        self._drop(self._keys, [k for k, task_id in self._keys.items() if task_id in over])

    @_write.register
    def _(self, change: s.SaveLimit) -> None:
        self._put(self._limits, change.queue, change.limit)

    @_write.register
    def _(self, change: s.SaveSchedule) -> None:
        bare = replace(change.row.schedule, next_fire_at=None)
        self._put(self._schedules, bare.name, replace(change.row, schedule=bare))

    @_write.register
    def _(self, change: s.Fire) -> None:
        self._insert(self._fired, (change.name, change.fire_at), True)

    @_write.register
    def _(self, change: s.ForgetFirings) -> None:
        self._drop(self._fired, [key for key in self._fired if key[1] < change.before])

    @_write.register
    def _(self, change: s.InsertUser) -> None:
        if any(change.user.name == user.name for user in self._users.values()):
            raise Conflict(f"There is a user named {change.user.name!r} already.")
        self._insert(self._users, change.user.id, change.user)

    @_write.register
    def _(self, change: s.DeleteUser) -> None:
        mine = [t.info.id for t in self._tokens.values() if t.info.user_id == change.user_id]
        self._drop(self._tokens, mine)
        talks = [talk.id for talk in self._talks.values() if talk.user_id == change.user_id]
        self._drop(self._talks, talks)
        self._drop(self._users, [change.user_id])

    @_write.register
    def _(self, change: s.InsertToken) -> None:
        if change.row.info.user_id not in self._users:
            raise Conflict("The user of this token is not there.")
        self._insert(self._tokens, change.row.info.id, change.row)

    @_write.register
    def _(self, change: s.DeleteToken) -> None:
        self._drop(self._tokens, [change.token_id])

    @_write.register
    def _(self, change: s.TouchTokens) -> None:
        for token_id, at in change.uses.items():
            if row := self._tokens.get(token_id):
                self._put(
                    self._tokens, token_id, replace(row, info=replace(row.info, last_used_at=at))
                )

    @_write.register
    def _(self, change: s.InsertConversation) -> None:
        bare = replace(change.conversation, messages=(), message_count=0)
        self._insert(self._talks, bare.id, bare)

    @_write.register
    def _(self, change: s.RenameConversation) -> None:
        if talk := self._talks.get(change.conversation_id):
            self._put(self._talks, talk.id, replace(talk, title=change.title))

    @_write.register
    def _(self, change: s.DeleteConversation) -> None:
        self._drop(self._talks, [change.conversation_id])

    @_write.register
    def _(self, change: s.AddMessage) -> None:
        if talk := self._talks.get(change.conversation_id):
            messages = (*talk.messages, change.message)
            talk = replace(
                talk,
                messages=messages,
                message_count=len(messages),
                updated_at=change.message.at,
            )
            self._put(self._talks, talk.id, talk)

    async def task(self, task_id: str) -> Task | None:
        self._check_open()
        return self._tasks.get(task_id)

    async def unfinished(self) -> list[Task]:
        active = [task for task in self._tasks.values() if not task.status.is_final]
        return sorted(active, key=lambda task: (task.created_at, task.id))

    async def tasks(self, query: s.TaskQuery) -> list[Task]:
        fitting = [
            task
            for task in self._tasks.values()
            if (query.user_id is None or task.user_id == query.user_id)
            and (query.status is None or task.status is query.status)
            and (query.queue is None or task.queue == query.queue)
            and (query.before is None or (task.created_at, task.id) < query.before)
        ]
        fitting.sort(key=lambda task: (task.created_at, task.id), reverse=True)
        return fitting[: query.limit]

    async def keyed_task(self, user_id: str, idempotency_key: str) -> Task | None:
        task_id = self._keys.get((user_id, idempotency_key))
        return None if task_id is None else self._tasks[task_id]

    async def events(self, task_id: str, after: int, limit: int) -> s.EventPage:
        self._check_open()
        task = self._tasks.get(task_id)
        if task is None:
            return s.EventPage((), ended=True)
        newer = [event for event in self._events[task_id] if event.seq > after][:limit]
        events = tuple(replace(e, conversation_id=task.conversation_id) for e in newer)
        reached = events[-1].seq if events else after
        return s.EventPage(events, ended=task.status.is_final and reached >= task.last_seq)

    async def expirable(self, now: datetime, limit: int) -> list[str]:
        ripe = [
            (task.expires_at, task.id)
            for task in self._tasks.values()
            if task.expires_at is not None and task.expires_at <= now and not task.expired
        ]
        return [task_id for _, task_id in sorted(ripe)[:limit]]

    async def finished_before(self, before: datetime, limit: int) -> list[str]:
        old = [
            (task.finished_at, task.id)
            for task in self._tasks.values()
            if task.finished_at is not None and task.finished_at < before
        ]
        return [task_id for _, task_id in sorted(old)[:limit]]

    async def limits(self) -> dict[str, int]:
        return dict(self._limits)

    async def schedules(self) -> list[s.ScheduleRow]:
        return [self._schedules[name] for name in sorted(self._schedules)]

    async def users(self) -> list[User]:
        return sorted(self._users.values(), key=lambda user: (user.created_at, user.id))

    async def tokens(self) -> list[s.TokenRow]:
        return sorted(self._tokens.values(), key=lambda row: (row.info.created_at, row.info.id))

    async def conversations(
        self, user_id: str, limit: int, before: s.Key | None
    ) -> list[Conversation]:
        fitting = [
            replace(talk, messages=())
            for talk in self._talks.values()
            if talk.user_id == user_id and (before is None or (talk.updated_at, talk.id) < before)
        ]
        fitting.sort(key=lambda talk: (talk.updated_at, talk.id), reverse=True)
        return fitting[:limit]

    async def conversation(self, conversation_id: str, limit: int) -> Conversation | None:
        talk = self._talks.get(conversation_id)
        return None if talk is None else replace(talk, messages=talk.messages[-limit:])

    async def turns_before(
        self, conversation_id: str, task_id: str, limit: int
    ) -> Sequence[Message]:
        talk = self._talks.get(conversation_id)
        if talk is None:
            return []
        messages = list(talk.messages)
        own = next((n for n, m in enumerate(messages) if m.task_id == task_id), 0)
        return messages[:own][-limit:]
