"""One address: may it be read, fetch it, read the document, and say what became of it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from yarl import URL

from crawler.fetch import (
    DOCUMENT_TYPES,
    DOCX_TYPE,
    HTML_TYPES,
    XML_TYPES,
    Fetched,
    Fetcher,
    FetchOptions,
)
from crawler.guard import checked_url
from crawler.pace import Pacer, retry_after
from crawler.pool import ReadingPool
from crawler.reading import Reading, Source
from crawler.robots import Robots
from crawler.sitemap import SitemapReader, read_listing
from crawler.urls import Scope, canonical_key, known_key, trap
from serve_app.domain.errors import BrainError, FetchError
from serve_app.domain.knowledge import Link, PageDraft
from serve_app.domain.ports import Clock, Knowledge
from serve_app.domain.web import CrawlFailure, CrawlJob, FetchOutcome, FrontierUrl
from serve_app.settings import CrawlSettings

TRIES = 3
MAX_SEEN = 100_000
MAX_SITEMAP_PAGES_PER_PAGE = 10  # listed addresses taken in for each page that the crawl may store
_BUSY = frozenset((429, 503))
_GONE = frozenset(("http_404", "http_410"))
_UNREACHED = frozenset(("timeout", "connect"))
_MAX_ETAG = 500
_MAX_DATE = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """A job, its scope, and the keys this run has already handed on (to spare the store known links)."""

    job: CrawlJob
    scope: Scope
    seen: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, job: CrawlJob) -> Plan:
        scope = Scope.of(
            [seed.strip() for seed in job.seeds],
            same_site=job.same_site,
            include=job.include,
            exclude=job.exclude,
        )
        return cls(job, scope)

    def follow(self, urls: Iterable[str], depth: int) -> tuple[FrontierUrl, ...]:
        """The addresses among `urls` that belong to the crawl and were not handed on before."""
        found: dict[str, FrontierUrl] = {}
        for url in urls:
            key = _key(url)
            if key is None or key in self.seen or not self.scope.covers(key):
                continue
            found.setdefault(key, FrontierUrl(url, key, depth))
        if len(self.seen) < MAX_SEEN:
            self.seen.update(found)
        return tuple(found.values())


class Visitor:
    """Everything that a visit needs, shared by all crawls of this process: connections, rules, pace, readers."""

    def __init__(
        self,
        knowledge: Knowledge,
        settings: CrawlSettings,
        clock: Clock,
        pool: ReadingPool | None = None,
    ) -> None:
        self._knowledge = knowledge
        self._clock = clock
        self._fetcher = Fetcher(settings, clock)
        self._robots = Robots(self._fetcher, settings, clock)
        self._pacer = Pacer(settings, clock)
        self._sitemaps = SitemapReader(self._fetcher, self._robots)
        self._owns_pool = pool is None
        slots = min(2, os.cpu_count() or 1)
        self._pool = pool or ReadingPool(settings.extract_timeout, slots=slots)

    async def open(self) -> None:
        await self._fetcher.open()

    async def close(self) -> None:
        await self._robots.close()
        await self._fetcher.close()
        if self._owns_pool:
            await self._pool.close()

    async def visit(self, plan: Plan, entry: FrontierUrl) -> FetchOutcome:
        """What became of an address. Its failure is an outcome; only the brain's own troubles are raised."""
        try:
            checked_url(entry.url)
            answer = await self._fetch(plan, entry)
            if answer.status == 304:
                return FetchOutcome(entry.key, not_modified=True)
            if answer.status != 200:
                raise _answered(entry.url, answer.status)
            if answer.content_type in XML_TYPES:
                return await self._expand(plan, entry, answer)
            return await self._read(plan, entry, answer)
        except FetchError as error:
            failure = CrawlFailure(entry.url, error.reason, error.message)
            return FetchOutcome(entry.key, failure=failure, gone=error.reason in _GONE)
        except BrainError:
            raise
        except Exception:  # noqa: BLE001
            # Supervision: what one page of the web breaks must not end a crawl of thousands.
            _log.exception("Visiting %s failed in an unforeseen way.", entry.url[:200])
            failure = CrawlFailure(
                entry.url, "internal", "The page broke the crawler; it is logged."
            )
            return FetchOutcome(entry.key, failure=failure)

    async def _fetch(self, plan: Plan, entry: FrontierUrl) -> Fetched:
        async def may_fetch(url: str) -> None:
            # A seed may lead elsewhere, a person named it; what pages link to may not lead off the site.
            if entry.depth > 0 and not plan.scope.on_site(url):
                raise FetchError(f"{entry.url} leads to another site.", reason="off_site")
            await self._robots.check(url)

        headers = await self._validators(plan.job, entry)
        options = FetchOptions(accept=DOCUMENT_TYPES, headers=headers, may_fetch=may_fetch)
        host = URL(entry.url).authority
        delay = (await self._robots.rules(entry.url)).delay
        tries = 0
        while True:
            tries += 1
            async with self._pacer.turn(host, delay):
                try:
                    answer = await self._fetcher.fetch(entry.url, options)
                except FetchError as error:
                    if error.reason in _UNREACHED:
                        self._pacer.complained(host)
                    raise
            if answer.status not in _BUSY:
                self._pacer.answered(host)
                return answer
            wanted = retry_after(answer.headers.get("retry-after"), self._clock.now())
            self._pacer.complained(host, wanted)
            if tries == TRIES:
                return answer

    async def _validators(self, job: CrawlJob, entry: FrontierUrl) -> dict[str, str]:
        page = await self._knowledge.find_page(entry.key) if job.refresh else None
        if page is None or page.url != entry.key:  # a duplicate answers with the page that is kept
            return {}
        said = {"If-None-Match": page.etag, "If-Modified-Since": page.last_modified}
        return {name: value for name, value in said.items() if value}

    async def _expand(self, plan: Plan, entry: FrontierUrl, answer: Fetched) -> FetchOutcome:
        """A sitemap or feed that a person named stands for what it lists; one found on the way does not."""
        if entry.depth > 0:
            return FetchOutcome(entry.key)
        listing = await asyncio.to_thread(read_listing, answer.body, answer.final_url)
        pages = await self._sitemaps.expand(listing, _sitemap_limit(plan.job))
        return FetchOutcome(entry.key, found=plan.follow(pages, entry.depth + 1))

    async def _read(self, plan: Plan, entry: FrontierUrl, answer: Fetched) -> FetchOutcome:
        name = URL(answer.final_url).name
        kind = _kind(answer.content_type)
        source = Source(kind, answer.body, answer.final_url, answer.charset, name)
        reading = await self._pool.read(source)
        noindex, nofollow = _robots_tag(answer.headers.get("x-robots-tag", ""))
        found: tuple[FrontierUrl, ...] = ()
        if entry.depth < plan.job.max_depth and not (nofollow or reading.nofollow):
            found = plan.follow((link.url for link in reading.links), entry.depth + 1)
        if entry.depth == 0 and plan.job.discover_sitemaps:
            listed = await self._sitemaps.discover(answer.final_url, _sitemap_limit(plan.job))
            found += plan.follow(listed, entry.depth + 1)
        if noindex or reading.noindex:
            return FetchOutcome(entry.key, found=found)
        if not reading.markdown:
            failure = CrawlFailure(entry.url, "empty", f"{entry.url} holds no text.")
            return FetchOutcome(entry.key, failure=failure, found=found)
        return FetchOutcome(entry.key, page=_draft(answer, reading), found=found)


