"""Work in bounded batches beside searching: embedding, assessing quality, cleaning up."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from datetime import timedelta
from functools import partial

from serve_app.domain.knowledge import WorkReport
from serve_app.domain.ports import Clock, Embedder
from serve_app.knowledge import quality, vectors
from serve_app.knowledge.rows import optional_time, to_text
from serve_app.knowledge.store import KnowledgeStore
from serve_app.knowledge.writes import Write

EMBED_STEP = 64  # chunks sent to the embedder, and put into the index, at a time
_FINISHED_CRAWLS_KEPT = timedelta(days=7)
_SILENT_CRAWLS_KEPT = timedelta(days=60)
_UPLOADS_KEPT = timedelta(days=7)
_WRITES_KEPT = timedelta(days=60)  # longer than any task can be retried


class EmbedWork:
    """Embeds pages that wait for it. One run at a time; a second caller waits its turn."""

    def __init__(self, store: KnowledgeStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._turn = asyncio.Lock()

    async def run(self, limit: int, crawl_id: str | None) -> WorkReport:
        """Up to `limit` pages. What is embedded before an error of the embedder is kept."""
        async with self._turn:
            info = await self._embedder.info()
            await self._store.use_embedder(info)
            read = self._store.database.read
            page_ids, waiting = await read(lambda c: vectors.pending_pages(c, limit, crawl_id))
            done = Counter(pages=0, chunks=0)
            batch: list[vectors.PendingChunk] = []
            for page_id in page_ids:
                batch += await read(partial(vectors.pending_chunks, page_id=page_id))
                while len(batch) >= EMBED_STEP:
                    done.update(await self._embed(batch[:EMBED_STEP], info.dim))
                    batch = batch[EMBED_STEP:]
            if batch:
                done.update(await self._embed(batch, info.dim))
        return WorkReport(dict(done), waiting - done["pages"])

    async def _embed(self, batch: list[vectors.PendingChunk], dim: int) -> dict[str, int]:
        rows = await self._embedder.embed([chunk.text for chunk in batch], bulk=True)
        rows = vectors.check_vectors(rows, len(batch), dim)
        chunks, pages = await self._store.put_vectors(batch, rows)
        return {"pages": pages, "chunks": chunks}


async def assess_quality(store: KnowledgeStore, clock: Clock, limit: int) -> WorkReport:
    """Assess up to `limit` pages that were not assessed since they changed."""
    now = clock.now()

    def read(connection: sqlite3.Connection) -> tuple[list[sqlite3.Row], int]:
        (waiting,) = connection.execute(
            "SELECT count(*) FROM pages WHERE quality IS NULL"
        ).fetchone()
        rows = connection.execute(
            "SELECT id, markdown, content_hash, published_at FROM pages WHERE quality IS NULL "
            "ORDER BY id LIMIT ?",
            (limit,),
        )
        return rows.fetchall(), waiting

    rows, waiting = await store.database.read(read)
    judged = []
    for row in rows:
        # A long page takes a second, in which no search would be answered.
        published_at = optional_time(row["published_at"])
        found = await asyncio.to_thread(quality.assess, row["markdown"], published_at, now)
        facts = json.dumps({"parts": dict(found.parts), "reasons": found.reasons})
        judged.append((found.score, facts, row["id"], row["content_hash"]))

    def write(write: Write) -> int:
        return write.connection.executemany(
            "UPDATE pages SET quality = ?, quality_facts = ? WHERE id = ? AND content_hash = ?",
            judged,
        ).rowcount

    pages = await store.write(write) if judged else 0
    return WorkReport({"pages": pages}, waiting - pages)


def clean_up(write: Write) -> WorkReport:
    """Drop what nobody will ask for again."""
    silent = to_text(write.now - _SILENT_CRAWLS_KEPT)
    crawls = write.connection.execute(
        "DELETE FROM crawls WHERE touched_at < ? OR (touched_at < ? AND NOT EXISTS "
        "(SELECT 1 FROM frontier f WHERE f.crawl_id = crawls.id "
        "AND f.state IN ('pending', 'leased')))",
        (silent, to_text(write.now - _FINISHED_CRAWLS_KEPT)),
    ).rowcount
    uploads = write.connection.execute(
        "DELETE FROM uploads WHERE added_at < ?", (to_text(write.now - _UPLOADS_KEPT),)
    ).rowcount
    expired = (to_text(write.now - _WRITES_KEPT),)
    writes = write.connection.execute("DELETE FROM writes WHERE applied_at < ?", expired).rowcount
    write.connection.execute("DELETE FROM fences WHERE raised_at < ?", expired)
    return WorkReport({"crawls": crawls, "uploads": uploads, "write_keys": writes}, 0)
