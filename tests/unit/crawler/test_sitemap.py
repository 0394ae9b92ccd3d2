"""Sitemaps and feeds are strangers' words: read within bounds, and what is broken is left out."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

from crawler.fetch import Fetcher
from crawler.robots import Robots
from crawler.sitemap import Listing, SitemapReader, read_listing
from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import FetchError
from serve_app.settings import CrawlSettings
from support.raw_server import RawServer, answer, ok

URL = "http://a.test/sitemap.xml"
SETTINGS = CrawlSettings(allow_networks=("127.0.0.0/8",), timeout=2)


def urlset(*urls: str) -> bytes:
    rows = "".join(f"<url><lastmod>2026-01-01</lastmod><loc> {url} </loc></url>" for url in urls)
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</urlset>'.encode()


def index(*urls: str) -> bytes:
    rows = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls)
    return f"<sitemapindex>{rows}</sitemapindex>".encode()


def test_a_sitemap_lists_pages() -> None:
    body = urlset("http://a.test/1", "/2", "http://a.test/1", "mailto:x@a.test", "")
    assert read_listing(body, URL) == Listing(pages=("http://a.test/1", "http://a.test/2"))
    assert read_listing(gzip.compress(body), URL).pages == ("http://a.test/1", "http://a.test/2")


def test_an_index_lists_sitemaps() -> None:
    assert read_listing(index("/a.xml", "/b.xml.gz"), URL) == Listing(
        sitemaps=("http://a.test/a.xml", "http://a.test/b.xml.gz")
    )


@pytest.mark.parametrize(
    "feed",
    [
        "<rss version='2.0'><channel><item><link>http://a.test/1</link></item>"
        "<item><title>no link</title></item><item><link>/2</link></item></channel></rss>",
        "<feed xmlns='http://www.w3.org/2005/Atom'><entry><link href='http://a.test/1'/></entry>"
        "<entry><link rel='alternate' href='http://a.test/2'/></entry></feed>",
    ],
)
def test_a_feed_lists_its_entries(feed: str) -> None:
    assert read_listing(feed.encode(), URL).pages == ("http://a.test/1", "http://a.test/2")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        b"<html><body>hello</body></html>",
        b"<urlset><url>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><urlset><url><loc>&a;</loc></url></urlset>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><urlset/>',
        b"\x1f\x8bbroken",
        b'<?xml version="1.0" encoding="no-such"?><urlset/>',
    ],
)
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    with pytest.raises(FetchError) as caught:
        read_listing(body, URL)
    assert caught.value.reason == "unreadable"


def test_a_bomb_is_refused() -> None:
    with pytest.raises(FetchError) as caught:
        read_listing(gzip.compress(b" " * 60_000_000, 1), URL)
    assert caught.value.reason == "too_large"


@pytest.fixture
async def reader() -> AsyncIterator[SitemapReader]:
    fetcher = Fetcher(SETTINGS, SystemClock())
    await fetcher.open()
    yield SitemapReader(fetcher, Robots(fetcher, SETTINGS, SystemClock()))
    await fetcher.close()


async def test_nested_ones_are_followed_and_broken_ones_left_out(reader: SitemapReader) -> None:
    async with RawServer({}) as server:
        inner = [server.url + path for path in ("/a.xml", "/bad.xml", "/loop.xml", "/b.xml")]
        server.answers = {
            "/robots.txt": ok(f"Sitemap: {server.url}/loop.xml", "text/plain"),
            "/loop.xml": ok(index(*inner), "application/xml"),
            "/a.xml": ok(urlset("/1", "/2"), "text/xml"),
            "/bad.xml": answer(500),
            "/b.xml": ok(gzip.compress(urlset("/3")), "application/gzip"),
        }
        found = await reader.discover(server.url + "/start", 10)
        assert [url.removeprefix(server.url) for url in found] == ["/1", "/2", "/3"]
        assert len(await reader.discover(server.url, 2)) == 2
        assert len(server.heads("/loop.xml")) == 2


async def test_the_usual_place_is_tried_where_robots_names_none(reader: SitemapReader) -> None:
    async with RawServer({"/sitemap.xml": ok(urlset("/1"), "text/xml")}) as server:
        assert await reader.discover(server.url + "/x", 10) == [server.url + "/1"]
    assert await reader.discover(server.url + "/x", 0) == []
