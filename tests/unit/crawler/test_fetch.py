"""The bounds of a request, against servers that respect none."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from crawler.fetch import HTML_TYPES, Fetched, Fetcher, FetchOptions
from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import AddressForbidden, ConfigError, FetchError
from serve_app.settings import CrawlSettings
from support.raw_server import Answer, RawServer, answer, ok

SETTINGS = CrawlSettings(
    allow_networks=("127.0.0.0/8",), timeout=2, max_bytes=100_000, max_redirects=3
)


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(SETTINGS, SystemClock())
    await fetcher.open()
    yield fetcher
    await fetcher.close()


async def get(
    fetcher: Fetcher, reply: bytes | Answer, options: FetchOptions | None = None
) -> Fetched:
    async with RawServer({"/": reply}) as server:
        return await fetcher.fetch(server.url + "/", options)


async def reason(fetcher: Fetcher, reply: bytes | Answer) -> str:
    with pytest.raises(FetchError) as caught:
        await get(fetcher, reply, FetchOptions(accept=HTML_TYPES))
    assert caught.value.message.endswith(".")
    return caught.value.reason


async def test_an_answer_is_handed_over(fetcher: Fetcher) -> None:
    got = await get(fetcher, ok("<p>Hi", "Text/HTML; charset=ISO-8859-1", ETag='"1"'))
    assert (got.status, got.body, got.content_type) == (200, b"<p>Hi", "text/html")
    assert got.charset == "ISO-8859-1"
    assert got.headers["etag"] == '"1"'
    assert got.url == got.final_url


async def test_bad_statuses_are_answers_without_a_body(fetcher: Fetcher) -> None:
    got = await get(fetcher, answer(503, b"x" * 1000, {"Retry-After": "7"}))
    assert (got.status, got.body, got.headers["retry-after"]) == (503, b"", "7")


async def test_only_validators_are_sent_on_and_no_cookie_comes_back(fetcher: Fetcher) -> None:
    async with RawServer({"/": ok("x", Set_Cookie="a=b")}) as server:
        headers = {"If-None-Match": '"1"', "Authorization": "Bearer x", "Cookie": "c=d"}
        for _ in range(2):
            await fetcher.fetch(server.url + "/", FetchOptions(headers=headers))
        for head in server.requests:
            assert 'If-None-Match: "1"' in head
            assert "Authorization" not in head
            assert "Cookie" not in head
            assert "User-Agent: OmerutaBrain/0.1" in head


async def test_redirects_are_followed_by_hand_and_each_hop_is_asked_about(fetcher: Fetcher) -> None:
    asked: list[str] = []

    async def may_fetch(url: str) -> None:
        asked.append(url)
        if url.endswith("/no"):
            raise FetchError("Not there.", reason="robots")

    async with RawServer({}) as server:
        server.answers = {
            "/": answer(301, headers={"Location": "/b"}),
            "/b": answer(302, headers={"Location": f"{server.url}/c"}),
            "/c": ok("end"),
            "/d": answer(302, headers={"Location": "/no"}),
        }
        got = await fetcher.fetch(server.url + "/", FetchOptions(may_fetch=may_fetch))
        assert got.final_url == server.url + "/c"
        assert asked == [server.url + path for path in ("/", "/b", "/c")]
        with pytest.raises(FetchError, match="Not there"):
            await fetcher.fetch(server.url + "/d", FetchOptions(may_fetch=may_fetch))
        assert not server.heads("/no")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://a.test/", "http://u:p@a.test/"])
async def test_a_redirect_out_of_the_web_is_refused(fetcher: Fetcher, location: str) -> None:
    with pytest.raises(AddressForbidden):
        await get(fetcher, answer(302, headers={"Location": location}))


async def test_what_is_too_much_ends(fetcher: Fetcher) -> None:
    async def endless(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    bomb = gzip.compress(b"\0" * 20_000_000)
    assert await reason(fetcher, endless) == "too_large"
    assert await reason(fetcher, ok(bomb, Content_Encoding="gzip")) == "too_large"
    assert await reason(fetcher, answer(302, headers={"Location": "/"})) == "redirects"
    flood = b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"y" * 200_000 + b"\r\n\r\n"
    assert await reason(fetcher, flood) == "bad_answer"


async def test_what_is_too_slow_ends() -> None:
    async def trickle(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    fetcher = Fetcher(SETTINGS.model_copy(update={"timeout": 0.3}), SystemClock())
    await fetcher.open()
    assert await reason(fetcher, trickle) == "timeout"
    await fetcher.close()


async def test_a_body_may_be_cut_instead(fetcher: Fetcher) -> None:
    got = await get(fetcher, ok("x" * 1000), FetchOptions(max_bytes=10, truncate=True))
    assert got.body == b"x" * 10


async def test_broken_answers_are_named(fetcher: Fetcher) -> None:
    assert await reason(fetcher, ok("x", "image/png")) == "content_type"
    assert await reason(fetcher, b"") == "connect"
    assert await reason(fetcher, b"SSH-2.0-OpenSSH_9\r\n") == "bad_answer"
    assert await reason(fetcher, ok(b"no gzip", Content_Encoding="gzip")) == "bad_answer"
    short = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\nxx"
    assert await reason(fetcher, short) == "bad_answer"
    assert await reason(fetcher, answer(302, headers={"Location": "http://[::1"})) == "bad_url"


async def test_a_connection_that_can_not_be_secured_fails_and_says_so(fetcher: Fetcher) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(400))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()
    await server.wait_closed()
    assert caught.value.reason == "tls"
    assert "could not be trusted" in caught.value.message


async def test_the_environment_names_no_proxy(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert (await get(fetcher, ok("x"))).body == b"x"


async def test_names_are_looked_up_in_the_operators_table_first() -> None:
    settings = CrawlSettings(resolve={"Wiki.Test": "127.0.0.1"}, allow_hosts=("wiki.test",))
    fetcher = Fetcher(settings, SystemClock())
    await fetcher.open()
    async with RawServer({"/": ok("inside")}) as server:
        port = server.url.rsplit(":", 1)[1]
        assert (await fetcher.fetch(f"http://wiki.test:{port}/")).body == b"inside"
        with pytest.raises(AddressForbidden):
            await fetcher.fetch(f"http://127.0.0.1:{port}/")
        assert len(server.requests) == 1
    await fetcher.close()


async def test_a_table_that_names_no_address_stops_the_start() -> None:
    fetcher = Fetcher(CrawlSettings(resolve={"a.test": "b.test"}), SystemClock())
    with pytest.raises(ConfigError, match=r"crawl\.resolve"):
        await fetcher.open()


async def test_nobody_listens(fetcher: Fetcher) -> None:
    async with RawServer({}) as server:
        url = server.url
    with pytest.raises(FetchError) as caught:
        await fetcher.fetch(url)
    assert caught.value.reason == "connect"
