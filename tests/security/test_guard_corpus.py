"""No spelling of an inside address is ever connected to, by any path out of the crawler.

Two witnesses look on, neither of them the guard: listeners on loopback that count who comes, and the
interpreter's audit hook, which sees every `connect` of this process whatever library makes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any
from xml.sax.saxutils import escape

import pytest

from crawler.fetch import Fetcher
from crawler.guard import is_public
from crawler.resolve import TableResolver
from crawler.robots import Robots
from crawler.sitemap import Listing, SitemapReader
from crawler.visit import Plan, Visitor
from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import FetchError
from serve_app.domain.web import CrawlJob, FrontierUrl
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase
from serve_app.settings import CrawlSettings
from support.address_forms import NAMES, forms

LOOPBACKS = ("127.0.0.1", "127.0.0.2", "127.255.255.254", "::1")


class Witness:
    """Listens where the forms lead, and notes where this process connects to."""

    def __init__(self) -> None:
        self.visits = 0
        self.connects: list[tuple[str, int]] = []
        self.port = 0
        self._servers: list[asyncio.Server] = []

    async def open(self) -> None:
        for host in LOOPBACKS:
            with contextlib.suppress(OSError):  # a machine without IPv6 has one place less to look
                server = await asyncio.start_server(self._visited, host, self.port)
                self.port = server.sockets[0].getsockname()[1]
                self._servers.append(server)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()

    async def _visited(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()

    def forbidden(self, allowed_port: int) -> list[tuple[str, int]]:
        return [
            (host, port)
            for host, port in self.connects
            if port != allowed_port and not is_public(host)
        ]


_watching: list[Witness] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watching and isinstance(args[1], tuple):
        for witness in _watching:
            with contextlib.suppress(ValueError):
                ipaddress.ip_address(args[1][0])
                witness.connects.append((args[1][0], args[1][1]))


sys.addaudithook(_audit)


class Trickster:
    """A public-looking site, each of whose hosts `rN.test` sends the crawler to form N in every way it can."""

    def __init__(self) -> None:
        self.forms: list[str] = []
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    def url(self, number: int, path: str) -> str:
        return f"http://r{number}.test:{self.port}{path}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ", 2)[1]
        host = head.lower().split("host: r", 1)[1].split(".test", 1)[0]
        writer.write(self._reply(path, self.forms[int(host)]))
        await writer.drain()
        writer.close()

    def _reply(self, path: str, form: str) -> bytes:
        if path in ("/redirect", "/robots.txt"):
            location = form.replace("\t", "").encode()
            return b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
        if path == "/sitemap.xml":
            loc = escape(form)
            xml = f"<sitemapindex><sitemap><loc>{loc}</loc></sitemap></sitemapindex>"
            return _ok("text/xml", xml)
        page = f'<head><title>x</title><link rel="canonical" href="{escape(form)}"></head><p>Words.</p>'
        return _ok("text/html; charset=utf-8", page)


def _ok(kind: str, text: str) -> bytes:
    body = text.encode()
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


class NoRules(Robots):
    async def check(self, url: str) -> None:
        """Lets everything pass, so that what is seen is the guard's doing alone."""


@pytest.fixture
async def witness() -> AsyncIterator[Witness]:
    witness = Witness()
    await witness.open()
    _watching.append(witness)
    yield witness
    _watching.remove(witness)
    await witness.close()


@pytest.fixture
async def trickster(witness: Witness) -> AsyncIterator[Trickster]:
    trickster = Trickster()
    trickster.forms = forms(witness.port)
    await trickster.open()
    yield trickster
    await trickster.close()


@pytest.fixture
def settings(trickster: Trickster, witness: Witness) -> CrawlSettings:
    hosts = [f"r{number}.test" for number in range(len(trickster.forms))]
    return CrawlSettings(
        resolve={**NAMES, **dict.fromkeys(hosts, "127.0.0.1")},
        allow_hosts=tuple(hosts),
        allow_ports=(80, 443, witness.port),  # the address alone must be reason enough
        host_delay=0,
        timeout=5,
    )


