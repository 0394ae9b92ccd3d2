"""Rows of the SQL ledger to values of the domain and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from sqlite3 import Row
from typing import Any

from serve_app.domain.people import Conversation, Message, Role, TokenInfo, User
from serve_app.domain.tasks import Schedule, Task, TaskEvent, TaskStatus
from serve_app.tasks.store import ScheduleRow, TokenRow, microseconds, moment

TASK_COLUMNS = tuple(field.name for field in fields(Task))
_TIMES = frozenset({"created_at", "not_before", "started_at", "finished_at", "expires_at"})
_JSON = frozenset({"args", "counts", "result", "error"})
_FLAGS = frozenset({"expired", "cancel_requested"})


def task_values(task: Task) -> dict[str, Any]:
    return {name: _to_sql(name, getattr(task, name)) for name in TASK_COLUMNS}


def task_from(row: Row) -> Task:
    values = {name: _from_sql(name, row[name]) for name in TASK_COLUMNS}
    return Task(**{**values, "status": TaskStatus(row["status"])})


def event_values(event: TaskEvent) -> tuple[Any, ...]:
    data = to_json(event.data)
    return event.task_id, event.seq, event.attempt, event.type, data, microseconds(event.at)


def event_from(row: Row, conversation_id: str | None) -> TaskEvent:
    return TaskEvent(
        task_id=row["task_id"],
        seq=row["seq"],
        attempt=row["attempt"],
        type=row["type"],
        data=json.loads(row["data"]),
        at=moment(row["at"]),
        conversation_id=conversation_id,
    )


def schedule_values(row: ScheduleRow) -> tuple[Any, ...]:
    schedule = row.schedule
    return (
        schedule.name,
        schedule.cron,
        schedule.kind,
        to_json(schedule.args),
        schedule.description,
        int(schedule.enabled),
        microseconds(row.since),
        _time(schedule.last_fired_at),
        schedule.last_task_id,
    )


def schedule_from(row: Row) -> ScheduleRow:
    schedule = Schedule(
        name=row["name"],
        cron=row["cron"],
        kind=row["kind"],
        args=json.loads(row["args"]),
        description=row["description"],
        enabled=bool(row["enabled"]),
        last_fired_at=_moment(row["last_fired_at"]),
        last_task_id=row["last_task_id"],
    )
    return ScheduleRow(schedule, moment(row["since"]))


def user_from(row: Row) -> User:
    return User(row["id"], row["name"], Role(row["role"]), moment(row["created_at"]))


def token_from(row: Row) -> TokenRow:
    info = TokenInfo(
        id=row["id"],
        user_id=row["user_id"],
        name=row["name"],
        created_at=moment(row["created_at"]),
        last_used_at=_moment(row["last_used_at"]),
    )
    return TokenRow(info, row["hash"])


def conversation_from(row: Row, messages: tuple[Message, ...] = ()) -> Conversation:
    return Conversation(
        id=row["id"],
        user_id=row["user_id"],
        title=row["title"],
        created_at=moment(row["created_at"]),
        updated_at=moment(row["updated_at"]),
        messages=messages,
        message_count=row["message_count"],
    )


def message_from(row: Row) -> Message:
    return Message(
        role=row["role"],
        text=row["text"],
        at=moment(row["at"]),
        task_id=row["task_id"],
        extra=json.loads(row["extra"]),
    )


def to_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _to_sql(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return microseconds(value)
    if name in _JSON:
        return to_json(value)
    return int(value) if name in _FLAGS else value


def _from_sql(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return moment(value)
    if name in _JSON:
        return json.loads(value)
    return bool(value) if name in _FLAGS else value


def _time(at: datetime | None) -> int | None:
    return None if at is None else microseconds(at)


def _moment(value: int | None) -> datetime | None:
    return None if value is None else moment(value)
