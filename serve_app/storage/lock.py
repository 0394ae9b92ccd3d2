"""One owner per store file, held by the operating system until the owner ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from serve_app.domain.errors import ConfigError

_POLL = 0.05  # seconds between two tries


class StoreLock:
    """An exclusive `flock` on a file beside the store.

    A replacement process may start while the old one still lives, so it waits for its turn; a killed
    process lets go at once. The file stays: removing it would let two owners lock two different inodes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self, timeout: float = 60.0) -> None:
        """Wait up to `timeout` seconds (blocking the thread). Raises ConfigError when it stays taken."""
        if self._fd is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + timeout
        while not _try_lock(fd):
            if time.monotonic() >= deadline:
                owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(fd)
                raise ConfigError(
                    f"The store at {self._path.parent} is in use by another process (id {owner}); "
                    f"waited {timeout:g} s for it to end."
                )
            time.sleep(_POLL)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        self._fd = fd

    def release(self) -> None:
        """Let the next owner in. Harmless when not held."""
        if self._fd is not None:
            with contextlib.suppress(OSError):  # the descriptor is gone: then so is the lock
                os.close(self._fd)
            self._fd = None


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
