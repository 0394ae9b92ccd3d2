"""Knowledge: owns the knowledge store and its search index. One replica, because one process owns the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ray import serve

from deployments.handles import RemoteEmbedder
from deployments.replica import start_replica
from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import BrainError
from serve_app.domain.knowledge import (
    LinkCandidate,
    Page,
    PageDraft,
    PageList,
    PageQuery,
    SearchQuery,
    SearchResult,
    StalePage,
    StoredPage,
    Upload,
    WorkReport,
    WriteKey,
)
from serve_app.domain.streams import closing
from serve_app.domain.tasks import Assignment, WorkerEvent
from serve_app.domain.web import CrawlCounts, CrawlUpdate, FetchOutcome, FrontierUrl
from serve_app.knowledge.base import KnowledgeBase
from serve_app.knowledge.guide import load_guide
from serve_app.knowledge.worker import KnowledgeWorker

log = logging.getLogger(__name__)

GUIDE_BATCH = 100  # pages of documentation embedded at start


@serve.deployment
class Knowledge:
    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]
        read = start_replica(settings)
        self._base = KnowledgeBase(
            read.knowledge_dir, RemoteEmbedder(), SystemClock(), system_pages=load_guide()
        )
        await self._base.open()
        self._worker = KnowledgeWorker(self._base)
        self._guide = asyncio.create_task(self._embed_guide())

    async def _embed_guide(self) -> None:
        """The documentation answers by its words at once; its vectors follow when the embedder is up."""
        for pause in (1, 2, 4, 8, 16, 32):
            try:
                await self._base.embed_pending(GUIDE_BATCH)
            except BrainError as error:
                log.info("embedding the documentation waits: %s", error)
                await asyncio.sleep(pause)
            else:
                return

    async def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        async with closing(self._worker.run(assignment)) as stream:
            async for batch in stream:
                yield batch

    async def search(self, query: SearchQuery) -> SearchResult:
        return await self._base.search(query)

    async def get_page(self, page_id: int) -> Page:
        return await self._base.get_page(page_id)

    async def find_page(self, url: str) -> Page | None:
        return await self._base.find_page(url)

    async def list_pages(self, query: PageQuery) -> PageList:
        return await self._base.list_pages(query)

    async def stats(self) -> Mapping[str, Any]:
        return await self._base.stats()

    async def link_candidates(self, topic: str, limit: int) -> list[LinkCandidate]:
        return await self._base.link_candidates(topic, limit)

    async def store_pages(self, key: WriteKey, pages: Sequence[PageDraft]) -> list[StoredPage]:
        return await self._base.store_pages(key, pages)

    async def delete_page(self, page_id: int) -> None:
        await self._base.delete_page(page_id)

    async def put_upload(self, upload: Upload) -> None:
        await self._base.put_upload(upload)

    async def get_upload(self, upload_id: str) -> Upload:
        return await self._base.get_upload(upload_id)

    async def open_crawl(
        self, crawl_id: str, key: WriteKey, seeds: Sequence[FrontierUrl]
    ) -> CrawlCounts:
        return await self._base.open_crawl(crawl_id, key, seeds)

    async def lease_urls(self, crawl_id: str, key: WriteKey, limit: int) -> list[FrontierUrl]:
        return await self._base.lease_urls(crawl_id, key, limit)

    async def record_fetches(
        self, crawl_id: str, key: WriteKey, outcomes: Sequence[FetchOutcome]
    ) -> CrawlUpdate:
        return await self._base.record_fetches(crawl_id, key, outcomes)

    async def crawl_counts(self, crawl_id: str) -> CrawlCounts:
        return await self._base.crawl_counts(crawl_id)

    async def embed_pending(self, limit: int, crawl_id: str | None = None) -> WorkReport:
        return await self._base.embed_pending(limit, crawl_id)

    async def assess_quality(self, limit: int) -> WorkReport:
        return await self._base.assess_quality(limit)

    async def stale_pages(self, limit: int) -> list[StalePage]:
        return await self._base.stale_pages(limit)

    async def clean_up(self) -> WorkReport:
        return await self._base.clean_up()

    async def export(self) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        async with closing(self._base.export()) as stream:
            async for batch in stream:
                yield batch

    async def __del__(self) -> None:
        self._guide.cancel()
        await self._base.close()
