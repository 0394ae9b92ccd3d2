"""The server of the test site, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections import Counter
from types import TracebackType

from aiohttp import web

from support.site.docs import DOCS
from support.site.pdf import text_pdf
from support.site.stories import (
    DATASHEET,
    DRAFT,
    GUIDES,
    LATIN1,
    NEWS,
    PAGES,
    PRIVATE,
    SLOW,
)

ROBOTS = """User-agent: *
Disallow: /private/
Allow: /

Sitemap: /sitemap.xml
"""
LAST_MODIFIED = "Sun, 01 Nov 2026 08:00:00 GMT"
TEMPLATE = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="{charset}">
<title>{title}</title>
<meta name="description" content="{title}, from the Tarn project.">
{head}<link rel="canonical" href="{canonical}">
</head>
<body>
<header><nav><a href="/">Tarn</a> <a href="/docs/">Docs</a> <a href="/news/">News</a>
<a href="/guides/">Guides</a></nav></header>
<main><article>
<h1>{title}</h1>
{body}
</article></main>
<aside><h2>In this part</h2><ul>{aside}</ul></aside>
<footer><p>Tarn is free software. Cookies: none. Imprint, terms and all that.</p></footer>
</body>
</html>
"""


class ExampleSite:
    """Serves the pages in a thread until the `with` block ends.

    `url` is the root without a final slash, `hits` counts requests by path and `agents` keeps the user
    agents seen. Setting `broken = False` lets `/broken` answer; `slow` is the delay of `/slow` in seconds.
    """

    def __init__(self, slow: float = 0.3) -> None:
        self.slow = slow
        self.broken = True
        self.hits: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.port = 0
        self._pages = {**PAGES, **DOCS, **NEWS, **GUIDES}
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="example-site", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        """The ordinary pages: those that a full crawl stores, the special ones apart."""
        return list(self._pages)

    def __enter__(self) -> ExampleSite:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("The test site did not start.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        server = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(server.start())
        self.port = runner.addresses[0][1]
        self._ready.set()
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(runner.cleanup())
            self._loop.close()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._count])
        special = {
            "/robots.txt": self._robots,
            "/sitemap.xml": self._sitemap,
            "/feed.xml": self._feed,
            "/files/gauge-datasheet.pdf": self._datasheet,
            "/seen/strasse": self._latin1,
            "/drafts/next": self._draft,
            "/private/plans": self._private,
            "/docs/installation": self._duplicate,
            "/slow": self._slow,
            "/broken": self._broken,
            "/old-docs": self._moved,
            "/metadata": self._metadata,
            "/around": self._around,
        }
        for path, handler in special.items():
            app.router.add_get(path, handler)
        app.router.add_get("/{path:.*}", self._page)
        return app

    @web.middleware
    async def _count(self, request: web.Request, handler: web.RequestHandler) -> web.StreamResponse:
        self.hits[request.path] += 1
        self.agents.add(request.headers.get("User-Agent", ""))
        return await handler(request)

    async def _page(self, request: web.Request) -> web.Response:
        page = self._pages.get(request.path)
        if page is None:
            return web.Response(status=404, text="No such page.")
        etag = f'"{zlib.crc32(page[1].encode()):x}"'
        headers = {"ETag": etag, "Last-Modified": LAST_MODIFIED}
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return _html(self._render(request.path, *page), headers=headers)

    def _render(self, path: str, title: str, body: str, **more: str) -> str:
        folder = path[: path.rfind("/") + 1]
        others = [p for p in self._pages if p.startswith(folder) and p != path and folder != "/"]
        aside = "".join(f'<li><a href="{p}">{self._pages[p][0]}</a></li>' for p in others)
        values = {"lang": "en", "charset": "utf-8", "head": "", "canonical": path, **more}
        return TEMPLATE.format(title=title, body=body, aside=aside, **values)

    async def _robots(self, request: web.Request) -> web.Response:
        return web.Response(text=ROBOTS.replace("/sitemap", f"{self._root(request)}/sitemap"))

    def _root(self, request: web.Request) -> str:
        return f"{request.scheme}://{request.host}"

    async def _sitemap(self, request: web.Request) -> web.Response:
        rows = "".join(f"<url><loc>{self._root(request)}{p}</loc></url>" for p in self._pages)
        text = f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{rows}</urlset>'
        return web.Response(text=text, content_type="application/xml")

    async def _feed(self, request: web.Request) -> web.Response:
        rows = "".join(
            f"<item><title>{title}</title><link>{self._root(request)}{path}</link></item>"
            for path, (title, _) in NEWS.items()
            if path != "/news/"
        )
        text = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Tarn</title>{rows}</channel></rss>'
        return web.Response(text=text, content_type="application/rss+xml")

    async def _datasheet(self, request: web.Request) -> web.Response:
        return web.Response(body=text_pdf(*DATASHEET), content_type="application/pdf")

    async def _latin1(self, request: web.Request) -> web.Response:
        text = self._render("/seen/strasse", *LATIN1, lang="de", charset="iso-8859-1")
        return web.Response(body=text.encode("latin-1"), headers={"Content-Type": "text/html"})

    async def _draft(self, request: web.Request) -> web.Response:
        head = '<meta name="robots" content="noindex">\n'
        return _html(self._render("/drafts/next", *DRAFT, head=head))

    async def _private(self, request: web.Request) -> web.Response:
        return _html(self._render("/private/plans", *PRIVATE))

    async def _duplicate(self, request: web.Request) -> web.Response:
        return _html(self._render("/docs/installation", *self._pages["/docs/install"]))

    async def _slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.slow)
        return _html(self._render("/slow", *SLOW))

    async def _broken(self, request: web.Request) -> web.Response:
        if self.broken:
            return web.Response(status=500, text="Something broke.")
        return _html(self._render("/broken", "Mended", "<p>The broken page was mended.</p>"))

    async def _moved(self, request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently("/docs/")

    async def _metadata(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("http://169.254.169.254/latest/meta-data/")

    async def _around(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/around")


def _html(text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers=headers)
