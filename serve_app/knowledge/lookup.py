"""The SQL of a search: words, filters, weights of words, and the passages themselves."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serve_app.domain.knowledge import SearchFilters
from serve_app.knowledge.index import Ids
from serve_app.knowledge.rows import to_text
from serve_app.knowledge.text import key_words, stem
from serve_app.knowledge.vectors import unpack

MAX_QUERY_WORDS = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk stands in its page."""

    page_id: int
    ordinal: int


def query_words(text: str) -> list[str]:
    return key_words(text)[:MAX_QUERY_WORDS]


def match_any(words: Sequence[str]) -> str:
    """An FTS5 query for chunks with any of the words. Quoted, so no word is read as an operator."""
    return " OR ".join(f'"{word}"' for word in words)


def match_all(words: Sequence[str]) -> str:
    return " AND ".join(f'"{word}"' for word in words)


def conditions(filters: SearchFilters) -> tuple[str, list[Any]]:
    """SQL over `p` (pages), each part beginning with AND, and its arguments."""
    parts: list[tuple[str, Any]] = []
    if filters.site:
        parts.append(("p.site = ?", filters.site.lower()))
    if filters.language:
        parts.append(("p.language = ?", filters.language))
    if filters.page_ids:
        parts.append(
            ("p.id IN (SELECT value FROM json_each(?))", json.dumps(list(filters.page_ids)))
        )
    if filters.fetched_after:
        parts.append(("p.fetched_at > ?", to_text(filters.fetched_after)))
    if filters.min_quality is not None:
        # A page that nobody has assessed yet is not a bad page.
        parts.append(("coalesce(p.quality, 1) >= ?", filters.min_quality))
    if filters.collection:
        parts.append(("p.collection = ?", filters.collection))
    return "".join(f" AND {sql}" for sql, _ in parts), [value for _, value in parts]


def by_words(
    connection: sqlite3.Connection, words: Sequence[str], filters: SearchFilters, limit: int
) -> list[tuple[int, float]]:
    """(chunk, BM25) of chunks with any of the words, best first; a higher BM25 is better."""
    if not words:
        return []
    where, arguments = conditions(filters)
    joins = "JOIN chunks c ON c.id = w.rowid JOIN pages p ON p.id = c.page_id" if where else ""
    rows = connection.execute(
        f"SELECT w.rowid AS id, -w.rank AS score FROM chunk_words w {joins} "  # noqa: S608
        f"WHERE chunk_words MATCH ?{where} ORDER BY w.rank LIMIT ?",
        (match_any(words), *arguments, limit),
    )
    return [(row["id"], row["score"]) for row in rows]


def allowed_chunks(connection: sqlite3.Connection, filters: SearchFilters) -> Ids | None:
    """The chunks that the filters let through; None when they let all through."""
    where, arguments = conditions(filters)
    if not where:
        return None
    rows = connection.execute(
        f"SELECT c.id FROM chunks c JOIN pages p ON p.id = c.page_id WHERE 1{where}",  # noqa: S608
        arguments,
    )
    return np.array([row["id"] for row in rows], dtype=np.int64)


def inverse_frequencies(connection: sqlite3.Connection, words: Sequence[str]) -> dict[str, float]:
    """Stem -> ln(1 + (N - n + 0.5) / (n + 0.5)), n of N chunks holding it (the weight in BM25)."""
    (total,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
    weights = {}
    for term in dict.fromkeys(stem(word) for word in words):
        row = connection.execute("SELECT doc FROM chunk_terms WHERE term = ?", (term,)).fetchone()
        held = row["doc"] if row else 0
        weights[term] = math.log(1 + (total - held + 0.5) / (held + 0.5))
    return weights


def places(connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, Place]:
    """Of those chunks that exist."""
    rows = connection.execute(
        "SELECT id, page_id, ordinal FROM chunks WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return {row["id"]: Place(row["page_id"], row["ordinal"]) for row in rows}


def cosines(
    connection: sqlite3.Connection, ids: Sequence[int], vector: np.ndarray[Any, Any]
) -> dict[int, float]:
    """Similarity of the query's vector to each chunk whose vector is there."""
    rows = connection.execute(
        "SELECT chunk_id, vector FROM vectors WHERE chunk_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).fetchall()
    if not rows:
        return {}
    scores = unpack([row["vector"] for row in rows], len(vector)) @ vector
    return {row["chunk_id"]: float(score) for row, score in zip(rows, scores, strict=True)}


def passage(
    connection: sqlite3.Connection, chunk_id: int, page_id: int, ordinals: tuple[int, int]
) -> Mapping[str, Any]:
    """The chunks first..last of a page as one piece of its markdown, with the page's facts."""
    row: sqlite3.Row = connection.execute(
        "WITH span AS (SELECT min(start_char) AS a, max(end_char) AS b FROM chunks "
        "WHERE page_id = :page AND ordinal BETWEEN :first AND :last) "
        "SELECT p.id, p.title, p.url, p.collection, p.fetched_at, p.quality, p.added_at, p.visits, "
        "p.changes, span.a AS start_char, span.b AS end_char, "
        "substr(p.markdown, span.a + 1, span.b - span.a) AS text, "
        "(SELECT heading FROM chunks WHERE id = :chunk) AS heading "
        "FROM pages p, span WHERE p.id = :page",
        {"page": page_id, "first": ordinals[0], "last": ordinals[1], "chunk": chunk_id},
    ).fetchone()
    return dict(row)
