"""Domain objects as JSON: what a page, a hit, a conversation and an event look like to a client."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from serve_app.api.render import safe_html
from serve_app.domain.knowledge import Hit, Page
from serve_app.domain.people import Conversation, Principal
from serve_app.domain.ports import Ledger
from serve_app.domain.tasks import Task, TaskEvent, TaskStatus
from serve_app.tasks.wire import iso, status_object

_HIT_DEFAULT = ("page_id", "chunk_id", "title", "url", "text", "start", "end", "score", "heading")
_HIT_EXPLAIN = ("cosine", "lexical_rank", "semantic_rank", "quality", "freshness", "explain")


def plain(value: Any) -> Any:
    """JSON-ready: dataclasses as objects, times as ISO 8601 UTC, numbers that JSON has no word for as null."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value]


def with_html(result: Mapping[str, Any]) -> dict[str, Any]:
    """A task's result, with `response_html` beside its `response`."""
    response = result.get("response")
    shown = plain(result)
    if isinstance(response, str):
        shown["response_html"] = safe_html(response)
    return dict(shown)


def status(task: Task, position: int | None = None) -> dict[str, Any]:
    """The status object of contract section 3."""
    shown = plain(status_object(task, position))
    if task.status is TaskStatus.COMPLETED and task.result is not None:
        shown["result"] = with_html(shown["result"])
    return dict(shown)


async def status_now(ledger: Ledger, task: Task) -> dict[str, Any]:
    """The status object, with the place in the queue while the task waits."""
    queued = task.status is TaskStatus.QUEUED
    return status(task, await ledger.queue_position(task.id) if queued else None)


def event(task_event: TaskEvent) -> dict[str, Any]:
    """An event of contract section 5."""
    shown = plain(task_event.wire())
    if task_event.type == "task_completed" and isinstance(shown.get("result"), dict):
        shown["result"] = with_html(shown["result"])
    return dict(shown)


def page_item(page: Page) -> dict[str, Any]:
    """A page in a listing: all but its text."""
    shown = plain(page)
    del shown["clean_markdown"]
    return dict(shown)


def hit(found: Hit, explain: bool) -> dict[str, Any]:
    names = _HIT_DEFAULT + (_HIT_EXPLAIN if explain else ())
    return {name: plain(getattr(found, name)) for name in names}


def conversation(talk: Conversation) -> dict[str, Any]:
    """With its messages; answers also as safe HTML."""
    shown = plain(talk)
    for message in shown["messages"]:
        if message["role"] == "assistant":
            message["html"] = safe_html(message["text"])
    return dict(shown)


def conversation_item(talk: Conversation) -> dict[str, Any]:
    shown = plain(talk)
    del shown["messages"]
    return dict(shown)


def whoami(principal: Principal) -> dict[str, Any]:
    person = {"id": principal.user_id, "name": principal.name, "role": principal.role.value}
    return {"user": person, "token_id": principal.token_id}