@pytest.fixture
async def fetcher(settings: CrawlSettings) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(settings, SystemClock())
    await fetcher.open()
    yield fetcher
    await fetcher.close()


def test_the_corpus_is_large() -> None:
    assert len(forms(8080)) >= 200


async def test_the_witnesses_see(witness: Witness) -> None:
    settings = CrawlSettings(allow_networks=("127.0.0.0/8",), timeout=5)
    fetcher = Fetcher(settings, SystemClock())
    await fetcher.open()
    with pytest.raises(FetchError):
        await fetcher.fetch(f"http://127.0.0.1:{witness.port}/")
    await fetcher.close()
    assert witness.visits >= 1
    assert witness.forbidden(0)


async def test_as_a_seed(witness: Witness, trickster: Trickster, fetcher: Fetcher) -> None:
    for form in trickster.forms:
        with pytest.raises(FetchError):
            await fetcher.fetch(form)
    assert (witness.visits, witness.forbidden(trickster.port)) == (0, [])


async def test_as_a_redirect(witness: Witness, trickster: Trickster, fetcher: Fetcher) -> None:
    # Read against the page that redirects, a few forms are paths on its own host: those end in its page.
    for number in range(len(trickster.forms)):
        with contextlib.suppress(FetchError):
            answer = await fetcher.fetch(trickster.url(number, "/redirect"))
            assert f".test:{trickster.port}/" in answer.final_url
    assert (witness.visits, witness.forbidden(trickster.port)) == (0, [])


async def test_as_the_place_of_robots_rules(
    witness: Witness, trickster: Trickster, fetcher: Fetcher, settings: CrawlSettings
) -> None:
    robots = Robots(fetcher, settings, SystemClock())
    for number in range(len(trickster.forms)):
        await robots.rules(trickster.url(number, "/page"))
    assert (witness.visits, witness.forbidden(trickster.port)) == (0, [])


async def test_in_a_sitemap(
    witness: Witness, trickster: Trickster, fetcher: Fetcher, settings: CrawlSettings
) -> None:
    reader = SitemapReader(fetcher, NoRules(fetcher, settings, SystemClock()))
    for number in range(len(trickster.forms)):
        start = Listing(sitemaps=(trickster.url(number, "/sitemap.xml"),))
        assert await reader.expand(start, 10) == []
    assert (witness.visits, witness.forbidden(trickster.port)) == (0, [])


async def test_as_a_canonical_address(
    witness: Witness, trickster: Trickster, settings: CrawlSettings
) -> None:
    knowledge = KnowledgeBase(None, HashEmbedder(), SystemClock())
    visitor = Visitor(knowledge, settings, SystemClock())
    visitor._robots = NoRules(visitor._fetcher, settings, SystemClock())
    await visitor.open()
    try:
        for number in range(len(trickster.forms)):
            url = trickster.url(number, "/page")
            plan = Plan.of(CrawlJob("c", "t", 1, (url,)))
            outcome = await visitor.visit(plan, FrontierUrl(url, url))
            assert outcome.page is not None
            assert outcome.page.url == url
    finally:
        await visitor.close()
    assert (witness.visits, witness.forbidden(trickster.port)) == (0, [])


async def test_a_name_that_resolves_anew_each_time(
    witness: Witness, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: judged public when asked first, loopback when connected to. Here every later answer is inside."""
    table = TableResolver({"flip.test": "127.0.0.1"})
    asked = 0

    async def flip(
        self: TableResolver, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> Any:
        nonlocal asked
        asked += 1
        return await original(table, "flip.test", port, family)

    original = TableResolver.resolve
    monkeypatch.setattr(TableResolver, "resolve", flip)
    for number in range(20):
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(f"http://flip{number}.test:{witness.port}/")
        assert caught.value.reason == "address_forbidden"
    assert asked == 20
    assert witness.visits == 0
