"""Writes that happen once: fenced by attempt and deduplicated by step, in the write's own transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from serve_app.domain.errors import StaleAttempt
from serve_app.domain.knowledge import WriteKey
from serve_app.knowledge.rows import to_text


@dataclass(frozen=True, slots=True)
class Write:
    """An open write transaction: its moment, and the chunks it removed, for the search index to follow."""

    connection: sqlite3.Connection
    now: datetime
    removed: list[int] = field(default_factory=list)


def fence(write: Write, key: WriteKey) -> None:
    """Refuse attempts below the highest seen of this task, with StaleAttempt; remember this one."""
    row = write.connection.execute(
        "SELECT attempt FROM fences WHERE task_id = ?", (key.task_id,)
    ).fetchone()
    if row and row["attempt"] > key.attempt:
        raise StaleAttempt(
            f"Attempt {key.attempt} of task {key.task_id} was replaced by attempt {row['attempt']}."
        )
    write.connection.execute(
        "INSERT INTO fences (task_id, attempt, raised_at) VALUES (?, ?, ?) "
        "ON CONFLICT (task_id) DO UPDATE SET attempt = excluded.attempt, raised_at = excluded.raised_at",
        (key.task_id, key.attempt, to_text(write.now)),
    )


def once(write: Write, key: WriteKey, apply: Callable[[], Any]) -> Any:
    """The JSON answer of `apply`, which runs only the first time that (task, step) comes."""
    fence(write, key)
    row = write.connection.execute(
        "SELECT answer FROM writes WHERE task_id = ? AND step = ?", (key.task_id, key.step)
    ).fetchone()
    if row:
        return json.loads(row["answer"])
    answer = apply()
    write.connection.execute(
        "INSERT INTO writes (task_id, step, attempt, answer, applied_at) VALUES (?, ?, ?, ?, ?)",
        (key.task_id, key.step, key.attempt, json.dumps(answer), to_text(write.now)),
    )
    return answer
