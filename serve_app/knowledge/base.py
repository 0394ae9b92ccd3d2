"""The knowledge base: the `Knowledge` port over one store, its search index and an embedder."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from serve_app.domain.errors import BadRequest
from serve_app.domain.knowledge import (
    SYSTEM,
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
from serve_app.domain.ports import Clock, Embedder
from serve_app.domain.web import CrawlCounts, CrawlFailure, CrawlUpdate, FetchOutcome, FrontierUrl
from serve_app.knowledge import frontier, links, pages, reader, statistics, upkeep
from serve_app.knowledge.rows import to_text
from serve_app.knowledge.search import Searcher
from serve_app.knowledge.store import KnowledgeStore
from serve_app.knowledge.writes import Write, fence, once

_EXPORT_BATCH = 50
_MAX_BATCH = 10_000


class KnowledgeBase:
    """`directory` None keeps everything in memory (the fake of this port).

    Between `open` and `close` it is the only owner of the directory. `system_pages` are the brain's own
    documentation: they replace those of the last start.
    """

    def __init__(
        self,
        directory: Path | None,
        embedder: Embedder,
        clock: Clock,
        *,
        system_pages: Sequence[PageDraft] = (),
        lock_timeout: float = 60.0,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._system_pages = tuple(system_pages)
        self._store = KnowledgeStore(directory, clock, lock_timeout=lock_timeout)
        self._searcher = Searcher(self._store, embedder, clock)
        self._embedding = upkeep.EmbedWork(self._store, embedder)

    async def open(self) -> None:
        """Raises ConfigError when another process keeps the store, or a newer version wrote it."""
        await self._store.open()
        try:
            await self._store.write(self._store_system_pages)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Harmless when not open."""
        await self._store.close()

    def _store_system_pages(self, write: Write) -> None:
        wanted = {page.url for page in self._system_pages}
        held = write.connection.execute("SELECT id, url FROM pages WHERE collection = ?", (SYSTEM,))
        for row in held.fetchall():
            if row["url"] not in wanted:
                pages.delete_page(write, row["id"])
        for page in self._system_pages:
            pages.store_page(write, page)

    # reading

    async def search(self, query: SearchQuery) -> SearchResult:
        """Raises BadRequest. An embedder that is away makes it lexical, said in `degraded`."""
        return await self._searcher.search(query)

    async def get_page(self, page_id: int) -> Page:
        """Raises NotFound."""
        now = self._clock.now()
        return await self._store.database.read(lambda c: reader.get_page(c, page_id, now))

    async def find_page(self, url: str) -> Page | None:
        now = self._clock.now()
        return await self._store.database.read(lambda c: reader.find_page(c, url, now))

    async def list_pages(self, query: PageQuery) -> PageList:
        """Raises BadRequest."""
        now = self._clock.now()
        return await self._store.database.read(lambda c: reader.list_pages(c, query, now))

    async def stats(self) -> Mapping[str, Any]:
        def collect(connection: sqlite3.Connection) -> Mapping[str, Any]:
            figures = statistics.collect(connection, self._store.vectors, self._clock.now())
            return {**figures, "bytes": statistics.bytes_on_disk(self._directory)}

        return await self._store.database.read(collect)

    async def link_candidates(self, topic: str, limit: int) -> list[LinkCandidate]:
        _check_limit(limit)
        return await self._store.database.read(lambda c: links.link_candidates(c, topic, limit))

    async def export(self) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """Pages as they are when their batch is read; those added meanwhile come last."""
        after = 0
        while batch := await self._store.database.read(
            partial(reader.export_batch, after=after, limit=_EXPORT_BATCH)
        ):
            yield batch
            after = batch[-1]["id"]

    # writing

    async def store_pages(self, key: WriteKey, pages_: Sequence[PageDraft]) -> list[StoredPage]:
        """Raises StaleAttempt."""

        def apply(write: Write) -> list[dict[str, Any]]:
            return [asdict(pages.store_page(write, page)) for page in pages_]

        answer = await self._store.write(lambda write: once(write, key, lambda: apply(write)))
        return [StoredPage(**page) for page in answer]

    async def delete_page(self, page_id: int) -> None:
        """Raises NotFound."""
        await self._store.write(lambda write: pages.delete_page(write, page_id))

    async def put_upload(self, upload: Upload) -> None:
        """An upload's id names its bytes: the same id again changes nothing."""

        def work(write: Write) -> None:
            write.connection.execute(
                "INSERT OR IGNORE INTO uploads (id, filename, media_type, data, added_at) "
                "VALUES (?, ?, ?, ?, ?)",
                (upload.id, upload.filename, upload.media_type, upload.data, to_text(write.now)),
            )

        await self._store.write(work)

    async def get_upload(self, upload_id: str) -> Upload:
        """Raises NotFound."""
        return await self._store.database.read(lambda c: reader.get_upload(c, upload_id))

    # the crawl frontier

    async def open_crawl(
        self, crawl_id: str, key: WriteKey, seeds: Sequence[FrontierUrl]
    ) -> CrawlCounts:
        """Raises StaleAttempt."""

        def work(write: Write) -> CrawlCounts:
            fence(write, key)
            frontier.open_crawl(write, crawl_id, key, seeds)
            return frontier.counts(write.connection, crawl_id)

        return await self._store.write(work)

    async def lease_urls(self, crawl_id: str, key: WriteKey, limit: int) -> list[FrontierUrl]:
        """The same step of the same attempt answers with the same leases. Raises StaleAttempt, NotFound."""
        _check_limit(limit)
        # Leases belong to an attempt, so the next one's step of this name is another write.
        of_attempt = replace(key, step=f"{key.step} (attempt {key.attempt})")

        def apply(write: Write) -> list[dict[str, Any]]:
            return [asdict(url) for url in frontier.lease(write, crawl_id, key, limit)]

        leased = await self._store.write(
            lambda write: once(write, of_attempt, lambda: apply(write))
        )
        return [FrontierUrl(**url) for url in leased]

    async def record_fetches(
        self, crawl_id: str, key: WriteKey, outcomes: Sequence[FetchOutcome]
    ) -> CrawlUpdate:
        """Raises StaleAttempt, NotFound."""

        def apply(write: Write) -> dict[str, Any]:
            stored, failures = frontier.record(write, crawl_id, key, outcomes)
            return {"pages": list(map(asdict, stored)), "failures": list(map(asdict, failures))}

        def work(write: Write) -> CrawlUpdate:
            answer = once(write, key, lambda: apply(write))
            counts = frontier.counts(write.connection, crawl_id)
            return CrawlUpdate(
                counts,
                tuple(StoredPage(**page) for page in answer["pages"]),
                tuple(CrawlFailure(**failure) for failure in answer["failures"]),
                done=counts.pending + counts.leased == 0,
            )

        return await self._store.write(work)

    async def crawl_counts(self, crawl_id: str) -> CrawlCounts:
        """Raises NotFound."""
        return await self._store.database.read(lambda c: frontier.counts(c, crawl_id))

    # upkeep

    async def embed_pending(self, limit: int, crawl_id: str | None = None) -> WorkReport:
        """Raises what the embedder raises; what was embedded before is kept."""
        _check_limit(limit)
        return await self._embedding.run(limit, crawl_id)

    async def assess_quality(self, limit: int) -> WorkReport:
        _check_limit(limit)
        return await upkeep.assess_quality(self._store, self._clock, limit)

    async def stale_pages(self, limit: int) -> list[StalePage]:
        _check_limit(limit)
        now = self._clock.now()
        return await self._store.database.read(lambda c: reader.stale_pages(c, limit, now))

    async def clean_up(self) -> WorkReport:
        return await self._store.write(upkeep.clean_up)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= _MAX_BATCH:
        raise BadRequest(f"limit lies between 1 and {_MAX_BATCH}.", field="limit")
