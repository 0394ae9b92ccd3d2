"""How often a host is asked: so many requests at once, so far apart, and less when it complains."""

from __future__ import annotations

import asyncio
import email.utils
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from serve_app.domain.ports import Clock
from serve_app.settings import CrawlSettings

MAX_HOSTS = 10_000
_MAX_DOUBLINGS = 10


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, in either of its forms; None when it says nothing."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


@dataclass(slots=True)
class _Host:
    slots: asyncio.Semaphore
    next_at: datetime
    busy: int = 0
    failures: int = 0


class Pacer:
    """Paces every host on its own. Times are the clock's."""

    def __init__(self, settings: CrawlSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, host: str, delay: float = 0.0) -> AsyncIterator[None]:
        """Wait until `host` may be asked; `delay` (seconds) is what its robots.txt wants at least."""
        state = self._host(host)
        state.busy += 1
        try:
            async with state.slots:
                while (wait := (state.next_at - self._clock.now()).total_seconds()) > 0:
                    await self._clock.sleep(wait)
                gap = max(delay, self._settings.host_delay)
                state.next_at = self._clock.now() + timedelta(seconds=gap)
                yield
        finally:
            state.busy -= 1

    def complained(self, host: str, wanted: float | None = None) -> None:
        """The host failed or asked for rest: wait `wanted` seconds, or twice as long as the time before."""
        state = self._host(host)
        state.failures = min(state.failures + 1, _MAX_DOUBLINGS)
        rest = wanted if wanted is not None else self._settings.host_delay * 2**state.failures
        rest = min(rest, self._settings.max_crawl_delay)
        state.next_at = max(state.next_at, self._clock.now() + timedelta(seconds=rest))

    def answered(self, host: str) -> None:
        """The host is well: the next complaint starts from the shortest rest again."""
        self._host(host).failures = 0

    def _host(self, host: str) -> _Host:
        state = self._hosts.get(host)
        if state is None:
            if len(self._hosts) >= MAX_HOSTS:
                self._forget_idle()
            state = _Host(asyncio.Semaphore(self._settings.per_host), self._clock.now())
            self._hosts[host] = state
        return state

    def _forget_idle(self) -> None:
        now = self._clock.now()
        idle = [name for name, host in self._hosts.items() if not host.busy and host.next_at <= now]
        for name in idle:
            del self._hosts[name]
