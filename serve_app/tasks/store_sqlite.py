"""The ledger in one SQLite file: one owner, one writing connection, one reading beside it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from serve_app.domain.errors import BrainError
from serve_app.domain.people import Conversation, Message, User
from serve_app.domain.tasks import Task, TaskStatus
from serve_app.storage import StoreLock, connect, migrate, next_epoch, store_errors, transaction
from serve_app.tasks import rows
from serve_app.tasks.sql_changes import write
from serve_app.tasks.store import (
    Change,
    EventPage,
    Key,
    ScheduleRow,
    TaskQuery,
    TokenRow,
    closed,
    microseconds,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
_Job = tuple[tuple[Change, ...], "asyncio.Future[None]"]

MIGRATIONS = "serve_app.tasks.sql"
_BATCH = 512  # writes in one commit
_LOCK_TIMEOUT = 60.0
_TALK = (
    "SELECT c.*, (SELECT count(*) FROM messages m WHERE m.conversation_id = c.id) "
    "AS message_count FROM conversations c"
)


class SqliteTaskStore:
    """`TaskStore` on a file. Writes are committed in groups: whatever arrived while the last commit ran.

    No window is waited for, so a lone write costs one fsync and a crowd shares it.
    """

    def __init__(self, path: Path, *, lock_timeout: float = _LOCK_TIMEOUT) -> None:
        self._path = path
        self._lock = StoreLock(path.with_suffix(".lock"))
        self._lock_timeout = lock_timeout
        self._threads: tuple[ThreadPoolExecutor, ThreadPoolExecutor] | None = None
        self._pending: list[_Job] = []
        self._flushing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        writing = ThreadPoolExecutor(1, thread_name_prefix="ledger-write")
        try:
            await asyncio.get_running_loop().run_in_executor(writing, self._take_over)
        except BaseException:
            writing.shutdown(wait=False)
            raise
        self._threads = writing, ThreadPoolExecutor(1, thread_name_prefix="ledger-read")

    def _take_over(self) -> None:
        self._lock.acquire(self._lock_timeout)
        try:
            self._writer = connect(self._path)
            migrate(self._writer, MIGRATIONS)
            self._epoch = next_epoch(self._writer)
            self._reader = connect(self._path, read_only=True)
        except BaseException:
            self._lock.release()
            raise

    async def close(self) -> None:
        """Finish what has been handed in, then let the next owner in."""
        if self._threads is None:
            return
        while self._flushing is not None:
            await self._flushing
        threads, self._threads = self._threads, None
        for thread in threads:
            thread.shutdown()
        self._reader.close()
        self._writer.close()
        self._lock.release()

    async def apply(self, *changes: Change) -> None:
        if self._threads is None:
            raise closed()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((changes, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(self._threads[0]))
        await future

    async def _flush(self, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            batch, self._pending = self._pending[:_BATCH], self._pending[_BATCH:]
            outcomes: Sequence[Exception | None]
            try:
                outcomes = await loop.run_in_executor(
                    thread, self._commit, [changes for changes, _ in batch]
                )
            except Exception as error:  # supervision: whatever broke, no caller may wait for ever
                log.exception("A write to the task ledger broke")
                outcomes = [error] * len(batch)
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.done():  # its caller was cancelled; the write stands
                    continue
                if outcome is None:
                    future.set_result(None)
                else:
                    future.set_exception(outcome)
        self._flushing = None

    def _commit(self, batch: Sequence[tuple[Change, ...]]) -> Sequence[Exception | None]:
        try:
            with (
                store_errors("write to the task ledger"),
                transaction(self._writer, epoch=self._epoch),
            ):
                return [self._write_one(changes) for changes in batch]
        except BrainError as error:  # nothing of the whole batch is on disk
            return [error] * len(batch)

    def _write_one(self, changes: tuple[Change, ...]) -> Exception | None:
        self._writer.execute("SAVEPOINT one")
        try:
            for change in changes:
                write(self._writer, change)
        except sqlite3.Error:  # the medium's trouble is everybody's
            raise
        except Exception as error:  # refused by its own condition or broken: the others stand
            if not isinstance(error, BrainError):
                log.exception("A write to the task ledger broke")
            self._writer.execute("ROLLBACK TO one")
            self._writer.execute("RELEASE one")
            return error
        self._writer.execute("RELEASE one")
        return None

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if self._threads is None:
            raise closed()

        def run() -> T:
            with store_errors("read the task ledger"):
                return query(self._reader)

        return await asyncio.get_running_loop().run_in_executor(self._threads[1], run)

    async def _rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return await self._read(lambda c: c.execute(sql, values).fetchall())

    async def task(self, task_id: str) -> Task | None:
        found = await self._rows("SELECT * FROM tasks WHERE id = ?", task_id)
        return rows.task_from(found[0]) if found else None

    async def unfinished(self) -> list[Task]:
        found = await self._rows(
            "SELECT * FROM tasks WHERE status IN ('queued', 'processing') ORDER BY created_at, id"
        )
        return [rows.task_from(row) for row in found]

    async def tasks(self, query: TaskQuery) -> list[Task]:
        wheres, values = _conditions(query)
        found = await self._rows(
            f"SELECT * FROM tasks{wheres} ORDER BY created_at DESC, id DESC LIMIT ?",  # noqa: S608
            *values,
            query.limit,
        )
        return [rows.task_from(row) for row in found]

    async def keyed_task(self, user_id: str, idempotency_key: str) -> Task | None:
        found = await self._rows(
            "SELECT t.* FROM idempotency_keys k JOIN tasks t ON t.id = k.task_id "
            "WHERE k.user_id = ? AND k.idempotency_key = ?",
            user_id,
            idempotency_key,
        )
        return rows.task_from(found[0]) if found else None

    async def events(self, task_id: str, after: int, limit: int) -> EventPage:
        def read(connection: sqlite3.Connection) -> EventPage:
            # The task is read first: one that ends in between is not said to have ended, and asked for again.
            task = connection.execute(
                "SELECT status, last_seq, conversation_id FROM tasks WHERE id = ?", (task_id,)
            ).fetchone()
            if task is None:
                return EventPage((), ended=True)
            found = connection.execute(
                "SELECT * FROM events WHERE task_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (task_id, after, limit),
            ).fetchall()
            events = tuple(rows.event_from(row, task["conversation_id"]) for row in found)
            reached = events[-1].seq if events else after
            over = TaskStatus(task["status"]).is_final and reached >= task["last_seq"]
            return EventPage(events, ended=over)

        return await self._read(read)

    async def expirable(self, now: datetime, limit: int) -> list[str]:
        found = await self._rows(
            "SELECT id FROM tasks WHERE expires_at <= ? AND expired = 0 ORDER BY expires_at LIMIT ?",
            microseconds(now),
            limit,
        )
        return [row["id"] for row in found]

    async def finished_before(self, before: datetime, limit: int) -> list[str]:
        found = await self._rows(
            "SELECT id FROM tasks WHERE finished_at < ? ORDER BY finished_at LIMIT ?",
            microseconds(before),
            limit,
        )
        return [row["id"] for row in found]

    async def limits(self) -> dict[str, int]:
        found = await self._rows("SELECT queue, at_once FROM queue_limits")
        return {row["queue"]: row["at_once"] for row in found}

    async def schedules(self) -> list[ScheduleRow]:
        found = await self._rows("SELECT * FROM schedules ORDER BY name")
        return [rows.schedule_from(row) for row in found]

    async def users(self) -> list[User]:
        found = await self._rows("SELECT * FROM users ORDER BY created_at, id")
        return [rows.user_from(row) for row in found]

    async def tokens(self) -> list[TokenRow]:
        found = await self._rows("SELECT * FROM tokens ORDER BY created_at, id")
        return [rows.token_from(row) for row in found]

    async def conversations(
        self, user_id: str, limit: int, before: Key | None
    ) -> list[Conversation]:
        at, last = (None, None) if before is None else (microseconds(before[0]), before[1])
        found = await self._rows(
            f"{_TALK} WHERE user_id = ?1 "
            "AND (?2 IS NULL OR (updated_at, id) < (?2, ?3)) "
            "ORDER BY updated_at DESC, id DESC LIMIT ?4",
            user_id,
            at,
            last,
            limit,
        )
        return [rows.conversation_from(row) for row in found]

    async def conversation(self, conversation_id: str, limit: int) -> Conversation | None:
        found = await self._rows(f"{_TALK} WHERE id = ?", conversation_id)
        if not found:
            return None
        newest = await self._rows(
            "SELECT * FROM messages WHERE conversation_id = ? ORDER BY n DESC LIMIT ?",
            conversation_id,
            limit,
        )
        messages = tuple(rows.message_from(row) for row in reversed(newest))
        return rows.conversation_from(found[0], messages)

    async def turns_before(
        self, conversation_id: str, task_id: str, limit: int
    ) -> Sequence[Message]:
        found = await self._rows(
            "SELECT * FROM messages WHERE conversation_id = ?1 AND n < coalesce("
            "(SELECT min(n) FROM messages WHERE conversation_id = ?1 AND task_id = ?2), 1) "
            "ORDER BY n DESC LIMIT ?3",
            conversation_id,
            task_id,
            limit,
        )
        return [rows.message_from(row) for row in reversed(found)]


def _conditions(query: TaskQuery) -> tuple[str, list[object]]:
    """The WHERE of a listing: only what filters, so that the fitting index is used."""
    parts: list[str] = []
    values: list[object] = []
    for column, value in (
        ("user_id", query.user_id),
        ("status", query.status),
        ("queue", query.queue),
    ):
        if value is not None:
            parts.append(f"{column} = ?")
            values.append(str(value))
    if query.before is not None:
        parts.append("(created_at, id) < (?, ?)")
        values += [microseconds(query.before[0]), query.before[1]]
    return (f" WHERE {' AND '.join(parts)}" if parts else ""), values
