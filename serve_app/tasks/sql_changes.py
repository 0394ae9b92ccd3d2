"""How each `Change` is written in SQL. Runs within a transaction of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from serve_app.domain.errors import Conflict, StaleAttempt
from serve_app.tasks import store as s
from serve_app.tasks.rows import (
    TASK_COLUMNS,
    event_values,
    schedule_values,
    task_values,
    to_json,
)

# What a task is asked to do never changes; the rest moves with its state.
_FIXED = {"id", "kind", "args", "user_id", "queue", "created_at", "conversation_id", "parent_id"}
_MOVING = tuple(name for name in TASK_COLUMNS if name not in _FIXED | {"idempotency_key"})
_INSERT_TASK = (
    f"INSERT INTO tasks ({', '.join(TASK_COLUMNS)}) "  # noqa: S608 - names of our own columns
    f"VALUES ({', '.join(':' + name for name in TASK_COLUMNS)})"
)
_SAVE_TASK = (
    f"UPDATE tasks SET {', '.join(f'{name} = :{name}' for name in _MOVING)} "  # noqa: S608
    "WHERE id = :id AND status = :was_status AND attempt = :was_attempt"
)


def write(connection: sqlite3.Connection, change: s.Change) -> None:
    """Raises Conflict or StaleAttempt as the change says."""
    try:
        _WRITERS[type(change)](connection, change)
    except sqlite3.IntegrityError as error:
        raise Conflict(
            f"The ledger holds this already or refers to it no more ({error})."
        ) from error


def _insert_task(connection: sqlite3.Connection, change: s.InsertTask) -> None:
    task = change.task
    connection.execute(_INSERT_TASK, task_values(task))
    if task.idempotency_key is not None:
        connection.execute(
            "INSERT INTO idempotency_keys (user_id, idempotency_key, task_id) VALUES (?, ?, ?)",
            (task.user_id, task.idempotency_key, task.id),
        )


def _save_task(connection: sqlite3.Connection, change: s.SaveTask) -> None:
    values = task_values(change.task)
    fence = {"was_status": change.status.value, "was_attempt": change.attempt}
    if connection.execute(_SAVE_TASK, values | fence).rowcount != 1:
        raise StaleAttempt(f"Task {change.task.id} has moved on since.")


def _append_events(connection: sqlite3.Connection, change: s.AppendEvents) -> None:
    connection.executemany(
        "INSERT INTO events (task_id, seq, attempt, type, data, at) VALUES (?, ?, ?, ?, ?, ?)",
        [event_values(event) for event in change.events],
    )


def _expire_results(connection: sqlite3.Connection, change: s.ExpireResults) -> None:
    ids = [(task_id,) for task_id in change.task_ids]
    connection.executemany(
        "UPDATE tasks SET result = NULL, expired = 1 WHERE id = ? AND expires_at IS NOT NULL", ids
    )
    connection.executemany(
        "DELETE FROM events WHERE task_id = ?1 "
        "AND seq < (SELECT last_seq FROM tasks WHERE id = ?1 AND expired = 1)",
        ids,
    )
    connection.executemany(
        'UPDATE events SET data = \'{"result":null,"expired":true}\' '
        "WHERE task_id = ? AND type = 'task_completed'",
        ids,
    )


def _delete_tasks(connection: sqlite3.Connection, change: s.DeleteTasks) -> None:
    ids = [(task_id,) for task_id in change.task_ids]
    connection.executemany("DELETE FROM tasks WHERE id = ? AND finished_at IS NOT NULL", ids)


def _save_limit(connection: sqlite3.Connection, change: s.SaveLimit) -> None:
    connection.execute(
        "INSERT INTO queue_limits (queue, at_once) VALUES (?, ?) "
        "ON CONFLICT (queue) DO UPDATE SET at_once = excluded.at_once",
        (change.queue, change.limit),
    )


def _save_schedule(connection: sqlite3.Connection, change: s.SaveSchedule) -> None:
    connection.execute(
        "INSERT INTO schedules (name, cron, kind, args, description, enabled, since, "
        "last_fired_at, last_task_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, kind = excluded.kind, "
        "args = excluded.args, description = excluded.description, enabled = excluded.enabled, "
        "since = excluded.since, last_fired_at = excluded.last_fired_at, "
        "last_task_id = excluded.last_task_id",
        schedule_values(change.row),
    )


def _fire(connection: sqlite3.Connection, change: s.Fire) -> None:
    connection.execute(
        "INSERT INTO fired (name, fire_at) VALUES (?, ?)",
        (change.name, s.microseconds(change.fire_at)),
    )


def _forget_firings(connection: sqlite3.Connection, change: s.ForgetFirings) -> None:
    connection.execute("DELETE FROM fired WHERE fire_at < ?", (s.microseconds(change.before),))


def _insert_user(connection: sqlite3.Connection, change: s.InsertUser) -> None:
    user = change.user
    connection.execute(
        "INSERT INTO users (id, name, role, created_at) VALUES (?, ?, ?, ?)",
        (user.id, user.name, user.role.value, s.microseconds(user.created_at)),
    )


def _delete_user(connection: sqlite3.Connection, change: s.DeleteUser) -> None:
    connection.execute("DELETE FROM conversations WHERE user_id = ?", (change.user_id,))
    connection.execute("DELETE FROM users WHERE id = ?", (change.user_id,))


def _insert_token(connection: sqlite3.Connection, change: s.InsertToken) -> None:
    info = change.row.info
    connection.execute(
        "INSERT INTO tokens (id, user_id, name, hash, created_at) VALUES (?, ?, ?, ?, ?)",
        (info.id, info.user_id, info.name, change.row.hash, s.microseconds(info.created_at)),
    )


def _delete_token(connection: sqlite3.Connection, change: s.DeleteToken) -> None:
    connection.execute("DELETE FROM tokens WHERE id = ?", (change.token_id,))


def _touch_tokens(connection: sqlite3.Connection, change: s.TouchTokens) -> None:
    connection.executemany(
        "UPDATE tokens SET last_used_at = ? WHERE id = ?",
        [(s.microseconds(at), token_id) for token_id, at in change.uses.items()],
    )


def _insert_conversation(connection: sqlite3.Connection, change: s.InsertConversation) -> None:
    talk = change.conversation
    connection.execute(
        "INSERT INTO conversations (id, user_id, title, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?)",
        (
            talk.id,
            talk.user_id,
            talk.title,
            s.microseconds(talk.created_at),
            s.microseconds(talk.updated_at),
        ),
    )


def _rename_conversation(connection: sqlite3.Connection, change: s.RenameConversation) -> None:
    connection.execute(
        "UPDATE conversations SET title = ? WHERE id = ?", (change.title, change.conversation_id)
    )


def _delete_conversation(connection: sqlite3.Connection, change: s.DeleteConversation) -> None:
    connection.execute("DELETE FROM conversations WHERE id = ?", (change.conversation_id,))


def _add_message(connection: sqlite3.Connection, change: s.AddMessage) -> None:
    message = change.message
    at = s.microseconds(message.at)
    known = connection.execute(
        "UPDATE conversations SET updated_at = ? WHERE id = ?", (at, change.conversation_id)
    )
    if known.rowcount == 0:
        return
    connection.execute(
        "INSERT INTO messages (conversation_id, n, role, text, at, task_id, extra) "
        "SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5, ?6 "
        "FROM messages WHERE conversation_id = ?1",
        (
            change.conversation_id,
            message.role,
            message.text,
            at,
            message.task_id,
            to_json(message.extra),
        ),
    )


_WRITERS: dict[type, Callable[[sqlite3.Connection, Any], None]] = {
    s.InsertTask: _insert_task,
    s.SaveTask: _save_task,
    s.AppendEvents: _append_events,
    s.ExpireResults: _expire_results,
    s.DeleteTasks: _delete_tasks,
    s.SaveLimit: _save_limit,
    s.SaveSchedule: _save_schedule,
    s.Fire: _fire,
    s.ForgetFirings: _forget_firings,
    s.InsertUser: _insert_user,
    s.DeleteUser: _delete_user,
    s.InsertToken: _insert_token,
    s.DeleteToken: _delete_token,
    s.TouchTokens: _touch_tokens,
    s.InsertConversation: _insert_conversation,
    s.RenameConversation: _rename_conversation,
    s.DeleteConversation: _delete_conversation,
    s.AddMessage: _add_message,
}
