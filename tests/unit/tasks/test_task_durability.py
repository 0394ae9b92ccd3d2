"""The ledger on disk: kill -9, a second owner, a full disk, and the files of earlier versions."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import ConfigError, StaleAttempt, Unavailable
from serve_app.domain.people import Principal, Role
from serve_app.domain.tasks import Task, TaskSpec, TaskStatus
from serve_app.settings import Settings
from serve_app.storage import connect, next_epoch, transaction
from serve_app.tasks import SqliteTaskStore, TaskEngine, store_sqlite
from serve_app.tasks.scripted import ScriptedWorker, result, tokens
from serve_app.tasks.store import AppendEvents, InsertTask, SaveLimit, SaveTask, TaskQuery

OWNER = Principal("ann", "Ann", Role.OWNER, "none")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
FIXTURES = Path(__file__).parent / "fixtures"

SUBMITTER = """
import asyncio, sys
from pathlib import Path
from serve_app.domain.clock import SystemClock
from serve_app.domain.tasks import TaskSpec
from serve_app.settings import Settings
from serve_app.tasks import SqliteTaskStore, TaskEngine
from serve_app.tasks.scripted import ScriptedWorker, tokens

async def main():
    settings = Settings(home=Path(sys.argv[1]))
    worker = ScriptedWorker([tokens("x"), asyncio.Event()])
    engine = TaskEngine(
        SqliteTaskStore(settings.ledger_path), {"orchestrator": worker}, SystemClock(), settings
    )
    await engine.start()

    async def caller():
        while True:
            task = await engine.submit(TaskSpec("chat", {"message": "Hi"}, "ann"))
            sys.stdout.write(task.id + "\\n")
            sys.stdout.flush()

    await asyncio.gather(*(caller() for _ in range(8)))

