"""Fusion and gathering are pure: ranks in, passages out."""

from __future__ import annotations

import pytest

from serve_app.domain.errors import BadRequest
from serve_app.domain.knowledge import SearchQuery
from serve_app.knowledge.lookup import Place
from serve_app.knowledge.search import check_query, fuse, gather

PLACES = {n: Place(page_id=n // 10, ordinal=n % 10) for n in range(10, 40)}


def test_both_legs_count_and_ties_go_to_the_older_chunk() -> None:
    ranking = fuse([(10, 9.0), (11, 5.0)], [(12, 0.9), (11, 0.8)])
    assert [r.chunk_id for r in ranking] == [11, 10, 12]
    assert ranking[0].parts == {"lexical": 1 / 12, "semantic": 1 / 12}
    assert ranking[0].bm25 == 5.0
    assert (ranking[1].lexical_rank, ranking[1].semantic_rank) == (1, None)


def test_at_most_per_page_chunks_of_a_page_and_unknown_chunks_drop_out() -> None:
    ranking = fuse([(n, 1.0) for n in (99, 10, 12, 14, 20)], [])
    query = SearchQuery("x", per_page=2, limit=10)
    assert [p.ranked.chunk_id for p in gather(ranking, PLACES, query)] == [10, 12, 20]


def test_passages_that_meet_become_one() -> None:
    ranking = fuse([(n, 1.0) for n in (12, 18, 20, 15)], [])
    found = gather(ranking, PLACES, SearchQuery("x", neighbours=1, per_page=9))
    assert [(p.ranked.chunk_id, p.first, p.last) for p in found] == [(12, 1, 9), (20, -1, 1)]


def test_without_neighbours_hits_stay_apart() -> None:
    ranking = fuse([(12, 1.0), (13, 1.0)], [])
    assert len(gather(ranking, PLACES, SearchQuery("x"))) == 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (SearchQuery(" \n"), "query"),
        (SearchQuery("x" * 9000), "query"),
        (SearchQuery("x", mode="magic"), "mode"),
        (SearchQuery("x", limit=0), "limit"),
        (SearchQuery("x", limit=101), "limit"),
        (SearchQuery("x", neighbours=-1), "neighbours"),
        (SearchQuery("x", per_page=0), "per_page"),
    ],
)
def test_a_bad_query_names_its_field(query: SearchQuery, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_query(query)
    assert caught.value.field == field
