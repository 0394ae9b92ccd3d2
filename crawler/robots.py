"""What a site's robots.txt allows, after RFC 9309.

A file that is not there (4xx) allows everything; one that can not be had (5xx, 429, no connection) forbids
everything, since nobody knows what it says. Rules are kept for a day at most, failures for ten minutes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from protego import Protego
from yarl import URL

from crawler.fetch import Fetched, Fetcher, FetchOptions
from serve_app.domain.errors import FetchError
from serve_app.domain.ports import Clock
from serve_app.settings import CrawlSettings

MAX_BYTES = 512 * 1024
MAX_SITES = 1000
MAX_SITEMAPS = 50
KEEP = timedelta(hours=24)
KEEP_FAILURE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one origin until `expires`. With `refusal`, nothing may be read, and it says why."""

    expires: datetime
    parsed: Protego | None = None
    refusal: FetchError | None = None
    delay: float = 0.0
    sitemaps: tuple[str, ...] = ()


class Robots:
    """Fetches, keeps and asks the rules, for one user agent."""

    def __init__(self, fetcher: Fetcher, settings: CrawlSettings, clock: Clock) -> None:
        self._fetcher = fetcher
        self._agent = settings.user_agent.split("/", 1)[0]
        self._max_delay = settings.max_crawl_delay
        self._clock = clock
        self._kept: OrderedDict[str, Rules] = OrderedDict()
        self._coming: dict[str, asyncio.Task[Rules]] = {}

    async def check(self, url: str) -> None:
        """Raises FetchError (`robots`) when the site does not want `url` read, or what kept its rules away."""
        rules = await self.rules(url)
        if rules.refusal is not None:
            raise FetchError(rules.refusal.message, reason=rules.refusal.reason)
        if rules.parsed is not None and not rules.parsed.can_fetch(url, self._agent):
            raise FetchError(f"The site's robots.txt asks not to read {url}.", reason="robots")

    async def rules(self, url: str) -> Rules:
        """The rules for the origin of `url`. Callers that want the same file wait for one request."""
        origin = str(URL(url).origin())
        kept = self._kept.get(origin)
        if kept is not None and kept.expires > self._clock.now():
            self._kept.move_to_end(origin)
            return kept
        task = self._coming.get(origin)
        if task is None:
            task = asyncio.create_task(self._load(origin))
            self._coming[origin] = task
            task.add_done_callback(lambda _: self._coming.pop(origin, None))
        return await asyncio.shield(task)

    async def close(self) -> None:
        tasks = list(self._coming.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self, origin: str) -> Rules:
        options = FetchOptions(max_bytes=MAX_BYTES, max_redirects=5, truncate=True)
        try:
            answer = await self._fetcher.fetch(f"{origin}/robots.txt", options)
        except FetchError as error:
            refusal = FetchError(f"robots.txt could not be read: {error}", reason=error.reason)
            rules = Rules(self._clock.now() + KEEP_FAILURE, refusal=refusal)
        else:
            rules = await self._understood(answer)
        self._kept[origin] = rules
        if len(self._kept) > MAX_SITES:
            self._kept.popitem(last=False)
        return rules

    async def _understood(self, answer: Fetched) -> Rules:
        now = self._clock.now()
        if answer.status == 429 or answer.status >= 500:
            message = f"The site's robots.txt answered {answer.status}, so the site is left alone."
            refusal = FetchError(message, reason="robots_unreachable")
            return Rules(now + KEEP_FAILURE, refusal=refusal)
        if answer.status != 200:
            return Rules(now + KEEP)
        # A long file takes a tenth of a second to parse, in which nothing else would be read.
        parsed = await asyncio.to_thread(Protego.parse, answer.body.decode("utf-8", "replace"))
        delay = parsed.crawl_delay(self._agent) or 0.0
        return Rules(
            now + KEEP,
            parsed=parsed,
            delay=max(0.0, min(delay, self._max_delay)),
            sitemaps=tuple(parsed.sitemaps)[:MAX_SITEMAPS],
        )
