"""Numbered, append-only migrations: `NNNN_name.sql` files in a package, each applied once."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from importlib import resources

from serve_app.domain.errors import ConfigError
from serve_app.storage.sqlite import store_errors, transaction

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


def migrate(connection: sqlite3.Connection, package: str) -> int:
    """Bring the store to the newest version of `package` and answer its number.

    Each file is one transaction, recorded in `schema_migrations`. Raises ConfigError for a store that
    a newer version of the brain wrote, Unavailable when SQLite refuses.
    """
    steps = _steps(package)
    newest = max(steps, default=0)
    with store_errors("bring the store to this version"):
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations "
            "(number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)"
        )
        current = _version(connection)
        if current > newest:
            raise ConfigError(
                f"This store was written by a newer version of the brain (its schema is {current}, "
                f"this version knows {newest}). Install that version again."
            )
        for number in sorted(n for n in steps if n > current):
            name, script = steps[number]
            with transaction(connection):
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO schema_migrations (number, name, applied_at) "
                    "VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))",
                    (number, name),
                )
    return newest


def _version(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT coalesce(max(number), 0) FROM schema_migrations").fetchone()
    return int(row[0])


def _steps(package: str) -> dict[int, tuple[str, str]]:
    """number -> (name, script)."""
    steps: dict[int, tuple[str, str]] = {}
    for entry in resources.files(package).iterdir():
        if match := _FILE.fullmatch(entry.name):
            number = int(match[1])
            if number in steps:
                raise ConfigError(f"Two migrations of {package} have the number {number:04}.")
            steps[number] = (match[2], entry.read_text(encoding="utf-8"))
    return steps


def _statements(script: str) -> Iterator[str]:
    # `executescript` would commit the transaction that makes a migration all or nothing.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
