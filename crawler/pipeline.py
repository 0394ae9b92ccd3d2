"""A crawl: lease addresses, fetch and read them, record what became of them, embed what was stored.

The frontier is the knowledge base's, on disk: nothing here must survive. A crawl that was broken off goes on
by opening it again, and it is done when no address is left and every stored page is embedded, or when
`max_pages` pages are stored.

Every write carries a key. Within one attempt its number makes a repeated call happen once: `lease/2/7` is the
seventh lease of the second attempt, and the attempt belongs to the name, since a lease of the first must not
answer for the second. A recorded batch is named by the addresses in it: an address is leased until it is
recorded and never again after, so the same batch comes twice only when it is the same write.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Sequence

from crawler.patience import patiently
from crawler.pool import ReadingPool
from crawler.urls import normalise
from crawler.visit import Plan, Visitor
from serve_app.domain.errors import BadRequest, BrainError
from serve_app.domain.knowledge import WriteKey
from serve_app.domain.ports import Clock, Knowledge
from serve_app.domain.web import CrawlCounts, CrawlJob, CrawlUpdate, FetchOutcome, FrontierUrl
from serve_app.settings import CrawlSettings

BEAT = 0.5  # seconds after which progress is told though no page came in
GATHER = 0.1  # seconds that a batch waits for more pages
EMBED_BATCH = 16
_log = logging.getLogger(__name__)


class SiteCrawler:
    """The `Crawler` port over HTTP. Open and close it inside the event loop that uses it.

    `pool` reads documents for others too and stays theirs to close; without one it has its own.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        settings: CrawlSettings,
        clock: Clock,
        pool: ReadingPool | None = None,
    ) -> None:
        self._knowledge = knowledge
        self._clock = clock
        self._concurrency = settings.concurrency
        self._visitor = Visitor(knowledge, settings, clock, pool)

    async def open(self) -> None:
        await self._visitor.open()

    async def close(self) -> None:
        await self._visitor.close()

    async def crawl(self, job: CrawlJob) -> AsyncIterator[CrawlUpdate]:
        """Run or go on with a crawl. One run at a time for a (crawl, attempt).

        Raises BadRequest for a seed that is no web address, StaleAttempt when a newer attempt took over,
        Unavailable when the knowledge base stays away for two minutes.
        """
        run = _Run(self._knowledge, self._visitor, self._clock, job, self._concurrency)
        try:
            yield CrawlUpdate(await run.open())
            while await run.lease():
                outcomes = await run.next_outcomes()
                yield await run.record(outcomes)
            while await run.is_embedding():
                yield CrawlUpdate(await run.count())
            yield CrawlUpdate(await run.count(), done=True)
        finally:
            await run.close()


class _Run:
    """What is under way in one run of a job: visits, one embedder, and the counts as last told."""

    def __init__(
        self,
        knowledge: Knowledge,
        visitor: Visitor,
        clock: Clock,
        job: CrawlJob,
        concurrency: int,
    ) -> None:
        self._knowledge = knowledge
        self._visitor = visitor
        self._clock = clock
        self._job = job
        self._concurrency = concurrency
        self._seeds = _seeds(job)
        self._plan = Plan.of(job)
        self._counts = CrawlCounts()
        self._visits: set[asyncio.Task[FetchOutcome]] = set()
        self._leases = 0
        self._dry = False  # the frontier had nothing more at the last lease
        self._stored = asyncio.Event()
        self._all_read = False
        self._embedding: asyncio.Task[None] | None = None

    async def open(self) -> CrawlCounts:
        key = self._key(f"open/{self._job.attempt}")
        self._counts = await patiently(
            self._clock, lambda: self._knowledge.open_crawl(self._job.crawl_id, key, self._seeds)
        )
        self._embedding = asyncio.create_task(self._embed())
        return self._counts

    async def lease(self) -> bool:
        """Begin as many visits as there is room for; False when none is under way and none is left."""
        under_way = len(self._visits)
        budget = self._job.max_pages - self._counts.stored
        room = min(self._concurrency, budget) - under_way
        if room > 0 and not self._dry:
            self._leases += 1
            key = self._key(f"lease/{self._job.attempt}/{self._leases}")
            leased = await patiently(
                self._clock, lambda: self._knowledge.lease_urls(self._job.crawl_id, key, room)
            )
            self._dry = len(leased) < room
            for entry in leased:
                visit = self._visitor.visit(self._plan, entry)
                self._visits.add(asyncio.create_task(visit))
        return bool(self._visits)

    async def next_outcomes(self) -> list[FetchOutcome]:
        """What ended since, after a beat at most; none when nothing did."""
        await asyncio.wait(self._visits, timeout=BEAT, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(self._visits, timeout=GATHER)
        ended = {visit for visit in self._visits if visit.done()}
        self._visits -= ended
        return [visit.result() for visit in ended]

    async def record(self, outcomes: Sequence[FetchOutcome]) -> CrawlUpdate:
        if not outcomes:
            return CrawlUpdate(await self.count())
        key = self._key(f"record/{_digest(outcomes)}")
        update = await patiently(
            self._clock, lambda: self._knowledge.record_fetches(self._job.crawl_id, key, outcomes)
        )
        self._counts = update.counts
        self._dry = False
        self._stored.set()
        return CrawlUpdate(update.counts, update.pages, update.failures)

    async def is_embedding(self) -> bool:
        """Wait a beat for the embedding of what was stored; False once it has ended."""
        self._all_read = True
        self._stored.set()
        if self._embedding is None or self._embedding.done():
            return False
        await asyncio.wait({self._embedding}, timeout=BEAT)
        return not self._embedding.done()

    async def _embed(self) -> None:
        """Embed beside the reading, until all is read and nothing is left.

        What can not be embedded now is no failure of the crawl: the counts say it, and the periodic work
        takes it up.
        """
        try:
            while True:
                self._stored.clear()
                last = self._all_read
                report = await patiently(
                    self._clock,
                    lambda: self._knowledge.embed_pending(EMBED_BATCH, self._job.crawl_id),
                )
                if any(report.counts.values()):
                    continue
                if last:
                    return
                if not self._all_read:
                    await self._stored.wait()
        except BrainError as error:
            _log.warning("Pages of crawl %s stay without vectors: %s", self._job.crawl_id, error)

    async def count(self) -> CrawlCounts:
        self._counts = await patiently(
            self._clock, lambda: self._knowledge.crawl_counts(self._job.crawl_id)
        )
        return self._counts

    async def close(self) -> None:
        tasks: set[asyncio.Task[FetchOutcome] | asyncio.Task[None]] = {*self._visits}
        if self._embedding is not None:
            tasks.add(self._embedding)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _key(self, step: str) -> WriteKey:
        return WriteKey(self._job.task_id, self._job.attempt, f"{self._job.crawl_id}/{step}")


def _seeds(job: CrawlJob) -> list[FrontierUrl]:
    """Seeds are read whatever they look like: a person named them."""
    seeds: dict[str, FrontierUrl] = {}
    for url in job.seeds:
        try:
            key = normalise(url)
        except ValueError as error:
            raise BadRequest(f"'{url[:200]}' is not a web address.", field="url") from error
        seeds.setdefault(key, FrontierUrl(url.strip(), key, 0))
    return list(seeds.values())


def _digest(outcomes: Sequence[FetchOutcome]) -> str:
    keys = "\n".join(sorted(outcome.key for outcome in outcomes))
    return hashlib.sha256(keys.encode()).hexdigest()[:32]
