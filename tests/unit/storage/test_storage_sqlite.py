"""Connections, transactions, epochs and migrations of the SQLite stores."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from serve_app.domain.errors import ConfigError, StaleAttempt, Unavailable
from serve_app.storage import connect, migrate, next_epoch, store_errors, transaction
from serve_app.storage.sqlite import has_wal_reset_bug


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "storage_probe_sql"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "storage_probe_sql", raising=False)
    return folder


def test_a_store_on_disk_is_durable_and_strict(tmp_path: Path) -> None:
    connection = connect(tmp_path / "a b" / "store.sqlite3")
    pragma = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    }
    connection.close()
    assert pragma == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10_000,
    }


def test_a_reader_sees_commits_and_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    writer = connect(path)
    writer.execute("CREATE TABLE t (x)")
    reader = connect(path, read_only=True)
    with transaction(writer):
        writer.execute("INSERT INTO t VALUES (7)")
        assert reader.execute("SELECT count(*) FROM t").fetchone()[0] == 0
    assert reader.execute("SELECT x FROM t").fetchone()["x"] == 7
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("INSERT INTO t VALUES (8)")
    reader.close()
    writer.close()


def test_a_missing_store_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Could not open the store"):
        connect(tmp_path / "none.sqlite3", read_only=True)


def test_a_transaction_is_all_or_nothing() -> None:
    connection = connect(None)
    connection.execute("CREATE TABLE t (x)")

    def fail_after_a_write() -> None:
        with transaction(connection):
            connection.execute("INSERT INTO t VALUES (1)")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail_after_a_write()
    assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 0
    assert not connection.in_transaction
    connection.close()


def test_an_owner_of_an_older_epoch_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    old, new = connect(path), connect(path)
    first = next_epoch(old)
    with transaction(old, epoch=first):
        old.execute("CREATE TABLE t (x)")
    assert next_epoch(new) == first + 1
    with pytest.raises(StaleAttempt), transaction(old, epoch=first):
        old.execute("INSERT INTO t VALUES (1)")
    assert new.execute("SELECT count(*) FROM t").fetchone()[0] == 0
    old.close()
    new.close()


def test_errors_of_sqlite_become_sentences() -> None:
    with pytest.raises(Unavailable, match="Could not count: disk is full"), store_errors("count"):
        raise sqlite3.OperationalError("disk is full")


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_versions_with_the_wal_reset_bug(version: tuple[int, int, int], affected: bool) -> None:
    assert has_wal_reset_bug(version) is affected


def test_migrations_run_once_in_order(package: Path) -> None:
    (package / "0002_more.sql").write_text("INSERT INTO t VALUES (';');\n-- the end\n")
    (package / "0001_start.sql").write_text(
        "CREATE TABLE t (x);\n"
        "CREATE TRIGGER seen AFTER INSERT ON t BEGIN\n  SELECT 1;\n  SELECT 2;\nEND;\n"
    )
    connection = connect(None)
    assert migrate(connection, "storage_probe_sql") == 2
    assert migrate(connection, "storage_probe_sql") == 2
    assert [row["x"] for row in connection.execute("SELECT x FROM t")] == [";"]
    names = [r["name"] for r in connection.execute("SELECT name FROM schema_migrations")]
    assert names == ["start", "more"]
    connection.close()


def test_a_failing_migration_leaves_nothing_behind(package: Path) -> None:
    (package / "0001_start.sql").write_text(
        "CREATE TABLE t (x);\nINSERT INTO missing VALUES (1);\n"
    )
    connection = connect(None)
    with pytest.raises(Unavailable, match="missing"):
        migrate(connection, "storage_probe_sql")
    tables = {r[0] for r in connection.execute("SELECT name FROM sqlite_master")}
    assert "t" not in tables
    connection.close()


def test_a_store_of_a_newer_version_is_refused(package: Path) -> None:
    (package / "0001_start.sql").write_text("CREATE TABLE t (x);\n")
    connection = connect(None)
    migrate(connection, "storage_probe_sql")
    connection.execute("INSERT INTO schema_migrations VALUES (9, 'later', '')")
    with pytest.raises(ConfigError, match="newer version"):
        migrate(connection, "storage_probe_sql")
    connection.close()


def test_two_migrations_of_one_number_are_refused(package: Path) -> None:
    (package / "0001_a.sql").write_text("CREATE TABLE a (x);")
    (package / "0001_b.sql").write_text("CREATE TABLE b (x);")
    connection = connect(None)
    with pytest.raises(ConfigError, match="0001"):
        migrate(connection, "storage_probe_sql")
    connection.close()
