"""The knowledge store's connections: one that writes, in a thread of its own, and a few that read.

Searches never wait for a write (WAL), and the event loop never waits for the disk. A store in memory
has a single connection that does both.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from serve_app.domain.errors import Unavailable
from serve_app.storage import StoreLock, connect, migrate, next_epoch, store_errors, transaction

T = TypeVar("T")

FILE = "knowledge.sqlite3"
_READERS = 4


class Database:
    """Owns the store file: its lock, its epoch and its connections."""

    def __init__(self, directory: Path | None, *, lock_timeout: float = 60.0) -> None:
        self._path = directory / FILE if directory else None
        self._lock = StoreLock(directory / "lock") if directory else None
        self._lock_timeout = lock_timeout
        self._epoch = 0
        self._connection: sqlite3.Connection | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._reading: list[sqlite3.Connection] = []

    async def open(self) -> None:
        """Take the store. Raises ConfigError while another process owns it or has a newer schema."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="knowledge-writer")
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._open)
        except BaseException:
            self._writer.shutdown()
            self._writer = None
            raise
        if self._path is not None:
            self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="knowledge-reader")

    def _open(self) -> None:
        if self._lock:
            self._lock.acquire(self._lock_timeout)
        try:
            self._connection = connect(self._path)
            migrate(self._connection, "serve_app.knowledge.sql")
            with store_errors("take over the knowledge store"):
                self._epoch = next_epoch(self._connection)
        except BaseException:
            self._release()
            raise

    async def close(self) -> None:
        """Finish what runs and let the next owner in. Harmless when not open."""
        writer, readers = self._writer, self._readers
        self._writer = self._readers = None
        if readers:
            await asyncio.to_thread(readers.shutdown)
            for connection in self._reading:
                connection.close()
            self._reading.clear()
            self._local = threading.local()
        if writer:
            await asyncio.get_running_loop().run_in_executor(writer, self._release)
            await asyncio.to_thread(writer.shutdown)

    def _release(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None
        if self._lock:
            self._lock.release()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One atomic write, in the writer's thread. Refused when another process has taken the store."""
        if self._connection is None:
            raise Unavailable("The knowledge store is not open.")
        with transaction(self._connection, epoch=self._epoch) as connection:
            yield connection

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    async def in_writer(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the writer's thread, one call after the other; it writes by `transaction`."""
        if self._writer is None or self._connection is None:
            raise Unavailable("The knowledge store is not open.")
        connection = self._connection

        def run() -> T:
            with store_errors("write to the knowledge store"):
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._writer, run)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one snapshot of the store, at the same time as other reads and writes."""
        if self._writer is None:
            raise Unavailable("The knowledge store is not open.")

        def run() -> T:
            with store_errors("read the knowledge store"):
                connection = self._reading_connection()
                connection.execute("BEGIN")
                try:
                    return work(connection)
                finally:
                    connection.execute("ROLLBACK")

        executor = self._readers or self._writer
        return await asyncio.get_running_loop().run_in_executor(executor, run)

    def _reading_connection(self) -> sqlite3.Connection:
        if self._path is None:
            if self._connection is None:
                raise Unavailable("The knowledge store is not open.")
            return self._connection
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._path, read_only=True)
            self._reading.append(connection)
        return connection
