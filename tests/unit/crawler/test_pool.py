"""Reading processes end when they must, and the next document finds a fresh one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from crawler.pool import ReadingPool
from crawler.reading import Source
from serve_app.domain.errors import FetchError

GOOD = Source("text", b"# Head\n\nWords.")


@pytest.fixture
async def pool() -> AsyncIterator[ReadingPool]:
    pool = ReadingPool(timeout=10, slots=1, readings_per_process=3)
    yield pool
    await pool.close()


async def test_a_process_is_kept_and_replaced_after_its_share(pool: ReadingPool) -> None:
    assert pool.pids == []
    pids = []
    for _ in range(4):
        assert (await pool.read(GOOD)).title == "Head"
        pids += pool.pids or [0]
    assert pids[0] == pids[1]
    assert pids[2] == 0
    assert pids[3] not in (pids[0], 0)
    assert not psutil.pid_exists(pids[0])


async def test_a_document_that_fails_leaves_its_process(pool: ReadingPool) -> None:
    await pool.read(GOOD)
    before = pool.pids
    with pytest.raises(FetchError) as caught:
        await pool.read(Source("pdf", b"no pdf"))
    assert caught.value.reason == "unreadable"
    assert pool.pids == before


async def test_a_late_or_dead_process_is_killed_and_replaced(pool: ReadingPool) -> None:
    await pool.read(GOOD)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    pool._slots[0]._timeout = 0.2
    with pytest.raises(FetchError) as caught:
        await pool.read(GOOD)
    assert caught.value.reason == "extract_timeout"
    assert not psutil.pid_exists(pid)
    pool._slots[0]._timeout = 10
    assert (await pool.read(GOOD)).title == "Head"
    os.kill(pool.pids[0], signal.SIGKILL)
    with pytest.raises(FetchError) as caught:
        await pool.read(GOOD)
    assert caught.value.reason == "extract_crashed"
    assert (await pool.read(GOOD)).title == "Head"


async def test_leaving_in_the_middle_does_not_mix_up_answers(pool: ReadingPool) -> None:
    await pool.read(GOOD)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    reading = asyncio.create_task(pool.read(GOOD))
    await asyncio.sleep(0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not psutil.pid_exists(pid)
    other = Source("text", b"# Other\n\nWords.")
    assert (await pool.read(other)).title == "Other"


async def test_leaving_during_the_start_does_not_mix_up_answers(pool: ReadingPool) -> None:
    reading = asyncio.create_task(pool.read(GOOD))
    while not pool.pids:  # noqa: ASYNC110 (nothing tells that a process has begun)
        await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert pool.pids == []
    for title in ("One", "Two"):
        assert (await pool.read(Source("text", f"# {title}".encode()))).title == title


async def test_memory_is_bounded() -> None:
    pool = ReadingPool(timeout=20, slots=1, memory_bytes=150_000_000)
    try:
        with pytest.raises(FetchError) as caught:
            await pool.read(Source("text", b"a" * 60_000_000))
        assert caught.value.reason in ("memory", "extract_crashed")
        assert (await pool.read(GOOD)).title == "Head"
    finally:
        await pool.close()
