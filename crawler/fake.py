"""A crawler without a web: its pages are a mapping. For tests of whoever crawls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from serve_app.domain.knowledge import PageDraft, WriteKey
from serve_app.domain.ports import Knowledge
from serve_app.domain.web import CrawlFailure, CrawlJob, CrawlUpdate, FetchOutcome, FrontierUrl

BATCH = 20


class FakeCrawler:
    """Reads the seeds of a job out of `pages` (address -> draft) and follows no links.

    An address that is not in `pages` is a failure with reason `http_404`. The frontier, the write keys
    and the counts are the knowledge base's own, as with the real crawler. `jobs` keeps what was asked.
    """

    def __init__(self, knowledge: Knowledge, pages: Mapping[str, PageDraft]) -> None:
        self._knowledge = knowledge
        self._pages = dict(pages)
        self.jobs: list[CrawlJob] = []

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def crawl(self, job: CrawlJob) -> AsyncIterator[CrawlUpdate]:
        self.jobs.append(job)
        seeds = [FrontierUrl(url, self._key(url)) for url in dict.fromkeys(job.seeds)]
        counts = await self._knowledge.open_crawl(job.crawl_id, self._write(job, "open"), seeds)
        batch = 0
        while counts.stored < job.max_pages:
            batch += 1
            limit = min(BATCH, job.max_pages - counts.stored)
            lease = self._write(job, f"lease/{batch}")
            urls = await self._knowledge.lease_urls(job.crawl_id, lease, limit)
            if not urls:
                break
            outcomes = [self._outcome(url) for url in urls]
            record = self._write(job, f"record/{job.attempt}/{batch}")
            update = await self._knowledge.record_fetches(job.crawl_id, record, outcomes)
            counts = update.counts
            yield CrawlUpdate(counts, update.pages, update.failures)
        await self._embed(job.crawl_id)
        yield CrawlUpdate(await self._knowledge.crawl_counts(job.crawl_id), done=True)

    async def _embed(self, crawl_id: str) -> None:
        before = -1
        while (left := (await self._knowledge.embed_pending(BATCH, crawl_id)).remaining) != before:
            before = left

    def _key(self, url: str) -> str:
        draft = self._pages.get(url)
        return draft.url if draft else url

    def _outcome(self, url: FrontierUrl) -> FetchOutcome:
        draft = self._pages.get(url.url) or self._pages.get(url.key)
        if draft is None:
            message = f"{url.url} answered 404 (not found)."
            return FetchOutcome(url.key, failure=CrawlFailure(url.url, "http_404", message))
        return FetchOutcome(url.key, page=draft)

    def _write(self, job: CrawlJob, step: str) -> WriteKey:
        return WriteKey(job.task_id, job.attempt, f"{job.crawl_id}/{job.attempt}/{step}")
