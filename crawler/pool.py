"""Reading processes that can be killed: a bound on time and memory that holds against any document.

A thread can not be ended and a shared pool dies with one member, so each slot owns one process, talks to it
in plain frames (nothing is unpickled), and replaces it when it is late, dead, or has read enough.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import sys
from typing import Any

from crawler.frames import frame, receive_frame
from crawler.reading import Reading, Source
from serve_app.domain.errors import FetchError, Unavailable

MEMORY_BYTES = 1 << 30
READINGS_PER_PROCESS = 500
START_SECONDS = 60.0
_log = logging.getLogger(__name__)


class ReadingPool:
    """`slots` processes, started when first needed. `timeout` is seconds a document may take."""

    def __init__(
        self,
        timeout: float,
        slots: int = 2,
        memory_bytes: int = MEMORY_BYTES,
        readings_per_process: int = READINGS_PER_PROCESS,
    ) -> None:
        self._slots = [
            _Slot(timeout, memory_bytes, readings_per_process) for _ in range(max(1, slots))
        ]
        # Last in, first out: a crawl that needs one process does not start a second.
        self._free: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()
        for slot in self._slots:
            self._free.put_nowait(slot)

    async def read(self, source: Source) -> Reading:
        """Read a document. Raises FetchError with `reason` `extract_timeout`, `extract_crashed`, or the reader's."""
        slot = await self._free.get()
        try:
            return await slot.read(source)
        finally:
            self._free.put_nowait(slot)

    async def close(self) -> None:
        for slot in self._slots:
            await slot.stop()

    @property
    def pids(self) -> list[int]:
        """Processes that run now."""
        return [slot.process.pid for slot in self._slots if slot.process is not None]


class _Slot:
    def __init__(self, timeout: float, memory_bytes: int, readings: int) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self._timeout = timeout
        self._memory = memory_bytes
        self._readings = readings
        self._done = 0

    async def read(self, source: Source) -> Reading:
        answered = False
        try:
            process = self.process or await self._start()
            async with asyncio.timeout(self._timeout):
                answer = await _exchange(process, source)
            answered = True
        except TimeoutError as error:
            message = f"The document took longer than {self._timeout:g} seconds to read."
            raise FetchError(message, reason="extract_timeout") from error
        except (EOFError, ConnectionError, ValueError) as error:
            message = "The document brought its reader down."
            raise FetchError(message, reason="extract_crashed") from error
        finally:
            self._done += 1
            # Whoever left in the middle of a start or an exchange, cancellation too, left a process out of step.
            if not answered or self._done >= self._readings:
                await self.stop()
        if "error" in answer:
            raise FetchError(answer["error"], reason=answer["reason"])
        return Reading.from_wire(answer["reading"])

    async def _start(self) -> asyncio.subprocess.Process:
        alarm = math.ceil(self._timeout) + 5
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "crawler.extract_worker",
                str(self._memory),
                str(alarm),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,  # an interrupt at the terminal is the crawler's to handle
            )
            self.process, self._done = process, 0
            async with asyncio.timeout(START_SECONDS):
                await receive_frame(_stdout(process))
        except (OSError, EOFError) as error:
            raise Unavailable("The process that reads documents does not start.") from error
        return process

    async def stop(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        if process.returncode is None:
            try:
                process.kill()
            except ProcessLookupError:
                _log.debug("A reading process had ended by itself.")
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


_numbers = itertools.count()


async def _exchange(process: asyncio.subprocess.Process, source: Source) -> dict[str, Any]:
    number = next(_numbers)
    header = {
        "number": number,
        "kind": source.kind,
        "url": source.url,
        "charset": source.charset,
        "name": source.name,
    }
    if process.stdin is None:
        raise ConnectionError("The reading process has no input.")
    process.stdin.write(frame(header, source.body))
    await process.stdin.drain()
    answer, _ = await receive_frame(_stdout(process))
    if answer.pop("number", None) != number:
        # The text of one page must never be taken for that of another.
        raise ValueError("The reading process answered something else.")
    return answer


def _stdout(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise ConnectionError("The reading process has no output.")
    return process.stdout


def _environment() -> dict[str, str]:
    """Only what Python needs: no secret of the brain's own environment reaches a hostile document."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
    }
