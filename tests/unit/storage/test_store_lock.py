"""One owner per store file, within and across processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serve_app.domain.errors import ConfigError
from serve_app.storage import StoreLock

HOLD = """
import sys, pathlib
from serve_app.storage import StoreLock
StoreLock(pathlib.Path(sys.argv[1])).acquire(5)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_owner_waits_and_then_gives_up(tmp_path: Path) -> None:
    first, second = StoreLock(tmp_path / "lock"), StoreLock(tmp_path / "lock")
    first.acquire(0)
    with pytest.raises(ConfigError, match="in use by another process"):
        second.acquire(0.1)
    first.release()
    first.release()
    second.acquire(0)
    second.acquire(0)
    second.release()


def test_a_killed_process_lets_go_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    root = Path(__file__).parents[3]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match=str(holder.pid)):
            StoreLock(path).acquire(0)
    finally:
        holder.kill()
        holder.communicate()
    lock = StoreLock(path)
    lock.acquire(5)
    lock.release()
