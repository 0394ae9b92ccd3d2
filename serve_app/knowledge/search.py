"""Search: by words and by meaning, fused by reciprocal ranks, gathered into passages.

Reciprocal rank fusion is Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and
individual rank learning methods" (SIGIR 2009), with k = 10, which did best on the sets measured here.
Its score orders the hits of one search; it does not say how relevant they are.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_app.domain.errors import BadRequest, ModelError, Overloaded, Unavailable
from serve_app.domain.knowledge import Hit, SearchQuery, SearchResult
from serve_app.domain.language import EmbedderInfo
from serve_app.domain.ports import Clock, Embedder
from serve_app.knowledge import lookup
from serve_app.knowledge.rows import freshness_score, to_time
from serve_app.knowledge.store import KnowledgeStore
from serve_app.knowledge.vectors import check_vectors

RRF_K = 10
LEG = 50  # candidates of each leg
MAX_LIMIT, MAX_NEIGHBOURS, MAX_CHARS = 100, 5, 8000
_EMBEDDER_WAIT = 10.0  # seconds after which a search goes on with words alone
_INFO_AGE = timedelta(seconds=30)
_MODES = ("hybrid", "lexical", "semantic")

Vector = NDArray[np.float32]  # shape (dim,), length 1


@dataclass(frozen=True, slots=True)
class Ranked:
    """A chunk with its rank (1 is best) and score in each leg that found it."""

    chunk_id: int
    lexical_rank: int | None = None
    bm25: float | None = None
    semantic_rank: int | None = None

    @property
    def parts(self) -> dict[str, float]:
        ranks = {"lexical": self.lexical_rank, "semantic": self.semantic_rank}
        return {leg: 1 / (RRF_K + rank) for leg, rank in ranks.items() if rank is not None}

    @property
    def score(self) -> float:
        return sum(self.parts.values())


@dataclass(slots=True)
class Passage:
    """A ranked chunk and the neighbours to show with it: ordinals first..last of the page."""

    ranked: Ranked
    page_id: int
    first: int
    last: int


def fuse(
    lexical: Sequence[tuple[int, float]], semantic: Sequence[tuple[int, float]]
) -> list[Ranked]:
    """Both legs, each best first, as one ranking. Ties go to the chunk that was stored first."""
    bm25 = dict(lexical)
    lexical_rank = {chunk_id: rank for rank, chunk_id in enumerate(bm25, 1)}
    semantic_rank = {chunk_id: rank for rank, (chunk_id, _) in enumerate(semantic, 1)}
    ranked = [
        Ranked(i, lexical_rank.get(i), bm25.get(i), semantic_rank.get(i))
        for i in lexical_rank.keys() | semantic_rank.keys()
    ]
    return sorted(ranked, key=lambda r: (-r.score, r.chunk_id))


def gather(
    ranking: Sequence[Ranked], places: Mapping[int, lookup.Place], query: SearchQuery
) -> list[Passage]:
    """The best `limit` passages, at most `per_page` chunks of a page; passages that meet become one."""
    passages: list[Passage] = []
    used: Counter[int] = Counter()
    for ranked in ranking:
        place = places.get(ranked.chunk_id)
        if place is None or used[place.page_id] >= query.per_page:
            continue
        first, last = place.ordinal - query.neighbours, place.ordinal + query.neighbours
        met = [
            p
            for p in passages
            if query.neighbours
            and p.page_id == place.page_id
            and first <= p.last + 1
            and last >= p.first - 1
        ]
        if met:
            met[0].first = min(first, *(p.first for p in met))
            met[0].last = max(last, *(p.last for p in met))
            passages = [p for p in passages if p not in met[1:]]
        elif len(passages) < query.limit:
            passages.append(Passage(ranked, place.page_id, first, last))
        else:
            continue
        used[place.page_id] += 1
    return passages


class Searcher:
    """Searches a store. When the embedder is away it goes on with words and says so."""

    def __init__(self, store: KnowledgeStore, embedder: Embedder, clock: Clock) -> None:
        self._store = store
        self._embedder = embedder
        self._clock = clock
        self._info: tuple[EmbedderInfo, datetime] | None = None

    async def search(self, query: SearchQuery) -> SearchResult:
        """Raises BadRequest, with the field."""
        check_query(query)
        vector, degraded = None, None
        if query.mode != "lexical":
            vector, degraded = await self._vector(query.text)
        return await self._store.database.read(
            lambda connection: self._find(connection, query, vector, degraded)
        )

    async def _vector(self, text: str) -> tuple[Vector | None, str | None]:
        """The query's vector, or why there is none."""
        if not len(self._store.vectors.index):
            return None, "No page is embedded yet: this was searched by words alone."
        try:
            async with asyncio.timeout(_EMBEDDER_WAIT):
                info = await self._embedder_info()
                if info.key != self._store.vectors.embedder:
                    return None, "The pages wait for the new embedder: searched by words alone."
                rows = await self._embedder.embed([text])
            return check_vectors(rows, 1, info.dim)[0], None
        except (Unavailable, Overloaded, ModelError) as error:
            return None, f"Searched by words alone, the embedder is away: {error.message}"
        except TimeoutError:
            return None, "Searched by words alone: the embedder took too long."

    async def _embedder_info(self) -> EmbedderInfo:
        now = self._clock.now()
        if self._info is None or now - self._info[1] > _INFO_AGE:
            self._info = (await self._embedder.info(), now)
        return self._info[0]

    def _find(
        self,
        connection: sqlite3.Connection,
        query: SearchQuery,
        vector: Vector | None,
        degraded: str | None,
    ) -> SearchResult:
        words = lookup.query_words(query.text)
        lexical: list[tuple[int, float]] = []
        if query.mode != "semantic" or vector is None:
            lexical = lookup.by_words(connection, words, query.filters, LEG)
        semantic: list[tuple[int, float]] = []
        index = self._store.vectors.index
        if vector is not None and index.dim == len(vector):
            allowed = lookup.allowed_chunks(connection, query.filters)
            semantic = index.search(vector, LEG, allowed)
        ranking = fuse(lexical, semantic)
        places = lookup.places(connection, [ranked.chunk_id for ranked in ranking])
        passages = gather(ranking, places, query)
        cosines: dict[int, float] = {}
        if vector is not None:
            ids = [passage.ranked.chunk_id for passage in passages]
            cosines = lookup.cosines(connection, ids, vector)
        hits = tuple(self._hit(connection, passage, cosines, query) for passage in passages)
        return SearchResult(hits, lookup.inverse_frequencies(connection, words), degraded)

    def _hit(
        self,
        connection: sqlite3.Connection,
        passage: Passage,
        cosines: Mapping[int, float],
        query: SearchQuery,
    ) -> Hit:
        ranked = passage.ranked
        span = (passage.first, passage.last)
        row = lookup.passage(connection, ranked.chunk_id, passage.page_id, span)
        cosine = cosines.get(ranked.chunk_id)
        explain = _explain(ranked, cosine, query) if query.explain else None
        return Hit(
            page_id=passage.page_id,
            chunk_id=ranked.chunk_id,
            title=row["title"],
            url=row["url"],
            text=row["text"],
            start=row["start_char"],
            end=row["end_char"],
            score=ranked.score,
            heading=row["heading"],
            cosine=cosine,
            lexical_rank=ranked.lexical_rank,
            semantic_rank=ranked.semantic_rank,
            collection=row["collection"],
            fetched_at=to_time(row["fetched_at"]),
            quality=row["quality"],
            freshness=freshness_score(row, self._clock.now()),
            explain=explain,
        )


def check_query(query: SearchQuery) -> None:
    """Raises BadRequest naming the field that is off."""
    if not query.text.strip():
        raise BadRequest("A search needs words.", field="query")
    if len(query.text) > MAX_CHARS:
        raise BadRequest(f"A search may have up to {MAX_CHARS} characters.", field="query")
    if query.mode not in _MODES:
        raise BadRequest(f"The mode of a search is one of {', '.join(_MODES)}.", field="mode")
    bounds = {
        "limit": (1, MAX_LIMIT),
        "neighbours": (0, MAX_NEIGHBOURS),
        "per_page": (1, MAX_LIMIT),
    }
    for name, (low, high) in bounds.items():
        if not low <= getattr(query, name) <= high:
            raise BadRequest(f"{name} lies between {low} and {high}.", field=name)


def _explain(ranked: Ranked, cosine: float | None, query: SearchQuery) -> dict[str, Any]:
    return {
        "method": "reciprocal rank fusion",
        "k": RRF_K,
        "parts": ranked.parts,
        "lexical_rank": ranked.lexical_rank,
        "semantic_rank": ranked.semantic_rank,
        "bm25": ranked.bm25,
        "cosine": cosine,
        "words": lookup.query_words(query.text),
    }
