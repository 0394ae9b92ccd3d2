"""Counts, sizes and growth of the knowledge base."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from serve_app.domain.knowledge import SYSTEM
from serve_app.knowledge.rows import to_text
from serve_app.knowledge.vectors import VectorIndex, generation

GROWTH_DAYS = 30

_PAGES = """
SELECT count(*) AS pages,
       count(*) FILTER (WHERE status = 'active') AS active,
       count(*) FILTER (WHERE status = 'duplicate') AS duplicates,
       count(*) FILTER (WHERE status = 'gone') AS gone,
       count(*) FILTER (WHERE embedded = 0) AS waiting_for_embedding,
       count(DISTINCT nullif(site, '')) AS sites,
       coalesce(sum(words), 0) AS words,
       count(quality) AS assessed,
       avg(quality) AS mean_quality
FROM pages WHERE collection {which} ?
"""

_CHUNKS = """
SELECT count(*) AS chunks, count(v.chunk_id) AS vectors
FROM chunks c JOIN pages p ON p.id = c.page_id LEFT JOIN vectors v ON v.chunk_id = c.id
WHERE p.collection {which} ?
"""


def collect(connection: sqlite3.Connection, index: VectorIndex, now: datetime) -> Mapping[str, Any]:
    """All figures but the bytes on disk. The brain's own pages are counted apart, under `system`."""
    system = _counts(connection, "=")
    return {
        **_counts(connection, "<>"),
        "system": {name: system[name] for name in ("pages", "chunks", "vectors")},
        "growth": _growth(connection, now),
        "index": {
            "kind": index.index.kind,
            "vectors": len(index.index),
            "dim": index.index.dim if index.embedder else None,
            "embedder": index.embedder,
            "generation": generation(connection),
        },
    }


def _counts(connection: sqlite3.Connection, which: str) -> dict[str, Any]:
    pages = connection.execute(_PAGES.format(which=which), (SYSTEM,)).fetchone()
    chunks = connection.execute(_CHUNKS.format(which=which), (SYSTEM,)).fetchone()
    return {**dict(pages), **dict(chunks)}


def _growth(connection: sqlite3.Connection, now: datetime) -> list[dict[str, Any]]:
    """Pages added on each of the last days, oldest first, days without any too."""
    first = now - timedelta(days=GROWTH_DAYS - 1)
    rows = connection.execute(
        "SELECT substr(added_at, 1, 10) AS day, count(*) AS pages FROM pages "
        "WHERE collection <> ? AND added_at >= ? GROUP BY day",
        (SYSTEM, to_text(first)[:10]),
    )
    added = {row["day"]: row["pages"] for row in rows}
    days = [to_text(first + timedelta(days=n))[:10] for n in range(GROWTH_DAYS)]
    return [{"day": day, "pages": added.get(day, 0)} for day in days]


def bytes_on_disk(directory: Path | None) -> dict[str, int]:
    """File name -> bytes, and their `total`; only the total, 0, for a store in memory."""
    files = {}
    if directory is not None:
        files = {f.name: f.stat().st_size for f in sorted(directory.iterdir()) if f.is_file()}
    return {**files, "total": sum(files.values())}
