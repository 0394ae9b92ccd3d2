"""The writer of the knowledge base: one transaction at a time, the search index following each commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from serve_app.domain.language import EmbedderInfo
from serve_app.domain.ports import Clock, Vectors
from serve_app.knowledge import vectors as vectors_
from serve_app.knowledge.database import Database
from serve_app.knowledge.vectors import PendingChunk, VectorIndex
from serve_app.knowledge.writes import Write

T = TypeVar("T")


class KnowledgeStore:
    """Owns the database and the index. All changes of either go through here."""

    def __init__(self, directory: Path | None, clock: Clock, *, lock_timeout: float = 60.0) -> None:
        self.database = Database(directory, lock_timeout=lock_timeout)
        self.vectors = VectorIndex(directory)
        self._clock = clock

    async def open(self) -> None:
        await self.database.open()
        try:
            await self.database.in_writer(self.vectors.open)
        except BaseException:
            await self.database.close()
            raise

    async def close(self) -> None:
        """Save the index and let go of the store. Harmless when not open."""
        if not self.database.is_open:
            return
        try:
            await self.database.in_writer(self.vectors.save)
        finally:
            await self.database.close()

    async def write(self, work: Callable[[Write], T]) -> T:
        """Run `work` as one transaction; what it removed leaves the index before this returns."""

        def run(connection: sqlite3.Connection) -> T:
            with self.database.transaction():
                write = Write(connection, self._clock.now())
                answer = work(write)
                if write.removed:
                    vectors_.count_change(write)
            self.vectors.index.remove(write.removed)
            return answer

        return await self.database.in_writer(run)

    async def use_embedder(self, info: EmbedderInfo) -> None:
        """From now on vectors are made by `info`; those of another embedder are dropped."""

        def run(connection: sqlite3.Connection) -> None:
            if self.vectors.embedder == info.key:
                return
            with self.database.transaction():
                vectors_.switch_embedder(Write(connection, self._clock.now()), info)
            self.vectors.switch(info)

        await self.database.in_writer(run)

    async def put_vectors(
        self, chunks: Sequence[PendingChunk], vectors: Vectors
    ) -> tuple[int, int]:
        """Keep and index the vectors of chunks that still exist; answers how many chunks that were,
        and how many pages are complete by them."""

        def run(connection: sqlite3.Connection) -> tuple[int, int]:
            with self.database.transaction():
                write = Write(connection, self._clock.now())
                kept = vectors_.put_vectors(write, chunks, vectors)
                pages = vectors_.settle_pages(write, {chunk.page_id for chunk in chunks})
            # Rounded as stored, so that an index built from the store finds the same.
            rounded = vectors[kept].astype("float16").astype("float32")
            self.vectors.index.put([chunks[position].id for position in kept], rounded)
            return len(kept), pages

        return await self.database.in_writer(run)
