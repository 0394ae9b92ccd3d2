"""Reading as tasks: `crawl`, `add_pages`, `add_file` and `refresh_stale`, told as events with true counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from crawler.ingest import read_file, read_items
from crawler.pool import ReadingPool
from crawler.tally import Tally
from crawler.urls import normalise
from serve_app.domain.errors import BadRequest
from serve_app.domain.knowledge import PageDraft, WriteKey
from serve_app.domain.ports import Crawler, Knowledge
from serve_app.domain.streams import closing
from serve_app.domain.tasks import Assignment, WorkerEvent
from serve_app.domain.web import CrawlJob

STORE_BATCH = 20
EMBED_BATCH = 16
EMBED_ROUNDS = 50
MAX_LISTED_PAGES = 500  # what a sitemap or feed among the items of a list may bring in
Events = AsyncIterator[Sequence[WorkerEvent]]


class CrawlWorker:
    """Runs one attempt. `pool` reads files; without one, `add_file` starts its own and ends it."""

    def __init__(
        self, crawler: Crawler, knowledge: Knowledge, pool: ReadingPool | None = None
    ) -> None:
        self._crawler = crawler
        self._knowledge = knowledge
        self._pool = pool

    async def run(self, assignment: Assignment) -> Events:
        """The last event is `result`: urls_crawled, pages_added, pages (ids), counts, failed.

        kind           args
        crawl          url, max_pages = 100, max_depth = 5, include?, exclude?, sitemaps = false
        add_pages      upload_id: a list of addresses and texts
        add_file       upload_id: one file
        refresh_stale  limit = 10

        Raises BadRequest (also for a file that can not be read), NotFound (the upload), and what the ports raise.
        """
        runs = {
            "crawl": self._crawl,
            "add_pages": self._add_pages,
            "add_file": self._add_file,
            "refresh_stale": self._refresh,
        }
        run = runs.get(assignment.kind)
        if run is None:
            raise BadRequest(f"The crawler does not know the kind {assignment.kind!r}.")
        tally = Tally()
        async with closing(run(assignment, tally)) as batches:
            async for events in batches:
                yield events
        yield [tally.result()]

    async def _crawl(self, task: Assignment, tally: Tally) -> Events:
        url = task.args.get("url")
        if not isinstance(url, str) or not url.strip():
            raise BadRequest("Say which url to crawl.", field="url")
        job = _job(
            task,
            [url],
            max_pages=_number(task.args, "max_pages", 100, 1),
            max_depth=_number(task.args, "max_depth", 5, 0),
            include=_patterns(task.args, "include"),
            exclude=_patterns(task.args, "exclude"),
            discover_sitemaps=bool(task.args.get("sitemaps", False)),
        )
        async for events in self._read(job, tally):
            yield events

    async def _add_pages(self, task: Assignment, tally: Tally) -> Events:
        upload_id = _upload_id(task)
        items = read_items(await self._knowledge.get_upload(upload_id))
        tally.fail(items.failures)
        tally.begin(len(items.drafts))
        for start in range(0, len(items.drafts), STORE_BATCH):
            key = WriteKey(task.task_id, task.attempt, f"texts/{upload_id}/{start}")
            batch = items.drafts[start : start + STORE_BATCH]
            tally.store(await self._knowledge.store_pages(key, batch))
            yield [tally.event()]
        if items.urls:
            limit = max(len(items.urls), MAX_LISTED_PAGES)
            job = _job(task, items.urls, max_pages=limit, max_depth=0, same_site=False)
            async for events in self._read(job, tally):
                yield events
            await self._name_earlier(task, items.urls, tally)
        if items.drafts:
            async for events in self._embed(tally):
                yield events

    async def _add_file(self, task: Assignment, tally: Tally) -> Events:
        upload = await self._knowledge.get_upload(_upload_id(task))
        tally.begin(1)
        yield [tally.event(f"Reading {upload.filename}.")]
        pool = self._pool or ReadingPool(timeout=60.0, slots=1)
        try:
            draft: PageDraft = await read_file(upload, pool)
        finally:
            if pool is not self._pool:
                await pool.close()
        key = WriteKey(task.task_id, task.attempt, f"file/{upload.id}")
        tally.store(await self._knowledge.store_pages(key, [draft]))
        yield [tally.event()]
        async for events in self._embed(tally):
            yield events

    async def _refresh(self, task: Assignment, tally: Tally) -> Events:
        stale = await self._knowledge.stale_pages(_number(task.args, "limit", 10, 1))
        seeds = [page.url for page in stale if page.url.startswith(("http://", "https://"))]
        if not seeds:
            yield [tally.event("No page is due to be read again.")]
            return
        job = _job(task, seeds, max_pages=len(seeds), max_depth=0, same_site=False, refresh=True)
        async for events in self._read(job, tally):
            yield events

    async def _read(self, job: CrawlJob, tally: Tally) -> Events:
        async with closing(self._crawler.crawl(job)) as updates:
            async for update in updates:
                tally.take(update, job.max_pages)
                yield [tally.event()]

    async def _embed(self, tally: Tally) -> Events:
        """Pages that came from no crawl wait with all others, so this ends after so many rounds at the latest."""
        for _ in range(EMBED_ROUNDS):
            report = await self._knowledge.embed_pending(EMBED_BATCH)
            if report.remaining <= 0 or not any(report.counts.values()):
                break
            yield [tally.event("Embedding what was added.")]
        waiting = [
            page_id
            for page_id in tally.texts
            if not (await self._knowledge.get_page(page_id)).is_processed_for_embeddings
        ]
        tally.embedded_texts(len(tally.texts) - len(waiting))
        yield [tally.event()]

    async def _name_earlier(self, task: Assignment, urls: Sequence[str], tally: Tally) -> None:
        """An earlier attempt's pages were told to a run that is gone: look up what became of the addresses."""
        if task.attempt > 1:
            for url in urls:
                page = await self._knowledge.find_page(normalise(url))
                if page is not None:
                    tally.name(page.id)


def _job(task: Assignment, seeds: Sequence[str], **more: Any) -> CrawlJob:
    return CrawlJob(
        crawl_id=task.task_id,
        task_id=task.task_id,
        attempt=task.attempt,
        seeds=tuple(seeds),
        **more,
    )


def _upload_id(task: Assignment) -> str:
    upload_id = task.args.get("upload_id")
    if not isinstance(upload_id, str):
        raise BadRequest("The task names no upload.", field="upload_id")
    return upload_id


def _number(args: Mapping[str, Any], name: str, default: int, least: int) -> int:
    value = args.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise BadRequest(f"{name} is a whole number from {least} on.", field=name)
    return value


def _patterns(args: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = args.get(name) or []
    if not isinstance(value, list | tuple) or not all(isinstance(p, str) for p in value):
        raise BadRequest(f"{name} is a list of patterns.", field=name)
    return tuple(value)
