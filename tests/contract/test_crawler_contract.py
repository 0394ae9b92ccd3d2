"""What every implementation of the `Crawler` port does, shown on the real one and on the fake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import pytest_asyncio

from crawler.fake import FakeCrawler
from crawler.pipeline import SiteCrawler
from crawler.pool import ReadingPool
from serve_app.domain.clock import SystemClock
from serve_app.domain.knowledge import PageDraft
from serve_app.domain.ports import Crawler
from serve_app.domain.web import CrawlJob, CrawlUpdate
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase
from serve_app.settings import CrawlSettings
from support.site import ExampleSite

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATHS = ("/docs/install", "/docs/query", "/prices")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[ReadingPool]:
    pool = ReadingPool(timeout=30, slots=1)
    yield pool
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module")
async def knowledge() -> AsyncIterator[KnowledgeBase]:
    base = KnowledgeBase(None, HashEmbedder(), SystemClock())
    await base.open()
    yield base
    await base.close()


@pytest.fixture(scope="module")
def site() -> Iterator[ExampleSite]:
    with ExampleSite() as site:
        yield site


@pytest_asyncio.fixture(params=["site", "fake"], loop_scope="module")
async def crawler(
    request: pytest.FixtureRequest, knowledge: KnowledgeBase, site: ExampleSite, pool: ReadingPool
) -> AsyncIterator[Crawler]:
    if request.param == "fake":
        urls = [site.url + path for path in PATHS]
        yield FakeCrawler(
            knowledge, {u: PageDraft(u, u, u, f"# {u}\n\nText of {u}.") for u in urls}
        )
        return
    settings = CrawlSettings(allow_networks=("127.0.0.0/8",), host_delay=0)
    real = SiteCrawler(knowledge, settings, SystemClock(), pool)
    await real.open()
    yield real
    await real.close()


def job(site: ExampleSite, *paths: str, attempt: int = 1) -> CrawlJob:
    seeds = tuple(site.url + path for path in paths)
    return CrawlJob("c1", "t1", attempt, seeds, max_pages=10, max_depth=0)


async def updates(crawler: Crawler, work: CrawlJob) -> list[CrawlUpdate]:
    return [update async for update in crawler.crawl(work)]


async def test_stores_the_seeds_and_ends_with_done(
    crawler: Crawler, knowledge: KnowledgeBase, site: ExampleSite
) -> None:
    told = await updates(crawler, job(site, *PATHS))
    assert [u.done for u in told] == [False] * (len(told) - 1) + [True]
    counts = told[-1].counts
    assert (counts.found, counts.stored, counts.embedded, counts.failed) == (3, 3, 3, 0)
    assert counts.pending + counts.leased == 0
    pages = [page for update in told for page in update.pages]
    assert sorted(page.url for page in pages) == sorted(site.url + path for path in PATHS)
    assert all([await knowledge.find_page(site.url + path) for path in PATHS])


async def test_a_page_that_fails_is_told_and_fails_nothing_else(
    crawler: Crawler, site: ExampleSite
) -> None:
    told = await updates(crawler, job(site, "/missing", "/prices"))
    failures = [failure for update in told for failure in update.failures]
    assert [(f.url, f.reason) for f in failures] == [(f"{site.url}/missing", "http_404")]
    assert failures[0].message.endswith(".")
    assert told[-1].counts.stored == 1
    assert told[-1].counts.reasons == {"http_404": 1}


async def test_a_later_attempt_goes_on_and_reads_nothing_twice(
    crawler: Crawler, site: ExampleSite
) -> None:
    await updates(crawler, job(site, *PATHS))
    told = await updates(crawler, job(site, *PATHS, attempt=2))
    assert told[-1].done
    assert told[-1].counts.stored == 3
    assert not any(update.pages for update in told)


async def test_the_bound_counts_stored_pages(crawler: Crawler, site: ExampleSite) -> None:
    work = replace(job(site, "/missing", *PATHS), max_pages=2)
    told = await updates(crawler, work)
    assert told[-1].counts.stored == 2
