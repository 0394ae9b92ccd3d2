"""The one function that fetches. Pages, robots files, sitemaps and feeds all go through `Fetcher.fetch`.

Every bound of a request is kept here: scheme, address (by the guard, at the socket), redirects, time,
decompressed bytes, header size and content type. No cookies, no proxy, no header of anybody's choice.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp
from yarl import URL

from crawler.guard import Guard, Refused, checked_url
from crawler.resolve import TableResolver
from serve_app.domain.errors import AddressForbidden, FetchError
from serve_app.domain.ports import Clock
from serve_app.settings import CrawlSettings

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CHUNK = 64 * 1024
_MAX_HEADER = 16 * 1024
_CONDITIONAL = frozenset(("If-None-Match", "If-Modified-Since"))

HTML_TYPES = frozenset(("text/html", "application/xhtml+xml"))
XML_TYPES = frozenset(
    (
        "text/xml",
        "application/xml",
        "application/rss+xml",
        "application/atom+xml",
        "application/rdf+xml",
    )
)
DOCX_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
TEXT_TYPES = frozenset(("text/plain", "text/markdown", "text/x-markdown"))
DOCUMENT_TYPES = HTML_TYPES | XML_TYPES | TEXT_TYPES | {"application/pdf", DOCX_TYPE}


async def anywhere(url: str) -> None:
    """The hook that forbids no hop."""


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What one request may do, over the crawler's settings.

    `accept`: media types to read, None for any. `headers`: validators of a conditional GET, no others.
    `truncate`: keep the first `max_bytes` of a longer body instead of failing. `may_fetch` is called with
    each hop's address before it is asked for and raises FetchError to stop there.
    """

    accept: frozenset[str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    max_bytes: int | None = None
    max_redirects: int | None = None
    truncate: bool = False
    may_fetch: Callable[[str], Awaitable[None]] = anywhere


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. `body` is decompressed and empty unless `status` is 200; header names are lower case."""

    url: str
    final_url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    content_type: str
    charset: str | None
    fetched_at: datetime


class Fetcher:
    """Holds the connections. Open it inside the event loop that will use it, and close it there."""

    def __init__(self, settings: CrawlSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._guard = Guard.of(settings)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def open(self) -> None:
        # Connections to hosts the operator listed never share a pool with those that must be public.
        for listed in (False, True):
            connector = aiohttp.TCPConnector(
                socket_factory=self._guard.socket_factory(listed_host=listed),
                resolver=TableResolver(self._settings.resolve),
                limit=self._settings.concurrency * 2,
                ttl_dns_cache=60,
            )
            self._sessions[listed] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": self._user_agent(), "Accept-Encoding": "gzip, deflate"},
                max_line_size=_MAX_HEADER,
                max_field_size=_MAX_HEADER,
            )

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _user_agent(self) -> str:
        contact = self._settings.contact
        return self._settings.user_agent + (f" (+{contact})" if contact else "")

    async def fetch(self, url: str, options: FetchOptions | None = None) -> Fetched:
        """GET `url`, following redirects. Any status is an answer; only a 200 has a body.

        Raises AddressForbidden when the guard refuses, FetchError with `reason` one of `bad_url`, `timeout`,
        `dns`, `connect`, `tls`, `bad_answer`, `too_large`, `content_type`, `redirects`, or what `may_fetch`
        raised.
        """
        options = options or FetchOptions()
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._follow(url, options)
        except TimeoutError as error:
            message = f"{_shown(url)} took longer than {self._settings.timeout:g} seconds."
            raise FetchError(message, reason="timeout") from error

    async def _follow(self, url: str, options: FetchOptions) -> Fetched:
        hops = options.max_redirects
        hops = self._settings.max_redirects if hops is None else hops
        here = checked_url(url)
        for _ in range(hops + 1):
            await options.may_fetch(str(here))
            try:
                answer = await self._ask(url, here, options)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                if isinstance(error, TimeoutError):
                    raise
                raise _as_fetch_error(error, here) from error
            if isinstance(answer, Fetched):
                return answer
            here = checked_url(answer)
        raise FetchError(f"{_shown(url)} redirects more than {hops} times.", reason="redirects")

    async def _ask(self, url: str, here: URL, options: FetchOptions) -> Fetched | str:
        """One request: the answer, or the address that it redirects to."""
        if not self._sessions:
            raise RuntimeError("The fetcher is not open.")
        session = self._sessions[self._guard.lists(here.host or "")]
        headers = {k: v for k, v in options.headers.items() if k in _CONDITIONAL}
        async with session.get(here, allow_redirects=False, headers=headers) as response:
            location = response.headers.get("Location")
            if response.status in _REDIRECTS and location:
                return _next_hop(here, location)
            body = b""
            if response.status == 200:
                _check_type(response.content_type, here, options.accept)
                body = await self._body(response, here, options)
            else:
                response.close()  # an error page's body is nobody's, however long it is
            return Fetched(
                url=url,
                final_url=str(here),
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=body,
                content_type=response.content_type,
                charset=response.charset,
                fetched_at=self._clock.now(),
            )

    async def _body(
        self, response: aiohttp.ClientResponse, here: URL, options: FetchOptions
    ) -> bytes:
        limit = options.max_bytes or self._settings.max_bytes
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > limit:
                response.close()
                if options.truncate:
                    return bytes(body[:limit])
                message = f"{_shown(str(here))} is longer than {limit:,} bytes."
                raise FetchError(message, reason="too_large")
        return bytes(body)


def _next_hop(here: URL, location: str) -> str:
    try:
        return str(here.join(URL(location)))
    except ValueError as error:
        message = f"{_shown(str(here))} redirects to something that is no address."
        raise FetchError(message, reason="bad_url") from error


def _check_type(content_type: str, here: URL, accept: frozenset[str] | None) -> None:
    if accept is not None and content_type not in accept:
        message = f"{_shown(str(here))} is of type {content_type[:80]}, which is not read."
        raise FetchError(message, reason="content_type")


def _as_fetch_error(error: Exception, here: URL) -> FetchError:
    """aiohttp's errors in the house's terms."""
    host, shown = here.host, _shown(str(here))
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        detail = f"The secure connection to {host} could not be trusted: {_detail(error)}."
        return FetchError(detail, reason="tls")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchError(f"The name {host} is not known.", reason="dns")
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, Refused):
            message = f"{host} is not a public address, and the settings do not allow it."
            return AddressForbidden(message)
        return FetchError(f"{host} could not be reached: {_detail(error)}.", reason="connect")
    if isinstance(error, aiohttp.InvalidURL | ValueError) and not isinstance(
        error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError
    ):
        return FetchError(f"{shown} is not a web address.", reason="bad_url")
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | OSError):
        return FetchError(f"{host} broke the connection off.", reason="connect")
    return FetchError(f"{host} sent an answer that can not be read.", reason="bad_answer")


def _detail(error: Exception) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(inner).rstrip(".")[:200]


def _shown(url: str) -> str:
    return url if len(url) <= 200 else url[:200] + "…"
