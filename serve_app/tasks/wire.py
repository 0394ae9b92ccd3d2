"""Tasks as plain JSON: the status object of contract section 3, and the check that data is plain at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from serve_app.domain.errors import BadRequest, TooLarge
from serve_app.domain.tasks import Task


def status_object(task: Task, position: int | None = None) -> dict[str, Any]:
    """What a client sees of a task. `position` counts from 1, while it is queued."""
    error = task.error or {}
    status: dict[str, Any] = {
        "task_id": task.id,
        "kind": task.kind,
        "status": task.status.value,
        "detail": task.detail,
        "progress": task.progress,
        "counts": dict(task.counts),
        "message": task.message,
        "attempt": task.attempt,
        "queue": task.queue,
        "user_id": task.user_id,
        "conversation_id": task.conversation_id,
        "parent_id": task.parent_id,
        "created_at": iso(task.created_at),
        "started_at": iso(task.started_at),
        "finished_at": iso(task.finished_at),
        "retry_at": iso(task.not_before),
        "expires_at": iso(task.expires_at),
        "result": None if task.result is None else dict(task.result),
        "expired": task.expired,
        "error": error.get("error"),
        "error_code": error.get("code"),
        "last_seq": task.last_seq,
    }
    if position is not None:
        status["position"] = position
    return status


def iso(at: datetime | None) -> str | None:
    """ISO 8601, UTC, whole microseconds, always the same length."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def plain(data: Mapping[str, Any], what: str, limit: int) -> dict[str, Any]:
    """A copy of `data` as JSON keeps it. Raises BadRequest for what is not JSON, TooLarge over `limit` bytes."""
    try:
        # Half of a surrogate pair is no character: encoding refuses it, as every store would.
        text = json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise BadRequest(f"The {what} cannot be written as JSON: {error}.", field=what) from error
    if len(text) > limit:
        raise TooLarge(
            f"The {what} has {len(text)} bytes of JSON; at most {limit} are kept.", field=what
        )
    copy: dict[str, Any] = json.loads(text)
    return copy