def _draft(answer: Fetched, reading: Reading) -> PageDraft:
    links: dict[str, str] = {}
    for link in reading.links:
        key = _key(link.url)
        if key is not None:
            links[key] = links.get(key) or link.text
    return PageDraft(
        url=canonical_key(answer.final_url, reading.canonical),
        fetched_url=answer.final_url,
        title=reading.title,
        markdown=reading.markdown,
        language=reading.language,
        author=reading.author,
        published_at=reading.published_at,
        fetched_at=answer.fetched_at,
        etag=_bounded(answer.headers.get("etag"), _MAX_ETAG),
        last_modified=_bounded(answer.headers.get("last-modified"), _MAX_DATE),
        links=tuple(Link(url, text) for url, text in links.items()),
    )


def _key(url: str) -> str | None:
    """The key of a found address, None for one that is no address or a trap."""
    key = known_key(url)
    return None if key is None or trap(key) else key


def _kind(content_type: str) -> str:
    if content_type in HTML_TYPES:
        return "html"
    return {"application/pdf": "pdf", DOCX_TYPE: "docx"}.get(content_type, "text")


def _robots_tag(header: str) -> tuple[bool, bool]:
    """Whether an X-Robots-Tag says noindex and nofollow. One for a named robot is taken as for all."""
    words = {word.rsplit(":", 1)[-1].strip() for word in header.lower().split(",")}
    return bool(words & {"noindex", "none"}), bool(words & {"nofollow", "none"})


def _answered(url: str, status: int) -> FetchError:
    return FetchError(f"{url} answered {status}.", reason=f"http_{status}")


def _sitemap_limit(job: CrawlJob) -> int:
    return job.max_pages * MAX_SITEMAP_PAGES_PER_PAGE


def _bounded(value: str | None, length: int) -> str | None:
    # A validator cut short would never match again.
    return value if value and len(value) <= length else None
