"""What becomes of one address."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from crawler.documents import read
from crawler.frames import MAX_FRAME, receive_frame
from crawler.pace import MAX_HOSTS, Pacer
from crawler.pool import ReadingPool
from crawler.reading import Reading, Source
from crawler.visit import Plan, Visitor
from serve_app.domain.clock import FakeClock, SystemClock
from serve_app.domain.errors import Unavailable
from serve_app.domain.web import CrawlJob, FetchOutcome, FrontierUrl
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase
from serve_app.settings import CrawlSettings
from support.raw_server import RawServer, answer, ok

SETTINGS = CrawlSettings(allow_networks=("127.0.0.0/8",), host_delay=0, timeout=2)
LINKS = '<a href="/a">a</a><a href="/b?utm_source=x">b</a><a href="/b">b</a><a href="http://b.test/">c</a>'
PAGE = f"<html lang=en><title>Page</title><main><p>Some words that stay.</p>{LINKS}</main>"


class PlainReader(ReadingPool):
    """Reads in this process: what is tested here is what is made of a reading."""

    async def read(self, source: Source) -> Reading:
        if source.body == b"break":
            raise ZeroDivisionError
        if source.body == b"away":
            raise Unavailable("No process starts.")
        return read(source)


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    knowledge = KnowledgeBase(None, HashEmbedder(), SystemClock())
    visitor = Visitor(knowledge, SETTINGS, SystemClock(), PlainReader(timeout=1))
    await visitor.open()
    yield visitor
    await visitor.close()


async def visit(
    visitor: Visitor, server: RawServer, path: str = "/", depth: int = 0
) -> FetchOutcome:
    url = server.url + path
    plan = Plan.of(CrawlJob("c", "t", 1, (server.url,), max_depth=2))
    return await visitor.visit(plan, FrontierUrl(url, url, depth))


async def test_a_page_is_drafted_with_its_links(visitor: Visitor) -> None:
    async with RawServer({"/": ok(PAGE, ETag='"1"', Last_Modified="yesterday")}) as server:
        outcome = await visit(visitor, server)
        page = outcome.page
        assert page is not None
        assert (page.url, page.title, page.language) == (server.url + "/", "Page", "en")
        assert (page.etag, page.last_modified) == ('"1"', "yesterday")
        assert [link.url for link in page.links] == [
            server.url + "/a",
            server.url + "/b",
            "http://b.test/",
        ]
        assert [(f.key, f.depth) for f in outcome.found] == [
            (server.url + "/a", 1),
            (server.url + "/b", 1),
        ]
        assert (await visit(visitor, server, depth=2)).found == ()


async def test_a_busy_host_is_asked_again_and_given_up_in_the_end(visitor: Visitor) -> None:
    busy = answer(503, headers={"Retry-After": "0"})
    async with RawServer({"/": busy}) as server:
        outcome = await visit(visitor, server)
        assert outcome.failure is not None
        assert outcome.failure.reason == "http_503"
        assert len(server.heads("/")) == 3


@pytest.mark.parametrize(("status", "gone"), [(404, True), (410, True), (403, False), (500, False)])
async def test_what_is_gone_is_marked(visitor: Visitor, status: int, gone: bool) -> None:
    async with RawServer({"/": answer(status)}) as server:
        outcome = await visit(visitor, server)
    assert outcome.failure is not None
    assert (outcome.failure.reason, outcome.gone) == (f"http_{status}", gone)


async def test_the_wishes_of_a_page_are_kept(visitor: Visitor) -> None:
    async with RawServer(
        {
            "/header": ok(PAGE, X_Robots_Tag="otherbot: noindex, nofollow"),
            "/meta": ok(f"<meta name=robots content=nofollow>{PAGE}"),
        }
    ) as server:
        outcome = await visit(visitor, server, "/header")
        assert (outcome.page, outcome.failure, outcome.found) == (None, None, ())
        outcome = await visit(visitor, server, "/meta")
        assert outcome.page is not None
        assert outcome.found == ()


async def test_a_page_without_words_fails_but_its_links_are_followed(visitor: Visitor) -> None:
    async with RawServer({"/": ok("<nav><a href='/a'></a></nav>")}) as server:
        outcome = await visit(visitor, server)
    assert outcome.failure is not None
    assert outcome.failure.reason == "empty"
    assert len(outcome.found) == 1


async def test_only_a_seed_may_lead_off_the_site(visitor: Visitor) -> None:
    async with RawServer({"/": ok(PAGE)}) as other:
        async with RawServer({"/x": answer(302, headers={"Location": other.url + "/"})}) as server:
            assert (await visit(visitor, server, "/x")).page is not None
            outcome = await visit(visitor, server, "/x", depth=1)
            assert outcome.failure is not None
            assert outcome.failure.reason == "off_site"
        assert len(other.heads("/")) == 1


async def test_a_feed_on_the_way_is_no_page(visitor: Visitor) -> None:
    async with RawServer({"/f": ok("<rss><channel/></rss>", "text/xml")}) as server:
        outcome = await visit(visitor, server, "/f", depth=1)
    assert (outcome.page, outcome.failure) == (None, None)


async def test_one_broken_page_ends_nothing_but_a_broken_brain_does(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    async with RawServer({"/": ok("break"), "/away": ok("away")}) as server:
        outcome = await visit(visitor, server)
        assert outcome.failure is not None
        assert outcome.failure.reason == "internal"
        assert "ZeroDivisionError" in caplog.text
        with pytest.raises(Unavailable):
            await visit(visitor, server, "/away")


async def test_an_address_that_is_none_is_a_failure(visitor: Visitor) -> None:
    plan = Plan.of(CrawlJob("c", "t", 1, ("http://a.test/",)))
    outcome = await visitor.visit(plan, FrontierUrl("http://a b/", "k"))
    assert outcome.failure is not None
    assert outcome.failure.reason == "bad_url"


def test_links_known_to_the_run_are_not_handed_on_again() -> None:
    plan = Plan.of(CrawlJob("c", "t", 1, ("http://a.test/",)))
    assert len(plan.follow(["http://a.test/1", "http://a.test/1#x", "http://[bad"], 1)) == 1
    assert plan.follow(["http://a.test/1"], 1) == ()
    other = Plan.of(replace(plan.job, same_site=False))
    assert len(other.follow(["http://b.test/1"], 1)) == 1


async def test_idle_hosts_are_forgotten() -> None:
    pacer = Pacer(SETTINGS, FakeClock())
    for number in range(MAX_HOSTS + 1):
        pacer.answered(f"host{number}")
    assert len(pacer._hosts) == 1


async def test_an_answer_of_a_reader_has_a_bound() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(struct.pack(">II", 10, MAX_FRAME))
    with pytest.raises(ValueError, match="too long"):
        await receive_frame(stream)
