"""Vectors in the store, and the search index that mirrors them.

Every change of the vectors counts `index_generation` up in its own transaction; a saved index of another
generation, or made by another embedder, is not used. All of it runs in the writer's thread, the index
following each commit at once.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serve_app.domain.errors import ModelError
from serve_app.domain.language import EmbedderInfo
from serve_app.domain.ports import Vectors
from serve_app.knowledge.chunking import embedded_text
from serve_app.knowledge.index import FaissIndex, MemoryIndex, SearchIndex
from serve_app.knowledge.writes import Write

log = logging.getLogger(__name__)

INDEX_FILE = "index.faiss"
_ROWS = 5000  # read at a time when the index is built
_HALF = np.dtype("<f2")


@dataclass(frozen=True, slots=True)
class PendingChunk:
    id: int
    page_id: int
    text: str  # as the embedder reads it


class VectorIndex:
    """The search index in use, and the embedder whose vectors it holds (None before the first)."""

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / INDEX_FILE if directory else None
        self._saved_generation = -1
        self.embedder: str | None = None
        self.index: SearchIndex = self._new(1)

    def open(self, connection: sqlite3.Connection) -> None:
        """Load the saved index, or build it from the store."""
        meta = _meta(connection)
        self.embedder = meta.get("embedder")
        if self.embedder is None:
            return
        dim, now = int(meta["dim"]), int(meta["index_generation"])
        loaded = FaissIndex.load(self._path, dim, now, self.embedder) if self._path else None
        if loaded is not None:
            self._saved_generation = now
        self.index = loaded or self._build(connection, dim)

    def save(self, connection: sqlite3.Connection) -> None:
        """Keep the index on disk, when it has changed since. Failing costs a rebuild, nothing else."""
        now = generation(connection)
        if self._path and self.embedder and isinstance(self.index, FaissIndex):
            if now == self._saved_generation:
                return
            try:
                self.index.save(self._path, now, self.embedder)
            except OSError as error:
                log.warning("The search index could not be saved: %s", error)
                return
            self._saved_generation = now

    def switch(self, info: EmbedderInfo) -> None:
        """Begin an empty index for another embedder."""
        self.index, self.embedder = self._new(info.dim), info.key

    def _new(self, dim: int) -> SearchIndex:
        return FaissIndex(dim) if self._path else MemoryIndex(dim)

    def _build(self, connection: sqlite3.Connection, dim: int) -> SearchIndex:
        index = self._new(dim)
        rows = connection.execute("SELECT chunk_id, vector FROM vectors ORDER BY chunk_id")
        while batch := rows.fetchmany(_ROWS):
            index.put([r["chunk_id"] for r in batch], unpack([r["vector"] for r in batch], dim))
        return index


def pack(vector: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bytes:
    return vector.astype(_HALF).tobytes()


def unpack(blobs: Sequence[bytes], dim: int) -> Vectors:
    return np.frombuffer(b"".join(blobs), dtype=_HALF).reshape(len(blobs), dim).astype(np.float32)


def _meta(connection: sqlite3.Connection) -> dict[str, str]:
    return {r["name"]: r["value"] for r in connection.execute("SELECT name, value FROM meta")}


def generation(connection: sqlite3.Connection) -> int:
    return int(_meta(connection)["index_generation"])


def count_change(write: Write) -> None:
    """Make every index saved so far out of date."""
    write.connection.execute(
        "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'index_generation'"
    )


def switch_embedder(write: Write, info: EmbedderInfo) -> None:
    """Vectors of two embedders cannot be compared: drop those there are, all pages wait again."""
    write.connection.execute("DELETE FROM vectors")
    write.connection.execute(
        "UPDATE pages SET embedded = 0 WHERE EXISTS "
        "(SELECT 1 FROM chunks c WHERE c.page_id = pages.id)"
    )
    write.connection.executemany(
        "INSERT INTO meta (name, value) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [("embedder", info.key), ("dim", str(info.dim))],
    )
    count_change(write)


def pending_pages(
    connection: sqlite3.Connection, limit: int, crawl_id: str | None = None
) -> tuple[list[int], int]:
    """Up to `limit` pages that wait to be embedded, first stored first, and how many wait in all."""
    where = "embedded = 0"
    arguments: list[object] = []
    if crawl_id is not None:
        where += " AND id IN (SELECT page_id FROM frontier WHERE crawl_id = ?)"
        arguments.append(crawl_id)
    (waiting,) = connection.execute(
        f"SELECT count(*) FROM pages WHERE {where}",  # noqa: S608 (own words)
        arguments,
    ).fetchone()
    rows = connection.execute(
        f"SELECT id FROM pages WHERE {where} ORDER BY id LIMIT ?",  # noqa: S608 (own words)
        [*arguments, limit],
    )
    return [row["id"] for row in rows], waiting


def pending_chunks(connection: sqlite3.Connection, page_id: int) -> list[PendingChunk]:
    rows = connection.execute(
        "SELECT c.id, c.title, c.heading, c.body FROM chunks c "
        "LEFT JOIN vectors v ON v.chunk_id = c.id "
        "WHERE c.page_id = ? AND v.chunk_id IS NULL ORDER BY c.ordinal",
        (page_id,),
    )
    return [
        PendingChunk(r["id"], page_id, embedded_text(r["title"], r["heading"], r["body"]))
        for r in rows
    ]


def put_vectors(write: Write, chunks: Sequence[PendingChunk], vectors: Vectors) -> list[int]:
    """Keep the vectors of chunks that still exist; answers the positions of those."""
    kept = []
    for position, chunk in enumerate(chunks):
        cursor = write.connection.execute(
            "INSERT INTO vectors (chunk_id, vector) SELECT id, ? FROM chunks WHERE id = ? "
            "ON CONFLICT (chunk_id) DO UPDATE SET vector = excluded.vector",
            (pack(vectors[position]), chunk.id),
        )
        if cursor.rowcount:
            kept.append(position)
    count_change(write)
    return kept


def settle_pages(write: Write, page_ids: Iterable[int]) -> int:
    """Mark those pages as embedded of which every chunk has its vector; answers how many."""
    settled = 0
    for page_id in page_ids:
        settled += write.connection.execute(
            "UPDATE pages SET embedded = 1 WHERE id = ? AND embedded = 0 AND NOT EXISTS ("
            "SELECT 1 FROM chunks c LEFT JOIN vectors v ON v.chunk_id = c.id "
            "WHERE c.page_id = pages.id AND v.chunk_id IS NULL)",
            (page_id,),
        ).rowcount
    return settled


def check_vectors(vectors: Vectors, count: int, dim: int) -> Vectors:
    """Raises ModelError for vectors that cannot be of these texts."""
    if vectors.shape != (count, dim) or not np.isfinite(vectors).all():
        raise ModelError(
            f"The embedder answered {count} texts with vectors of shape {vectors.shape}, "
            f"where ({count}, {dim}) finite numbers are due."
        )
    return vectors
