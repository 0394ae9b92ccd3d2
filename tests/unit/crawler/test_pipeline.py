"""A whole crawl of the example site into a real knowledge base."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio

from crawler import patience
from crawler.pipeline import SiteCrawler
from crawler.pool import ReadingPool
from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import BadRequest, StaleAttempt, Unavailable
from serve_app.domain.knowledge import WorkReport
from serve_app.domain.web import CrawlJob, CrawlUpdate
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase
from serve_app.settings import CrawlSettings
from support.site import QUESTIONS, ExampleSite

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = CrawlSettings(
    allow_networks=("127.0.0.0/8",), host_delay=0, per_host=8, contact="https://brain.test/"
)


@pytest.fixture(scope="module")
def site() -> Iterator[ExampleSite]:
    with ExampleSite() as site:
        yield site


@pytest_asyncio.fixture(loop_scope="module")
async def knowledge() -> AsyncIterator[KnowledgeBase]:
    base = KnowledgeBase(None, HashEmbedder(), SystemClock())
    await base.open()
    yield base
    await base.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ReadingPool]:
    pool = ReadingPool(timeout=30, slots=1)
    yield pool
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module")
async def crawler(knowledge: KnowledgeBase, pool: ReadingPool) -> AsyncIterator[SiteCrawler]:
    crawler = SiteCrawler(knowledge, SETTINGS, SystemClock(), pool)
    await crawler.open()
    yield crawler
    await crawler.close()


def job(site: ExampleSite, path: str = "/", **more: Any) -> CrawlJob:
    base: dict[str, Any] = {"crawl_id": "c", "task_id": "t", "attempt": 1}
    return CrawlJob(**{**base, "seeds": (site.url + path,), **more})


async def run(crawler: SiteCrawler, work: CrawlJob) -> list[CrawlUpdate]:
    return [update async for update in crawler.crawl(work)]


async def test_a_site_is_read_whole_politely_and_safely(
    crawler: SiteCrawler, knowledge: KnowledgeBase, site: ExampleSite
) -> None:
    told = await run(crawler, job(site))
    counts = told[-1].counts
    # The ordinary pages, and the page in Latin-1, the slow one, the data sheet and the second installation.
    assert counts.stored == len(site.paths) + 4
    assert counts.embedded == counts.stored
    assert counts.reasons == {
        "robots": 1,
        "http_404": 1,
        "http_500": 1,
        "redirects": 1,
        "off_site": 1,
    }
    assert site.hits["/private/plans"] == 0
    assert site.hits["/robots.txt"] == 1
    assert site.agents == {"OmerutaBrain/0.1 (+https://brain.test/)"}
    assert await knowledge.find_page(f"{site.url}/drafts/next") is None
    latin = await knowledge.find_page(f"{site.url}/seen/strasse")
    assert latin is not None
    assert latin.title == "Straßenpegel in Köln"
    assert latin.language == "de"
    copy = await knowledge.find_page(f"{site.url}/docs/installation")
    assert copy is not None
    assert copy.url in (f"{site.url}/docs/install", f"{site.url}/docs/installation")


async def test_an_address_that_is_not_public_is_never_reached(
    crawler: SiteCrawler, site: ExampleSite
) -> None:
    told = await run(crawler, job(site, "/metadata", max_depth=0))
    assert told[-1].counts.reasons == {"address_forbidden": 1}


async def test_every_answer_is_in_the_markdown_of_its_page(
    crawler: SiteCrawler, knowledge: KnowledgeBase, site: ExampleSite
) -> None:
    seeds = tuple({site.url + question.path for question in QUESTIONS})
    await run(crawler, job(site, seeds=seeds, max_depth=0))
    for question in QUESTIONS:
        page = await knowledge.find_page(site.url + question.path)
        assert page is not None
        text = (await knowledge.get_page(page.id)).clean_markdown
        assert question.phrase in " ".join(text.split()), question
        assert "Imprint" not in text


async def test_depth_patterns_and_the_bound_are_kept(
    crawler: SiteCrawler, knowledge: KnowledgeBase, site: ExampleSite
) -> None:
    work = job(site, include=("*/docs/*",), exclude=("*/docs/a*",), max_depth=1)
    told = await run(crawler, work)
    pages = [page.url.removeprefix(site.url) for update in told for page in update.pages]
    assert set(pages) == {"/", "/docs/", "/docs/installation"}
    told = await run(crawler, job(site, crawl_id="d", task_id="u", max_pages=5))
    assert told[-1].counts.stored == 5


async def test_a_sitemap_or_feed_stands_for_what_it_lists(
    crawler: SiteCrawler, site: ExampleSite
) -> None:
    told = await run(crawler, job(site, "/feed.xml", max_depth=0))
    assert told[-1].counts.stored == 7
    told = await run(crawler, job(site, "/sitemap.xml", crawl_id="d", task_id="u", max_depth=0))
    assert told[-1].counts.stored == len(site.paths)


async def test_sitemaps_are_found_when_asked_for(crawler: SiteCrawler, site: ExampleSite) -> None:
    told = await run(crawler, job(site, "/about", max_depth=0, discover_sitemaps=True))
    assert told[-1].counts.stored == len(site.paths)


async def test_what_is_unchanged_is_not_sent_again(
    crawler: SiteCrawler, knowledge: KnowledgeBase, site: ExampleSite
) -> None:
    await run(crawler, job(site, "/about", max_depth=0))
    told = await run(
        crawler, job(site, "/about", crawl_id="d", task_id="u", max_depth=0, refresh=True)
    )
    assert not any(update.pages for update in told)
    assert told[-1].counts.fetched == 1


async def test_a_crawl_that_was_broken_off_goes_on(
    crawler: SiteCrawler, knowledge: KnowledgeBase, site: ExampleSite
) -> None:
    before = site.hits.copy()
    async with aclosing(crawler.crawl(job(site, "/docs/"))) as updates:
        async for update in updates:
            if update.counts.stored >= 3:
                break
    told = await run(crawler, job(site, "/docs/", attempt=2))
    assert told[-1].counts.stored >= len(site.paths)
    assert told[-1].counts.leased == 0
    assert site.hits["/docs/"] - before["/docs/"] <= 2
    with pytest.raises(StaleAttempt):
        await run(crawler, job(site, "/docs/"))


async def test_a_knowledge_base_that_restarts_is_waited_for(
    knowledge: KnowledgeBase,
    site: ExampleSite,
    pool: ReadingPool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    away = {"lease_urls": 2, "record_fetches": 2, "crawl_counts": 1, "embed_pending": 1}
    crawler = SiteCrawler(_Flaky(knowledge, away), SETTINGS, SystemClock(), pool)
    await crawler.open()
    try:
        told = await run(crawler, job(site, "/about", max_depth=0))
    finally:
        await crawler.close()
    assert told[-1].counts.embedded == 1
    assert set(away.values()) == {0}


async def test_pages_that_can_not_be_embedded_do_not_fail_the_crawl(
    knowledge: KnowledgeBase,
    site: ExampleSite,
    pool: ReadingPool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(limit: int, crawl_id: str | None = None) -> WorkReport:
        return WorkReport({"pages": 0}, 1)

    monkeypatch.setattr(knowledge, "embed_pending", nothing)
    crawler = SiteCrawler(knowledge, SETTINGS, SystemClock(), pool)
    await crawler.open()
    try:
        told = await run(crawler, job(site, "/about", max_depth=0))
    finally:
        await crawler.close()
    assert told[-1].done
    assert (told[-1].counts.stored, told[-1].counts.embedded) == (1, 0)


async def test_a_seed_that_is_no_address_is_refused(crawler: SiteCrawler) -> None:
    work = CrawlJob("c", "t", 1, ("ftp://tarn.test/",))
    with pytest.raises(BadRequest, match="not a web address"):
        await run(crawler, work)


async def test_leaving_a_crawl_leaves_nothing_running(
    crawler: SiteCrawler, site: ExampleSite
) -> None:
    async with aclosing(crawler.crawl(job(site))) as updates:
        async for _ in updates:
            break
    mine = {asyncio.current_task()}
    assert not [t for t in asyncio.all_tasks() - mine if "visit" in repr(t) or "_embed" in repr(t)]


class _Flaky:
    """A knowledge base whose named calls are unavailable so many times."""

    def __init__(self, inner: KnowledgeBase, away: dict[str, int]) -> None:
        self._inner = inner
        self._away = away

    def __getattr__(self, name: str) -> Any:
        if self._away.get(name):
            self._away[name] -= 1
            return self._fail
        return getattr(self._inner, name)

    async def _fail(self, *_: object) -> None:
        raise Unavailable("The knowledge base is restarting.")
