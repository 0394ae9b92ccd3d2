"""Embedding in batches, searching meanwhile, and what happens when the embedder is away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain.clock import FakeClock
from serve_app.domain.errors import BadRequest, ModelError, Overloaded, Unavailable
from serve_app.domain.knowledge import SearchQuery
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase
from serve_app.knowledge.upkeep import EMBED_STEP

LONG = "\n\n".join(f"## Part {n}\n\nPart {n} speaks about subject number {n}." for n in range(100))


async def test_pages_are_embedded_with_their_title_and_headings(
    knowledge: Any, embedder: Any, draft: Any, key: Any
) -> None:
    await knowledge.store_pages(
        key(), [draft("https://a.example/x", "# One\n\nText of one.", title="Page")]
    )
    await knowledge.embed_pending(5)
    assert embedder.texts == ["Page > One\n# One\n\nText of one."]


async def test_unchanged_chunks_are_not_embedded_again(
    opened: Any, embedder: Any, draft: Any, key: Any
) -> None:
    async with opened() as base:
        await base.store_pages(key(), [draft("https://a.example/x", LONG)])
        assert (await base.embed_pending(5)).counts == {"pages": 1, "chunks": 100}
        before = await base.search(SearchQuery("part 99 subject", mode="lexical"))
        embedder.texts.clear()
        changed = LONG.replace("number 7.", "number seven.") + "\n\n## New\n\nA new end."
        await base.store_pages(key(), [draft("https://a.example/x", "Preface.\n\n" + changed)])
        assert (await base.embed_pending(5)).counts == {"pages": 1, "chunks": 3}
        assert len(embedder.texts) == 3
        after = await base.search(SearchQuery("part 99 subject", mode="lexical"))
        assert after.hits[0].chunk_id == before.hits[0].chunk_id
        assert after.hits[0].start == before.hits[0].start + len("Preface.\n\nseven") - len("7")
        assert (await base.stats())["index"]["vectors"] == 102


async def test_what_was_embedded_before_an_error_is_kept(
    knowledge: Any, embedder: Any, draft: Any, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge.store_pages(key(), [draft("https://a.example/x", LONG)])
    embed, calls = embedder.embed, 0

    async def once(texts: Any, *, bulk: bool = False) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise Unavailable("The embedder is away.")
        return await embed(texts, bulk=bulk)

    monkeypatch.setattr(embedder, "embed", once)
    with pytest.raises(Unavailable):
        await knowledge.embed_pending(5)
    monkeypatch.undo()
    report = await knowledge.embed_pending(5)
    assert report.counts == {"pages": 1, "chunks": 100 - EMBED_STEP}
    assert report.remaining == 0


async def test_one_run_at_a_time_and_search_goes_on(
    opened: Any, embedder: Any, draft: Any, key: Any
) -> None:
    async with opened() as base:
        pages = [draft(f"https://a.example/{n}", f"Words of page {n}.") for n in range(3)]
        await base.store_pages(key(), pages)
        embedder.gate = asyncio.Event()
        first = asyncio.create_task(base.embed_pending(1))
        second = asyncio.create_task(base.embed_pending(5))
        await embedder.busy.wait()
        assert (await base.search(SearchQuery("words of page", mode="hybrid"))).hits
        (more,) = await base.store_pages(key(), [draft("https://a.example/9", "Later words.")])
        await base.delete_page(1)
        assert len(embedder.texts) == 1
        embedder.gate.set()
        assert (await first).counts == {"pages": 0, "chunks": 0}
        assert (await second).counts == {"pages": 3, "chunks": 3}
        hits = (await base.search(SearchQuery("words", mode="semantic"))).hits
        assert {h.page_id for h in hits} == {2, 3, more.page_id}


@pytest.mark.parametrize("error", [Unavailable("Gone."), Overloaded("Busy."), ModelError("Bad.")])
@pytest.mark.parametrize("mode", ["hybrid", "semantic"])
async def test_search_goes_on_by_words_when_the_embedder_is_away(
    knowledge: Any, embedder: Any, draft: Any, key: Any, error: Exception, mode: str
) -> None:
    await knowledge.store_pages(key(), [draft("https://a.example/x", "Oolong is a tea.")])
    await knowledge.embed_pending(5)
    embedder.error = error
    result = await knowledge.search(SearchQuery("oolong", mode=mode))
    assert [h.text for h in result.hits] == ["Oolong is a tea."]
    assert str(error) in result.degraded
    assert (await knowledge.search(SearchQuery("oolong", mode="lexical"))).degraded is None


async def test_search_does_not_wait_for_ever_for_the_embedder(
    knowledge: Any, embedder: Any, draft: Any, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge.store_pages(key(), [draft("https://a.example/x", "Oolong is a tea.")])
    await knowledge.embed_pending(5)

    async def hang(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(embedder, "embed", hang)
    monkeypatch.setattr("serve_app.knowledge.search._EMBEDDER_WAIT", 0.01)
    result = await knowledge.search(SearchQuery("oolong"))
    assert "too long" in result.degraded
    assert result.hits


async def test_another_embedder_starts_a_new_index(
    opened: Any, new_embedder: Any, draft: Any, key: Any
) -> None:
    async with opened() as base:
        await base.store_pages(key(), [draft("https://a.example/x", "Oolong is a tea.")])
        await base.embed_pending(5)
    async with opened(embedder=new_embedder("other", 8)) as base:
        result = await base.search(SearchQuery("oolong"))
        assert "new embedder" in result.degraded
        assert result.hits
        assert (await base.embed_pending(5)).counts == {"pages": 1, "chunks": 1}
        result = await base.search(SearchQuery("oolong"))
        assert (result.degraded, result.hits[0].semantic_rank) == (None, 1)
        assert (await base.stats())["index"]["dim"] == 8


async def test_vectors_of_a_wrong_shape_are_refused(
    knowledge: Any, embedder: Any, draft: Any, key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await knowledge.store_pages(key(), [draft("https://a.example/x", "Oolong is a tea.")])
    embed = embedder.embed

    async def short(texts: Any, *, bulk: bool = False) -> Any:
        return (await embed(texts, bulk=bulk))[:, :3]

    monkeypatch.setattr(embedder, "embed", short)
    with pytest.raises(ModelError, match="shape"):
        await knowledge.embed_pending(5)


async def test_searches_see_whole_writes_only(opened: Any, draft: Any, key: Any) -> None:
    """While pages are rewritten, every hit is still an exact part of one version of its page."""
    versions = [
        "\n\n".join(f"## H{i}\n\nShared word {n} and {'pad ' * (n + i)}." for i in range(6))
        for n in range(8)
    ]
    async with opened() as base:
        await base.store_pages(key(), [draft("https://a.example/x", versions[0])])

        async def rewrite() -> None:
            for n in range(20):
                await base.store_pages(key(), [draft("https://a.example/x", versions[n % 8])])

        writing = asyncio.create_task(rewrite())
        searches = 0
        while not writing.done():
            query = SearchQuery("shared", mode="lexical", neighbours=2)
            for hit in (await base.search(query)).hits:
                assert any(v[hit.start : hit.end] == hit.text for v in versions)
                searches += 1
        await writing
        assert searches


@given(st.text(max_size=40))
@settings(max_examples=40, deadline=None)
def test_no_query_breaks_the_word_index(text: str) -> None:
    async def search() -> None:
        base = KnowledgeBase(None, HashEmbedder(), FakeClock())
        await base.open()
        try:
            await base.search(SearchQuery(text, mode="lexical"))
        except BadRequest:
            assert not text.strip()
        finally:
            await base.close()

    asyncio.run(search())


@pytest.mark.parametrize("limit", [0, 10_001])
async def test_limits_are_bound(knowledge: Any, key: Any, limit: int) -> None:
    for call in (
        knowledge.embed_pending(limit),
        knowledge.assess_quality(limit),
        knowledge.stale_pages(limit),
        knowledge.link_candidates("x", limit),
        knowledge.lease_urls("c", key(), limit),
    ):
        with pytest.raises(BadRequest):
            await call
