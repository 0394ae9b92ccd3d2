"""Real pages of the web under their real host names, served on loopback, and questions that they answer.

The pages are those of WCXB, the Web Content Extraction Benchmark (Murrough Foley, CC BY 4.0), as kept for
evaluation in the folder `shared/data/extraction` beside the repository. They are no part of the project: where
the folder is not there, `DATA.is_file()` is false and whatever needs it is skipped.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from aiohttp import web
from yarl import URL

from crawler.urls import normalise

DATA = Path(__file__).parents[3] / "shared" / "data" / "extraction" / "wcxb.jsonl.gz"
WHY_NOT = "needs the extraction corpus in shared/data beside the repository"
COUNT = 200
MAX_TEXT = 12_000  # characters of a page's main text: longer ones are left out, to bound the time of embedding
_ENGLISH = re.compile(r"<html[^>]*\blang=[\"']?en\b", re.IGNORECASE)


class Question(NamedTuple):
    """`url` is the page on which the answer was read, `phrase` what a right quote contains."""

    text: str
    url: str
    phrase: str


QUESTIONS = (
    Question(
        "How many reports of adverse events with compounded tirzepatide has the FDA received?",
        "https://www.fda.gov/drugs/postmarket-drug-safety-information-patients-and-providers/"
        "fdas-concerns-unapproved-glp-1-drugs-used-weight-loss",
        "545 reports",
    ),
    Question(
        "Which version of React introduced Hooks?",
        "https://legacy.reactjs.org/docs/hooks-overview.html",
        "React 16.8",
    ),
    Question(
        "What is the capacity of the HAC-003 battery for the Nintendo Switch?",
        "https://www.ifixit.com/Parts",
        "4310 mAh",
    ),
    Question(
        "How many parents does the initial commit have in Git?",
        "https://git-scm.com/book/en/v2/Git-Branching-Branches-in-a-Nutshell",
        "zero parents",
    ),
    Question(
        "How much money can a startup get from America's Seed Fund?",
        "https://www.nsf.gov/science-matters/climate-change-problem-solvers-startups-solutions",
        "up to $2 million",
    ),
    Question(
        "How much gain does the preamp built into the Shure SM7dB add?",
        "https://www.sweetwater.com/store/detail/"
        "SM7dB--shure-sm7db-dynamic-microphone-with-built-in-preamp",
        "+18dB or +28dB",
    ),
    Question(
        "How long does it take to get a building permit approved when renovating a home?",
        "https://facet.com/real-estate/home-renovation-costs-room-by-room-costs-and-rois/",
        "approximately two weeks",
    ),
    Question(
        "How many users does the free edition of Zoho CRM support?",
        "https://www.zoho.com/crm/free-crm.html",
        "up to 3 users",
    ),
    Question(
        "Which actor's films inspired the founders of Rotten Tomatoes?",
        "https://www.newsweek.com/entertainment/movies/"
        "the-best-film-of-2025-according-to-rotten-tomatoes-11237228",
        "Jackie Chan",
    ),
    Question(
        "How much does the Pedco UltraPod I weigh?",
        "https://backpackinglight.com/forums/topic/377/",
        "2oz",
    ),
)


@dataclass(frozen=True, slots=True)
class RealPage:
    """`kind` is the corpus's: article, forum, product, collection, listing, documentation or service."""

    url: str
    kind: str
    body: bytes

    @property
    def host(self) -> str:
        return str(URL(self.url).host)


@cache
def real_pages() -> tuple[RealPage, ...]:
    """The first COUNT pages in English, in the order of the hashes of their ids; an address counts once."""
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        rows = [row for line in lines if _is_chosen(row := json.loads(line))]
    rows.sort(key=lambda row: hashlib.sha256(row["id"].encode()).digest())
    pages: dict[str, RealPage] = {}
    for row in rows:
        page = RealPage(row["url"], row["page_type"], _bytes(row["html"]))
        pages.setdefault(normalise(row["url"]), page)
        if len(pages) == COUNT:
            break
    return tuple(pages.values())


def _is_chosen(row: dict[str, Any]) -> bool:
    return (
        row["url"].startswith("http")
        and len(row["ground_truth"].get("main_content") or "") <= MAX_TEXT
        and bool(_ENGLISH.search(row["html"][:20_000]))
    )


def _bytes(html: str) -> bytes:
    """The corpus holds some UTF-8 pages read as Latin-1; those get their own bytes back."""
    try:
        original = html.encode("latin-1")
        original.decode("utf-8")
    except UnicodeError:
        return html.encode()
    return original


def crawl_variables() -> dict[str, str]:
    """Settings of a brain that let its crawler find the hosts of the pages on loopback; none without the data."""
    if not DATA.is_file():
        return {}
    hosts = sorted({page.host for page in real_pages()})
    return {
        "OMERUTA_CRAWL__ALLOW_HOSTS": json.dumps(hosts),
        "OMERUTA_CRAWL__RESOLVE": json.dumps(dict.fromkeys(hosts, "127.0.0.1")),
    }


class RealSites:
    """Serves the pages, each at its own path under its own host, in a thread until the `with` block ends.

    `hits` counts requests by address. What is no page, robots.txt among it, answers 404.
    """

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.port = 0
        self._bodies = {(page.host, URL(page.url).raw_path_qs): page.body for page in real_pages()}
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="real-sites", daemon=True)

    def address(self, url: str) -> str:
        """Where a page of the corpus is served."""
        return str(URL(url).with_scheme("http").with_port(self.port).with_fragment(None))

    def __enter__(self) -> RealSites:
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

    async def _answer(self, request: web.Request) -> web.Response:
        host = request.host.rsplit(":", 1)[0]
        self.hits[f"{host}{request.raw_path}"] += 1
        body = self._bodies.get((host, request.raw_path))
        if body is None:
            raise web.HTTPNotFound
        return web.Response(body=body, content_type="text/html", charset="utf-8")

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.add_routes([web.get("/{path:.*}", self._answer)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        return runner

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()
