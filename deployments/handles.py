"""Serve handles dressed as the ports of the house: what is on the other side of a port is not the caller's business."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.errors import to_brain_error
from serve_app.domain.errors import Unavailable
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
from serve_app.domain.language import Delta, EmbedderInfo, Generation
from serve_app.domain.ports import Vectors
from serve_app.domain.streams import closing
from serve_app.domain.tasks import Assignment, WorkerEvent
from serve_app.domain.web import (
    CrawlCounts,
    CrawlJob,
    CrawlUpdate,
    FetchOutcome,
    FrontierUrl,
)

APPLICATION = "brain"


class Remote:
    """A deployment by name, with its errors in the house's terms.

    The handle is made at first use and again after a failure: handles go stale when Serve's controller dies.
    """

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._handle: DeploymentHandle[Any] | None = None

    def _fresh(self) -> DeploymentHandle[Any]:
        if self._handle is None:
            try:
                self._handle = serve.get_deployment_handle(self._deployment, APPLICATION)
            except KeyError as error:
                raise Unavailable(
                    f"The part of the brain called {self._deployment} is not deployed yet."
                ) from error
        return self._handle

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            response = getattr(self._fresh(), method).remote(*args, **kwargs)
            return await response
        except Exception as error:  # every foreign error is mapped here, none is dropped
            raise self._mapped(error) from error

    async def stream(self, method: str, *args: Any) -> AsyncIterator[Any]:
        """Closing the iterator cancels the request in the replica."""
        response = None
        try:
            response = getattr(self._fresh().options(stream=True), method).remote(*args)
            async for item in response:
                yield item
        except Exception as error:  # as above
            raise self._mapped(error) from error
        finally:
            if response is not None:
                response.cancel()

    def _mapped(self, error: Exception) -> Exception:
        mapped = to_brain_error(error, f"The part of the brain called {self._deployment}")
        if mapped is not error:
            self._handle = None
        return mapped


class RemoteLanguageModel:
    """`LanguageModel` served by the deployment LLM."""

    def __init__(self, deployment: str = "LLM") -> None:
        self._remote = Remote(deployment)

    async def name(self) -> str:
        return str(await self._remote.call("name"))

    async def stream(self, request: Generation) -> AsyncIterator[Delta]:
        async with closing(self._remote.stream("stream", request)) as stream:
            async for delta in stream:
                yield delta


class RemoteEmbedder:
    """`Embedder` served by the deployment Embedder."""

    def __init__(self, deployment: str = "Embedder") -> None:
        self._remote = Remote(deployment)

    async def info(self) -> EmbedderInfo:
        info: EmbedderInfo = await self._remote.call("info")
        return info

    async def embed(self, texts: Sequence[str], *, bulk: bool = False) -> Vectors:
        vectors = await self._remote.call("embed", list(texts), bulk=bulk)
        return np.asarray(vectors, dtype=np.float32)


class RemoteKnowledge:
    """`Knowledge` served by the deployment Knowledge."""

    def __init__(self, deployment: str = "Knowledge") -> None:
        self._remote = Remote(deployment)

    async def search(self, query: SearchQuery) -> SearchResult:
        result: SearchResult = await self._remote.call("search", query)
        return result

    async def get_page(self, page_id: int) -> Page:
        page: Page = await self._remote.call("get_page", page_id)
        return page

    async def find_page(self, url: str) -> Page | None:
        page: Page | None = await self._remote.call("find_page", url)
        return page

    async def list_pages(self, query: PageQuery) -> PageList:
        pages: PageList = await self._remote.call("list_pages", query)
        return pages

    async def stats(self) -> Mapping[str, Any]:
        stats: Mapping[str, Any] = await self._remote.call("stats")
        return stats

    async def link_candidates(self, topic: str, limit: int) -> list[LinkCandidate]:
        found: list[LinkCandidate] = await self._remote.call("link_candidates", topic, limit)
        return found

    async def store_pages(self, key: WriteKey, pages: Sequence[PageDraft]) -> list[StoredPage]:
        stored: list[StoredPage] = await self._remote.call("store_pages", key, list(pages))
        return stored

    async def delete_page(self, page_id: int) -> None:
        await self._remote.call("delete_page", page_id)

    async def put_upload(self, upload: Upload) -> None:
        await self._remote.call("put_upload", upload)

    async def get_upload(self, upload_id: str) -> Upload:
        upload: Upload = await self._remote.call("get_upload", upload_id)
        return upload

    async def open_crawl(
        self, crawl_id: str, key: WriteKey, seeds: Sequence[FrontierUrl]
    ) -> CrawlCounts:
        counts: CrawlCounts = await self._remote.call("open_crawl", crawl_id, key, list(seeds))
        return counts

    async def lease_urls(self, crawl_id: str, key: WriteKey, limit: int) -> list[FrontierUrl]:
        leased: list[FrontierUrl] = await self._remote.call("lease_urls", crawl_id, key, limit)
        return leased

    async def record_fetches(
        self, crawl_id: str, key: WriteKey, outcomes: Sequence[FetchOutcome]
    ) -> CrawlUpdate:
        update: CrawlUpdate = await self._remote.call(
            "record_fetches", crawl_id, key, list(outcomes)
        )
        return update

    async def crawl_counts(self, crawl_id: str) -> CrawlCounts:
        counts: CrawlCounts = await self._remote.call("crawl_counts", crawl_id)
        return counts

    async def embed_pending(self, limit: int, crawl_id: str | None = None) -> WorkReport:
        report: WorkReport = await self._remote.call("embed_pending", limit, crawl_id)
        return report

    async def assess_quality(self, limit: int) -> WorkReport:
        report: WorkReport = await self._remote.call("assess_quality", limit)
        return report

    async def stale_pages(self, limit: int) -> list[StalePage]:
        stale: list[StalePage] = await self._remote.call("stale_pages", limit)
        return stale

    async def clean_up(self) -> WorkReport:
        report: WorkReport = await self._remote.call("clean_up")
        return report

    async def export(self) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        async with closing(self._remote.stream("export")) as stream:
            async for batch in stream:
                yield batch


class RemoteCrawler:
    """`Crawler` served by the deployment Crawler."""

    def __init__(self, deployment: str = "Crawler") -> None:
        self._remote = Remote(deployment)

    async def crawl(self, job: CrawlJob) -> AsyncIterator[CrawlUpdate]:
        async with closing(self._remote.stream("crawl", job)) as stream:
            async for update in stream:
                yield update


class RemoteWorker:
    """`Worker` served by any deployment that has a `run`."""

    def __init__(self, deployment: str) -> None:
        self._remote = Remote(deployment)

    async def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        async with closing(self._remote.stream("run", assignment)) as stream:
            async for batch in stream:
                yield batch