asyncio.run(main())
"""


def task(task_id="t1", **changes):
    return Task(task_id, "chat", {}, "ann", "ai_high_priority", TaskStatus.QUEUED, NOW, **changes)


@pytest.fixture
async def store(tmp_path):
    opened = SqliteTaskStore(tmp_path / "ledger.sqlite3", lock_timeout=0.2)
    await opened.open()
    yield opened
    await opened.close()


async def test_whatever_was_answered_outlives_kill_9(tmp_path):
    with subprocess.Popen(  # noqa: ASYNC220 - read line by line, nothing else runs meanwhile
        [sys.executable, "-c", SUBMITTER, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        ids = [process.stdout.readline().strip() for _ in range(100)]
        process.send_signal(signal.SIGKILL)
        ids += [line.strip() for line in process.stdout if line.endswith("\n")]
    settings = Settings(home=tmp_path)
    worker = ScriptedWorker([tokens("y"), result()])
    engine = TaskEngine(
        SqliteTaskStore(settings.ledger_path), {"orchestrator": worker}, SystemClock(), settings
    )
    await engine.start()
    async with asyncio.timeout(60):
        for task_id in ids:
            log = [event async for event in engine.events(task_id, OWNER)]
            assert [event.seq for event in log] == list(range(1, len(log) + 1))
            assert log[-1].type == "task_completed"
    lost = [t for t in [await engine.get(i, OWNER) for i in ids] if t.losses]
    assert len(lost) == 8  # those that ran; the others had only waited
    assert {t.attempt for t in lost} == {2}
    await engine.stop(0)


async def test_a_second_owner_waits_and_then_gives_up(store, tmp_path):
    second = SqliteTaskStore(tmp_path / "ledger.sqlite3", lock_timeout=0.1)
    with pytest.raises(ConfigError, match="in use"):
        await second.open()
    await store.close()
    await second.open()
    await second.close()


async def test_a_replaced_owner_can_write_no_more(store, tmp_path):
    await store.apply(InsertTask(task()))
    other = connect(tmp_path / "ledger.sqlite3")
    next_epoch(other)
    other.close()
    with pytest.raises(StaleAttempt):
        await store.apply(InsertTask(task("t2")))
    assert await store.task("t2") is None


async def test_many_writes_share_few_commits(store, monkeypatch):
    commits = []

    def counting(connection, **options):
        commits.append(1)
        return transaction(connection, **options)

    monkeypatch.setattr(store_sqlite, "transaction", counting)
    await asyncio.gather(*(store.apply(InsertTask(task(f"t{n}"))) for n in range(200)))
    assert len(await store.tasks(TaskQuery(limit=300))) == 200
    assert len(commits) <= 2


async def test_a_batch_that_cannot_be_committed_fails_whole_and_says_so(store):
    await store.apply(InsertTask(task()))
    full = sqlite3.OperationalError("database or disk is full")
    real = store._writer

    class Full:
        def execute(self, sql, *values):
            if sql == "COMMIT":
                raise full
            return real.execute(sql, *values)

        in_transaction = True

        def close(self):
            real.close()

    store._writer = Full()
    outcomes = await asyncio.gather(
        store.apply(SaveLimit("crawling", 1)),
        store.apply(SaveLimit("embeddings", 1)),
        return_exceptions=True,
    )
    assert [type(o) for o in outcomes] == [Unavailable, Unavailable]
    store._writer = real
    assert await store.limits() == {}
    await store.apply(SaveLimit("crawling", 1))
    assert await store.limits() == {"crawling": 1}


async def test_a_write_that_breaks_leaves_nobody_waiting(store, caplog):
    from serve_app.domain.tasks import TaskEvent

    odd = TaskEvent("t1", 1, 1, "token", {"x": object()}, NOW)
    with pytest.raises(TypeError):
        await store.apply(InsertTask(task()), AppendEvents((odd,)))
    assert "broke" in caplog.text
    await store.apply(InsertTask(task()))


async def test_a_write_that_breaks_takes_no_other_with_it(store):
    await store.apply(InsertTask(task()))
    half = replace(task(), message="half a pair: \ud800")
    outcomes = await asyncio.gather(
        store.apply(SaveLimit("crawling", 1)),
        store.apply(SaveLimit("embeddings", 7), SaveTask(half, TaskStatus.QUEUED, 0)),
        store.apply(SaveLimit("ai_processing", 1)),
        return_exceptions=True,
    )
    assert [type(o) for o in outcomes] == [type(None), UnicodeEncodeError, type(None)]
    assert await store.limits() == {"crawling": 1, "ai_processing": 1}


async def test_a_commit_that_breaks_leaves_nobody_waiting_either(store, monkeypatch, caplog):
    def broken(batch):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(store, "_commit", broken)
    with pytest.raises(RuntimeError):
        await store.apply(SaveLimit("crawling", 1))
    assert "broke" in caplog.text
    monkeypatch.undo()
    await store.apply(SaveLimit("crawling", 1))


async def test_a_medium_that_fails_within_a_batch_fails_it_whole(store, monkeypatch):
    def full(connection, change):
        if change == SaveLimit("embeddings", 1):
            raise sqlite3.OperationalError("database or disk is full")
        write(connection, change)

    write = store_sqlite.write
    monkeypatch.setattr(store_sqlite, "write", full)
    outcomes = await asyncio.gather(
        store.apply(SaveLimit("crawling", 1)),
        store.apply(SaveLimit("embeddings", 1)),
        return_exceptions=True,
    )
    assert [type(o) for o in outcomes] == [Unavailable, Unavailable]
    assert await store.limits() == {}


async def test_closing_finishes_what_was_handed_in(store):
    writing = [asyncio.create_task(store.apply(InsertTask(task(f"t{n}")))) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writing)
    await store.open()
    assert len(await store.unfinished()) == 50


async def test_a_file_that_is_no_ledger_is_refused_and_let_go(tmp_path):
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(b"This is no database at all." * 100)
    with pytest.raises(Unavailable):
        await SqliteTaskStore(path).open()
    path.unlink()
    store = SqliteTaskStore(path, lock_timeout=0.1)
    await store.open()
    await store.close()


async def test_the_first_schema_is_brought_to_this_version(tmp_path):
    """The file was written by the first version: an upgrade keeps everything in it."""
    path = tmp_path / "ledger.sqlite3"
    old = sqlite3.connect(path)
    old.executescript((FIXTURES / "ledger_0001.sql").read_text())
    old.close()
    store = SqliteTaskStore(path)
    await store.open()
    done = await store.task("done-task")
    assert (done.status, done.result) == (TaskStatus.COMPLETED, {"response": "In the settings."})
    assert [t.id for t in await store.unfinished()] == ["running-task"]
    assert [e.type for e in (await store.events("done-task", 0, 9)).events] == [
        "task_started",
        "token",
        "task_completed",
    ]
    assert (await store.keyed_task("u1", "key-1")).id == "done-task"
    assert [u.name for u in await store.users()] == ["owner"]
    assert [t.hash for t in await store.tokens()] == ["0" * 64]
    assert [s.schedule.name for s in await store.schedules()] == ["clean_up"]
    assert (await store.limits()) == {"crawling": 5}
    talk = await store.conversation("talk-1", 9)
    assert [m.text for m in talk.messages] == ["How?", "In the settings."]
    await store.close()
    shutil.rmtree(tmp_path)


async def test_an_answer_of_the_engine_is_on_disk(tmp_path):
    settings = Settings(home=tmp_path)
    engine = TaskEngine(
        SqliteTaskStore(settings.ledger_path),
        {"orchestrator": ScriptedWorker([asyncio.Event()])},
        SystemClock(),
        settings,
    )
    await engine.start()
    made = await engine.submit(TaskSpec("chat", {"message": "Hi"}, "ann"))
    reader = sqlite3.connect(f"file:{settings.ledger_path}?mode=ro", uri=True)
    assert reader.execute("SELECT count(*) FROM tasks WHERE id = ?", (made.id,)).fetchone() == (1,)
    assert reader.execute("SELECT count(*) FROM messages").fetchone() == (1,)
    reader.close()
    await engine.stop(0)
