"""Crawler: fetches and extracts; the only way out to the web."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ray import serve

from crawler.pipeline import SiteCrawler
from crawler.worker import CrawlWorker
from deployments.handles import RemoteKnowledge
from deployments.replica import start_replica
from serve_app.domain.clock import SystemClock
from serve_app.domain.streams import closing
from serve_app.domain.tasks import Assignment, WorkerEvent
from serve_app.domain.web import CrawlJob, CrawlUpdate


@serve.deployment
class Crawler:
    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]
        knowledge = RemoteKnowledge()
        self._crawler = SiteCrawler(knowledge, start_replica(settings).crawl, SystemClock())
        await self._crawler.open()
        self._worker = CrawlWorker(self._crawler, knowledge)

    async def crawl(self, job: CrawlJob) -> AsyncIterator[CrawlUpdate]:
        async with closing(self._crawler.crawl(job)) as stream:
            async for update in stream:
                yield update

    async def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        async with closing(self._worker.run(assignment)) as stream:
            async for batch in stream:
                yield batch

    async def __del__(self) -> None:
        await self._crawler.close()
