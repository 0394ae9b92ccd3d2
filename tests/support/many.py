"""A site of as many pages as asked for, each linking to a few others, slow enough to be interrupted."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from types import TracebackType

from aiohttp import web

WORDS = [
    "river",
    "gauge",
    "basin",
    "sluice",
    "meadow",
    "harbour",
    "lantern",
    "copper",
    "willow",
    "granite",
    "ferry",
    "orchard",
]


class ManyPages:
    """with ManyPages(60, delay=0.05) as site: crawl(site.url). Page n is `/page/n`; `hits` counts requests."""

    def __init__(self, count: int, delay: float = 0.05, name: str = "Station") -> None:
        self.count = count
        self.delay = delay
        self.name = name  # in every sentence, so that two sites hold no duplicates of each other
        self.hits: Counter[str] = Counter()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def page(self, n: int) -> str:
        links = "".join(
            f'<li><a href="/page/{m}">page {m}</a></li>'
            for m in range(n + 1, min(n + 5, self.count))
        )
        noun, other = WORDS[n % len(WORDS)], WORDS[(n * 7 + 3) % len(WORDS)]
        text = " ".join(
            f"{self.name} {n} keeps record {n * 31 + k} of the {noun} beside the {other}, taken on day {k}."
            for k in range(12)
        )
        return (
            f"<html><head><title>{self.name} {n}</title></head><body><main><h1>{self.name} {n}</h1>"
            f"<p>{text}</p><p>The keeper of {self.name} {n} counts {n * 17 + 5} boats a year.</p>"
            f"<ul>{links}</ul></main></body></html>"
        )

    async def _answer(self, request: web.Request) -> web.Response:
        self.hits[request.path] += 1
        if request.path == "/robots.txt":
            raise web.HTTPNotFound
        await asyncio.sleep(self.delay)
        n = 0 if request.path == "/" else int(request.match_info["n"])
        return web.Response(text=self.page(n), content_type="text/html")

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.add_routes(
            [web.get("/page/{n:\\d+}", self._answer), web.get("/{tail:.*}", self._answer)]
        )
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        return runner

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def __enter__(self) -> ManyPages:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
