"""What every implementation of the Knowledge port does, on disk and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from serve_app.domain.clock import FakeClock
from serve_app.domain.errors import BadRequest, NotFound, StaleAttempt
from serve_app.domain.knowledge import (
    SYSTEM,
    Link,
    PageDraft,
    PageQuery,
    SearchFilters,
    SearchQuery,
    Upload,
    WriteKey,
)
from serve_app.domain.ports import Knowledge
from serve_app.domain.web import CrawlFailure, FetchOutcome, FrontierUrl
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase

RAY = "# Ray\n\nRay Serve scales replicas of a deployment.\n\n## Actors\n\nAn actor keeps state in a worker process."
TEA = "# Tea\n\nGreen tea is steeped at eighty degrees.\n\n## Oolong\n\nOolong is partly oxidised."
GUIDE = PageDraft(
    "omeruta://guide/start",
    "omeruta://guide/start",
    "Start",
    "# Start\n\nThe brain starts by omeruta up.",
    source="docs",
    collection=SYSTEM,
)


def draft(name: str, markdown: str, host: str = "a.example", **more: object) -> PageDraft:
    url = f"https://{host}/{name}"
    return PageDraft(url=url, fetched_url=url, title=name.title(), markdown=markdown, **more)  # type: ignore[arg-type]


def step(name: str, attempt: int = 1, task: str = "t1") -> WriteKey:
    return WriteKey(task, attempt, name)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "disk"])
async def knowledge(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Knowledge]:
    directory = tmp_path / "kb" if request.param == "disk" else None
    base = KnowledgeBase(directory, HashEmbedder(), clock, system_pages=[GUIDE])
    await base.open()
    yield base
    await base.close()


async def test_a_page_is_stored_read_and_listed(knowledge: Knowledge, clock: FakeClock) -> None:
    (stored,) = await knowledge.store_pages(
        step("s"), [draft("ray", RAY, language="en", etag='"1"', author="A. Writer")]
    )
    assert (stored.change, stored.chunks, stored.duplicate_of) == ("added", 2, None)
    page = await knowledge.get_page(stored.page_id)
    assert page.clean_markdown == RAY
    assert (page.site, page.language, page.etag, page.author) == (
        "a.example",
        "en",
        '"1"',
        "A. Writer",
    )
    assert page.fetched_at == clock.now()
    assert page.status == "active"
    assert not page.is_processed_for_embeddings
    assert page.freshness is not None
    assert page.freshness.score == 1.0
    assert page.freshness.next_visit == clock.now() + timedelta(days=30)
    assert (await knowledge.find_page("https://a.example/ray")) == page
    assert await knowledge.find_page("https://a.example/none") is None
    listed = await knowledge.list_pages(PageQuery())
    assert [p.id for p in listed.items] == [page.id]
    assert listed.items[0].clean_markdown == ""
    assert (listed.total, listed.next_cursor) == (1, None)


async def test_the_same_content_again_changes_nothing_but_the_visit(
    knowledge: Knowledge, clock: FakeClock
) -> None:
    await knowledge.store_pages(step("1"), [draft("ray", RAY)])
    await knowledge.embed_pending(10)
    await clock.advance(60)
    (again,) = await knowledge.store_pages(step("2"), [draft("ray", RAY, etag='"2"')])
    page = await knowledge.get_page(again.page_id)
    assert again.change == "unchanged"
    assert page.is_processed_for_embeddings
    assert (page.etag, page.fetched_at) == ('"2"', clock.now())


async def test_a_changed_page_is_found_by_its_new_words_only(knowledge: Knowledge) -> None:
    await knowledge.store_pages(step("1"), [draft("ray", RAY)])
    (changed,) = await knowledge.store_pages(
        step("2"), [draft("ray", RAY.replace("scales replicas", "multiplies copies"))]
    )
    assert changed.change == "changed"
    query = SearchQuery("replicas", mode="lexical")
    assert (await knowledge.search(query)).hits == ()
    assert len((await knowledge.search(SearchQuery("copies", mode="lexical"))).hits) == 1


async def test_a_write_is_applied_once_and_old_attempts_are_refused(knowledge: Knowledge) -> None:
    first = await knowledge.store_pages(step("s"), [draft("ray", RAY)])
    again = await knowledge.store_pages(step("s", attempt=2), [draft("tea", TEA)])
    assert again == first
    assert await knowledge.find_page("https://a.example/tea") is None
    with pytest.raises(StaleAttempt):
        await knowledge.store_pages(step("late", attempt=1), [draft("tea", TEA)])
    await knowledge.store_pages(step("s", task="t2"), [draft("tea", TEA)])
    assert (await knowledge.list_pages(PageQuery())).total == 2


async def test_a_failing_batch_leaves_nothing_behind(knowledge: Knowledge) -> None:
    naive = draft("bad", TEA, published_at=datetime(2026, 1, 1))
    with pytest.raises(BadRequest):
        await knowledge.store_pages(step("s"), [draft("ray", RAY), naive])
    assert (await knowledge.list_pages(PageQuery())).total == 0
    (stored,) = await knowledge.store_pages(step("s"), [draft("ray", RAY)])
    assert stored.change == "added"


async def test_duplicates_follow_the_page_that_is_kept(knowledge: Knowledge) -> None:
    kept, second, third = await knowledge.store_pages(
        step("1"), [draft("tea", TEA), draft("tea2", TEA + "\n"), draft("tea3", TEA.upper())]
    )
    assert (second.change, second.duplicate_of, second.chunks) == ("duplicate", kept.page_id, 0)
    assert third.duplicate_of == kept.page_id
    found = await knowledge.find_page("https://a.example/tea2")
    assert found is not None
    assert found.id == kept.page_id
    await knowledge.delete_page(kept.page_id)
    promoted = await knowledge.get_page(second.page_id)
    assert (promoted.status, promoted.chunks) == ("active", 2)
    assert (await knowledge.get_page(third.page_id)).duplicate_of == second.page_id
    await knowledge.store_pages(step("2"), [draft("tea2", RAY)])
    assert (await knowledge.get_page(third.page_id)).status == "active"
    (back,) = await knowledge.store_pages(step("3"), [draft("tea2", TEA)])
    assert back.duplicate_of == third.page_id


async def test_a_deleted_page_is_gone_from_every_index(knowledge: Knowledge) -> None:
    (stored,) = await knowledge.store_pages(step("1"), [draft("tea", TEA)])
    await knowledge.embed_pending(10)
    await knowledge.delete_page(stored.page_id)
    for mode in ("lexical", "semantic", "hybrid"):
        hits = (await knowledge.search(SearchQuery("oolong tea", mode=mode))).hits
        assert not [h for h in hits if h.page_id == stored.page_id]
    with pytest.raises(NotFound):
        await knowledge.get_page(stored.page_id)
    with pytest.raises(NotFound):
        await knowledge.delete_page(stored.page_id)
    stats = await knowledge.stats()
    assert (stats["pages"], stats["chunks"], stats["vectors"]) == (0, 0, 0)


@pytest.mark.parametrize("mode", ["hybrid", "lexical", "semantic"])
async def test_search_answers_with_exact_passages(knowledge: Knowledge, mode: str) -> None:
    stored = await knowledge.store_pages(step("1"), [draft("ray", RAY), draft("tea", TEA)])
    report = await knowledge.embed_pending(10)
    assert (report.counts, report.remaining) == ({"pages": 3, "chunks": 5}, 0)
    result = await knowledge.search(SearchQuery("partly oxidised oolong", mode=mode, explain=True))
    hit = result.hits[0]
    assert result.degraded is None
    assert hit.page_id == stored[1].page_id
    assert (hit.text, hit.heading) == (TEA[hit.start : hit.end], "Tea > Oolong")
    assert hit.explain is not None
    assert hit.lexical_rank == (None if mode == "semantic" else 1)
    assert hit.semantic_rank == (None if mode == "lexical" else 1)
    assert (hit.cosine is None) == (mode == "lexical")
    assert result.idf.keys() == {"partli", "oxidis", "oolong"}
    assert all(weight > 0 for weight in result.idf.values())


async def test_neighbours_are_merged_exactly(knowledge: Knowledge) -> None:
    await knowledge.store_pages(step("1"), [draft("tea", TEA)])
    query = SearchQuery("oxidised", mode="lexical", neighbours=1)
    (hit,) = (await knowledge.search(query)).hits
    assert hit.text == TEA
    assert (hit.start, hit.end) == (0, len(TEA))


async def test_filters_hold_in_both_legs(knowledge: Knowledge, clock: FakeClock) -> None:
    await knowledge.store_pages(step("1"), [draft("tea", TEA, "one.example", language="en")])
    await clock.advance(3600)
    later = TEA.replace("eighty", "ninety")
    (second,) = await knowledge.store_pages(step("2"), [draft("tea", later, "two.example")])
    await knowledge.embed_pending(10)
    for filters in (
        SearchFilters(site="two.example"),
        SearchFilters(page_ids=(second.page_id,)),
        SearchFilters(fetched_after=clock.now() - timedelta(minutes=1), collection="main"),
    ):
        for mode in ("lexical", "semantic", "hybrid"):
            query = SearchQuery("oolong tea", mode=mode, filters=filters)
            hits = (await knowledge.search(query)).hits
            assert {h.page_id for h in hits} == {second.page_id}
    english = await knowledge.search(SearchQuery("tea", filters=SearchFilters(language="en")))
    assert {h.url for h in english.hits} == {"https://one.example/tea"}
    none = SearchQuery("tea", filters=SearchFilters(collection="elsewhere"))
    assert (await knowledge.search(none)).hits == ()


async def test_quality_is_assessed_and_filters(knowledge: Knowledge) -> None:
    (stored,) = await knowledge.store_pages(step("1"), [draft("tea", TEA)])
    report = await knowledge.assess_quality(10)
    assert (report.counts, report.remaining) == ({"pages": 2}, 0)
    page = await knowledge.get_page(stored.page_id)
    assert page.quality is not None
    assert 0 < page.quality.score < 1
    assert page.quality.reasons
    query = SearchQuery("oolong", filters=SearchFilters(min_quality=0.99))
    assert (await knowledge.search(query)).hits == ()
    assert (await knowledge.assess_quality(10)).counts == {"pages": 0}


async def test_the_brains_own_pages_are_found_and_not_counted(knowledge: Knowledge) -> None:
    (hit,) = (await knowledge.search(SearchQuery("how the brain starts", mode="lexical"))).hits
    assert (hit.collection, hit.url) == (SYSTEM, GUIDE.url)
    assert (await knowledge.list_pages(PageQuery())).total == 0
    stats = await knowledge.stats()
    assert (stats["pages"], stats["system"]["pages"]) == (0, 1)
    assert [batch async for batch in knowledge.export()] == []


async def test_listing_sorts_filters_and_pages(knowledge: Knowledge, clock: FakeClock) -> None:
    for n in range(5):
        host = "odd.example" if n % 2 else "even.example"
        page = draft(f"p{n}_x", f"Number {n} speaks of {'tea' if n < 2 else 'ray'}.", host)
        await knowledge.store_pages(step(f"s{n}"), [page])
        await clock.advance(1)
    for sort, expected in {
        "-fetched_at": "43210",
        "fetched_at": "01234",
        "title": "01234",
        "-quality": "43210",
        "url": "02413",
    }.items():
        seen, cursor = "", None
        while True:
            listed = await knowledge.list_pages(PageQuery(sort=sort, limit=2, cursor=cursor))
            assert listed.total == 5
            seen += "".join(p.title[1] for p in listed.items)
            if (cursor := listed.next_cursor) is None:
                break
        assert seen == expected, sort
    assert (await knowledge.list_pages(PageQuery(site="odd.example"))).total == 2
    assert (await knowledge.list_pages(PageQuery(q="tea number"))).total == 2
    assert (await knowledge.list_pages(PageQuery(q="P1_X"))).total == 1
    assert (await knowledge.list_pages(PageQuery(q="%"))).total == 0
    assert (await knowledge.list_pages(PageQuery(status="gone"))).total == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (PageQuery(sort="colour"), "sort"),
        (PageQuery(limit=0), "limit"),
        (PageQuery(status="lost"), "status"),
        (PageQuery(cursor="???"), "cursor"),
        (PageQuery(cursor="NQ=="), "cursor"),
        (PageQuery(cursor="WyJ4IiwgMSwgMl0="), "cursor"),
    ],
)
async def test_a_bad_listing_names_its_field(
    knowledge: Knowledge, query: PageQuery, field: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await knowledge.list_pages(query)
    assert caught.value.field == field


async def test_uploads_are_kept_until_cleaned_up(knowledge: Knowledge, clock: FakeClock) -> None:
    upload = Upload("u1", "notes.txt", "text/plain", b"\x00bytes")
    await knowledge.put_upload(upload)
    await knowledge.put_upload(upload)
    assert await knowledge.get_upload("u1") == upload
    await clock.advance(8 * 86400)
    assert (await knowledge.clean_up()).counts["uploads"] == 1
    with pytest.raises(NotFound):
        await knowledge.get_upload("u1")


def address(name: str, depth: int = 0) -> FrontierUrl:
    url = f"https://a.example/{name}"
    return FrontierUrl(url, url, depth)


async def test_a_crawl_from_seed_to_done(knowledge: Knowledge) -> None:
    counts = await knowledge.open_crawl("c", step("open"), [address("ray"), address("ray")])
    assert (counts.found, counts.pending) == (1, 1)
    leased = await knowledge.lease_urls("c", step("lease 1"), 5)
    assert leased == [address("ray")]
    assert await knowledge.lease_urls("c", step("lease 2"), 5) == []
    found = (address("tea", 1), address("deep", 2), address("gone", 1), address("ray", 1))
    update = await knowledge.record_fetches(
        "c", step("b1"), [FetchOutcome(leased[0].key, draft("ray", RAY), found=found)]
    )
    assert not update.done
    assert [p.change for p in update.pages] == ["added"]
    assert [a.depth for a in await knowledge.lease_urls("c", step("lease 3"), 2)] == [1, 1]
    (last,) = await knowledge.lease_urls("c", step("lease 4"), 2)
    assert last == address("deep", 2)
    failure = CrawlFailure("https://a.example/gone", "http_404", "It is gone.")
    update = await knowledge.record_fetches(
        "c",
        step("b2"),
        [
            FetchOutcome(address("tea").key, draft("tea", TEA)),
            FetchOutcome(address("gone").key, failure=failure, gone=True),
            FetchOutcome(address("deep").key, failure=CrawlFailure("u", "robots", "No.")),
            FetchOutcome("https://a.example/unknown", draft("unknown", "Not asked for.")),
        ],
    )
    assert update.done
    assert update.failures[0] == failure
    assert update.counts.reasons == {"http_404": 1, "robots": 1}
    await knowledge.embed_pending(10, crawl_id="c")
    assert (await knowledge.crawl_counts("c")).as_dict() == {
        "found": 4,
        "fetched": 2,
        "stored": 2,
        "embedded": 2,
        "failed": 2,
    }
    assert await knowledge.find_page("https://a.example/unknown") is None


async def test_recording_a_batch_again_answers_the_same(knowledge: Knowledge) -> None:
    await knowledge.open_crawl("c", step("open"), [address("ray")])
    await knowledge.lease_urls("c", step("lease 5"), 5)
    outcomes = [FetchOutcome(address("ray").key, draft("ray", RAY))]
    first = await knowledge.record_fetches("c", step("b"), outcomes)
    assert await knowledge.record_fetches("c", step("b"), outcomes) == first


async def test_a_new_attempt_takes_over_the_leases(knowledge: Knowledge) -> None:
    await knowledge.open_crawl("c", step("open"), [address("ray"), address("tea")])
    await knowledge.lease_urls("c", step("lease 6"), 1)
    counts = await knowledge.open_crawl("c", step("open", attempt=2), [address("ray")])
    assert (counts.pending, counts.leased) == (2, 0)
    late = [FetchOutcome(address("ray").key, draft("ray", RAY))]
    with pytest.raises(StaleAttempt):
        await knowledge.record_fetches("c", step("b", attempt=1), late)
    with pytest.raises(StaleAttempt):
        await knowledge.lease_urls("c", step("lease 7", attempt=1), 1)
    assert len(await knowledge.lease_urls("c", step("lease 8", attempt=2), 9)) == 2
    update = await knowledge.record_fetches("c", step("b", attempt=2), late)
    assert (update.counts.stored, update.counts.leased) == (1, 1)


async def test_leasing_again_by_the_same_step_answers_the_same(knowledge: Knowledge) -> None:
    await knowledge.open_crawl("c", step("open"), [address("ray"), address("tea")])
    first = await knowledge.lease_urls("c", step("lease/1"), 1)
    assert await knowledge.lease_urls("c", step("lease/1"), 1) == first
    assert (await knowledge.crawl_counts("c")).leased == 1
    await knowledge.open_crawl("c", step("open", attempt=2), [])
    await knowledge.lease_urls("c", step("lease/1", attempt=2), 2)
    assert (await knowledge.crawl_counts("c")).leased == 2


async def test_an_unknown_crawl_is_not_found(knowledge: Knowledge) -> None:
    with pytest.raises(NotFound):
        await knowledge.crawl_counts("none")
    with pytest.raises(NotFound):
        await knowledge.lease_urls("none", step("lease"), 1)


async def test_gone_and_unmodified_pages(knowledge: Knowledge, clock: FakeClock) -> None:
    ray, tea = await knowledge.store_pages(step("1"), [draft("ray", RAY), draft("tea", TEA)])
    await clock.advance(31 * 86400)
    assert [p.page_id for p in await knowledge.stale_pages(9)] == [ray.page_id, tea.page_id]
    await knowledge.open_crawl("c", step("open"), [address("ray"), address("tea")])
    await knowledge.lease_urls("c", step("lease"), 5)
    failure = CrawlFailure("https://a.example/tea", "http_410", "It is gone.")
    await knowledge.record_fetches(
        "c",
        step("b"),
        [
            FetchOutcome(address("ray").key, not_modified=True),
            FetchOutcome(address("tea").key, failure=failure, gone=True),
        ],
    )
    assert (await knowledge.get_page(ray.page_id)).fetched_at == clock.now()
    gone = await knowledge.get_page(tea.page_id)
    assert (gone.status, gone.chunks, gone.clean_markdown) == ("gone", 0, TEA)
    assert (await knowledge.search(SearchQuery("oolong", mode="lexical"))).hits == ()
    assert await knowledge.stale_pages(9) == []
    (back,) = await knowledge.store_pages(step("2"), [draft("tea", TEA)])
    assert back.change == "changed"
    assert (await knowledge.get_page(tea.page_id)).status == "active"


async def test_finished_crawls_are_cleaned_up(knowledge: Knowledge, clock: FakeClock) -> None:
    await knowledge.open_crawl("open", step("o1", task="a"), [address("ray")])
    await knowledge.open_crawl("done", step("o2", task="b"), [])
    await clock.advance(8 * 86400)
    assert (await knowledge.clean_up()).counts["crawls"] == 1
    assert (await knowledge.crawl_counts("open")).pending == 1
    await clock.advance(60 * 86400)
    assert (await knowledge.clean_up()).counts["crawls"] == 1


async def test_links_never_read_are_proposed(knowledge: Knowledge) -> None:
    links = (
        Link("https://b.example/oolong", "brewing Oolong teas"),
        Link("https://b.example/cars", "fast cars"),
        Link("https://a.example/ray", "oolong"),
    )
    one, two = draft("tea", TEA, links=links), draft("more", TEA + " More.", links=links[:1])
    await knowledge.store_pages(step("1"), [draft("ray", RAY), one, two])
    (only,) = await knowledge.link_candidates("how to brew oolong tea", 5)
    assert (only.url, only.inlinks) == ("https://b.example/oolong", 2)
    assert only.score > 1
    assert await knowledge.link_candidates("?", 5) == []


async def test_export_gives_every_page_once(knowledge: Knowledge) -> None:
    drafts = [draft(f"p{n}", f"Page {n} says {n}.") for n in range(120)]
    await knowledge.store_pages(step("1"), drafts)
    batches = [batch async for batch in knowledge.export()]
    assert [len(batch) for batch in batches] == [50, 50, 20]
    assert batches[0][0]["clean_markdown"] == "Page 0 says 0."
    assert len({page["url"] for batch in batches for page in batch}) == 120


async def test_stats_tell_counts_index_and_growth(knowledge: Knowledge) -> None:
    await knowledge.store_pages(step("1"), [draft("tea", TEA), draft("tea2", TEA)])
    await knowledge.embed_pending(10)
    stats = await knowledge.stats()
    assert (stats["pages"], stats["active"], stats["duplicates"], stats["sites"]) == (2, 1, 1, 1)
    assert (stats["chunks"], stats["vectors"], stats["index"]["vectors"]) == (2, 2, 3)
    assert stats["index"]["embedder"] == (await HashEmbedder().info()).key
    assert (len(stats["growth"]), stats["growth"][-1]["pages"]) == (30, 2)
    assert stats["bytes"]["total"] >= 0


async def test_a_page_that_can_not_be_read_again_gives_way_to_others(
    knowledge: Knowledge, clock: FakeClock
) -> None:
    (tea,) = await knowledge.store_pages(step("1"), [draft("tea", TEA)])
    await clock.advance(60)
    (ray,) = await knowledge.store_pages(step("2"), [draft("ray", RAY)])
    await clock.advance(31 * 86400)
    assert [p.page_id for p in await knowledge.stale_pages(1)] == [tea.page_id]
    await knowledge.open_crawl("c", step("open"), [address("tea")])
    await knowledge.lease_urls("c", step("lease"), 1)
    failure = CrawlFailure("https://a.example/tea", "timeout", "It took too long.")
    await knowledge.record_fetches(
        "c", step("b"), [FetchOutcome(address("tea").key, failure=failure)]
    )
    assert [p.page_id for p in await knowledge.stale_pages(9)] == [ray.page_id]
    await clock.advance(4 * 86400)
    assert [p.page_id for p in await knowledge.stale_pages(9)] == [ray.page_id, tea.page_id]


async def test_odd_facts_of_a_draft_are_held_as_far_as_they_can(
    knowledge: Knowledge, clock: FakeClock
) -> None:
    far = datetime(9999, 12, 31, tzinfo=clock.now().tzinfo)
    odd = draft("odd", TEA, fetched_at=far, source="import", language="\ud800", etag="a\x00b")
    (stored,) = await knowledge.store_pages(step("1"), [odd])
    page = await knowledge.get_page(stored.page_id)
    assert (page.fetched_at, page.language, page.etag) == (clock.now(), "\ufffd", "a\ufffdb")
