"""SQLite connections and transactions, set up the one way that every store of the house uses.

WAL with `synchronous=FULL`: a commit that returned survives kill -9 and power loss, and readers never
wait for the writer (https://www.sqlite.org/wal.html). One process and one writing connection per file.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from serve_app.domain.errors import StaleAttempt, Unavailable

log = logging.getLogger(__name__)

_BUSY_TIMEOUT_MS = 10_000
_WAL_RESET_FIRST, _WAL_RESET_LAST = (3, 7, 0), (3, 51, 2)
_WAL_RESET_BACKPORTS = ((3, 44, 6), (3, 50, 7))


def connect(path: Path | None, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the store at `path`, or a private one in memory. Rows are `sqlite3.Row`.

    The connection is in autocommit mode: writes go through `transaction`. It may be used from any
    thread, but by one at a time. Raises Unavailable when the file cannot be opened.
    """
    _warn_of_wal_reset()
    with store_errors(f"open the store {path.name if path else 'in memory'}"):
        if path is None:
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        else:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
            connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False
            )
        try:
            _configure(connection, read_only)
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def _configure(connection: sqlite3.Connection, read_only: bool) -> None:
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    else:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")


@contextlib.contextmanager
def transaction(
    connection: sqlite3.Connection, *, epoch: int | None = None
) -> Iterator[sqlite3.Connection]:
    """One atomic write: BEGIN IMMEDIATE, then COMMIT, or ROLLBACK on any exception.

    With `epoch` (from `next_epoch`) the write is refused with StaleAttempt when another owner has
    opened the store since.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if epoch is not None:
            current = connection.execute("SELECT epoch FROM store_epoch").fetchone()[0]
            if current != epoch:
                raise StaleAttempt("Another process has taken over this store.")
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def next_epoch(connection: sqlite3.Connection) -> int:
    """Count a new owner of this store; call once at open, holding the store's lock."""
    with transaction(connection):
        connection.execute(
            "CREATE TABLE IF NOT EXISTS store_epoch "
            "(id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL)"
        )
        row = connection.execute(
            "INSERT INTO store_epoch (id, epoch) VALUES (1, 1) "
            "ON CONFLICT (id) DO UPDATE SET epoch = epoch + 1 RETURNING epoch"
        ).fetchone()
    return int(row[0])


@contextlib.contextmanager
def store_errors(action: str) -> Iterator[None]:
    """Map what SQLite raises (disk full, locked, damaged) to Unavailable: "Could not ACTION: reason."."""
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"Could not {action}: {error}.") from error


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite can lose commits when two connections write or checkpoint at once.

    https://www.sqlite.org/wal.html#walresetbug
    """
    if any(version[:2] == fixed[:2] and version >= fixed for fixed in _WAL_RESET_BACKPORTS):
        return False
    return _WAL_RESET_FIRST <= version <= _WAL_RESET_LAST


@functools.cache
def _warn_of_wal_reset() -> None:
    if has_wal_reset_bug(sqlite3.sqlite_version_info):
        log.warning(
            "SQLite %s has the WAL-reset bug (fixed in 3.51.3). The brain writes each file through one "
            "connection, which avoids it; let no other program write to its files.",
            sqlite3.sqlite_version,
        )
