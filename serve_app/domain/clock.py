"""The clock and its fake."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

_TURNS = 60


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeClock:
    """Time stands still until `advance`; sleepers wake in order when it passes them."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + timedelta(seconds=seconds), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`, stopping at each sleeper that is due on the way, and let it run."""
        await _let_run()
        until = self._now + timedelta(seconds=seconds)
        while True:
            self._sleepers = [s for s in self._sleepers if not s[1].done()]
            due = min((s[0] for s in self._sleepers if s[0] <= until), default=until)
            self._now = max(self._now, due)
            woken = [s[1] for s in self._sleepers if s[0] <= self._now]
            for future in woken:
                future.set_result(None)
            await _let_run()
            if not woken and self._now >= until:
                return


async def _let_run() -> None:
    """Give what is ready its turns; nothing of ours needs more of them between two waits."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
