"""Sitemaps and feeds: addresses out of XML that is read without entities, within bounds.

Whatever is found here goes through the fetcher like any link: a sitemap is a stranger's word.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

import feedparser
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from yarl import URL

from crawler.fetch import XML_TYPES, Fetcher, FetchOptions
from crawler.robots import Robots
from crawler.urls import absolute
from serve_app.domain.errors import FetchError

MAX_UNPACKED = 50_000_000  # the protocol's own bound of a sitemap
MAX_FILES = 50
MAX_ADDRESSES = 50_000
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
_TYPES = XML_TYPES | {
    "text/plain",
    "application/gzip",
    "application/x-gzip",
    "application/octet-stream",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """What an XML file lists: pages, and further sitemaps to read."""

    pages: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()


def read_listing(body: bytes, url: str) -> Listing:
    """Read a sitemap, a sitemap index, an RSS or an Atom feed. Raises FetchError (`unreadable`, `too_large`)."""
    xml = _unpacked(body)
    try:
        root = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise FetchError(f"{url} is no XML that can be read.", reason="unreadable") from error
    name = _local(root)
    if name == "sitemapindex":
        return Listing(sitemaps=_bounded(url, _locations(root)))
    if name == "urlset":
        return Listing(pages=_bounded(url, _locations(root)))
    if name in ("rss", "feed", "RDF"):
        # The bytes were fetched by us: feedparser is never given an address to go to.
        entries = feedparser.parse(xml, sanitize_html=False).entries
        return Listing(pages=_bounded(url, (entry.get("link") or "" for entry in entries)))
    raise FetchError(f"{url} is neither a sitemap nor a feed.", reason="unreadable")


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(_GZIP):
        return body
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        data = unpacker.decompress(body, MAX_UNPACKED)
    except zlib.error as error:
        raise FetchError("The sitemap's compression is broken.", reason="unreadable") from error
    if unpacker.unconsumed_tail:
        raise FetchError("The sitemap is too large when unpacked.", reason="too_large")
    return data


def _local(element: Element) -> str:
    return str(element.tag).rsplit("}", 1)[-1]


def _locations(root: Element) -> Iterable[str]:
    for entry in root:
        for child in entry:
            if _local(child) == "loc" and child.text:
                yield child.text.strip()
                break


def _bounded(base: str, found: Iterable[str]) -> tuple[str, ...]:
    unique: dict[str, None] = {}
    for text in found:
        url = absolute(base, text) if text else None
        if url is not None:
            unique[url] = None
        if len(unique) >= MAX_ADDRESSES:
            break
    return tuple(unique)


@dataclass(frozen=True, slots=True)
class SitemapReader:
    """Finds the addresses that a site lists of itself."""

    fetcher: Fetcher
    robots: Robots

    async def discover(self, seed: str, limit: int) -> list[str]:
        """Up to `limit` addresses from the sitemaps of the seed's site; what can not be read is left out."""
        try:
            named = (await self.robots.rules(seed)).sitemaps
        except FetchError:
            return []
        return await self.expand(Listing(sitemaps=named or (_usual_place(seed),)), limit)

    async def expand(self, listing: Listing, limit: int) -> list[str]:
        """The pages of a listing and of the sitemaps it names, breadth first, at most MAX_FILES files."""
        pages = dict.fromkeys(listing.pages)
        waiting = list(listing.sitemaps)
        seen: set[str] = set()
        while waiting and len(pages) < limit and len(seen) < MAX_FILES:
            url = waiting.pop(0)
            if url in seen:
                continue
            seen.add(url)
            try:
                nested = await self._listing(url)
            except FetchError:
                continue  # one sitemap of many: the crawl finds its pages by links, too
            pages.update(dict.fromkeys(nested.pages))
            waiting += nested.sitemaps[:MAX_FILES]
        return list(pages)[:limit]

    async def _listing(self, url: str) -> Listing:
        options = FetchOptions(accept=_TYPES, may_fetch=self.robots.check)
        answer = await self.fetcher.fetch(url, options)
        if answer.status != 200:
            raise FetchError(f"{url} answered {answer.status}.", reason=f"http_{answer.status}")
        # Tens of megabytes of XML take seconds, in which nothing else would be read.
        return await asyncio.to_thread(read_listing, answer.body, answer.final_url)


def _usual_place(seed: str) -> str:
    return str(URL(seed).origin() / "sitemap.xml")
