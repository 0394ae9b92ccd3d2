"""Crawls and their frontier, as the crawler and the knowledge store speak of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from serve_app.domain.knowledge import PageDraft, StoredPage


@dataclass(frozen=True, slots=True)
class FrontierUrl:
    """An address to visit. `key` is its normalised form: one key is visited once in a crawl."""

    url: str
    key: str
    depth: int = 0


@dataclass(frozen=True, slots=True)
class CrawlJob:
    """A crawl to run or to go on with. `crawl_id` names its frontier, the same in every attempt.

    `max_pages` counts pages stored. With `same_site` only addresses on the seeds' sites are followed;
    `max_depth` 0 reads the seeds alone. Patterns are globs over the whole address (`*/docs/*`).
    """

    crawl_id: str
    task_id: str
    attempt: int
    seeds: tuple[str, ...]
    max_pages: int = 100
    max_depth: int = 5
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    same_site: bool = True
    discover_sitemaps: bool = False
    refresh: bool = False  # read again what is already held (conditional GET)


@dataclass(frozen=True, slots=True)
class CrawlFailure:
    url: str
    reason: str  # short name: "robots", "timeout", "http_404", "address_forbidden", …
    message: str  # a sentence


@dataclass(frozen=True, slots=True)
class FetchOutcome:
    """What became of one leased address: a page, a failure, or neither (unchanged since last read).

    `found` are the addresses on it that are in scope. A failure with `gone` marks the page as gone.
    """

    key: str
    page: PageDraft | None = None
    failure: CrawlFailure | None = None
    found: tuple[FrontierUrl, ...] = ()
    not_modified: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class CrawlCounts:
    """True counts, derived from the store's rows. pending + leased == 0 means the crawl is done."""

    found: int = 0
    pending: int = 0
    leased: int = 0
    fetched: int = 0
    stored: int = 0
    embedded: int = 0
    failed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, int]:
        """The phases a person sees (contract section 3, `counts`)."""
        return {
            "found": self.found,
            "fetched": self.fetched,
            "stored": self.stored,
            "embedded": self.embedded,
            "failed": self.failed,
        }


@dataclass(frozen=True, slots=True)
class CrawlUpdate:
    """Progress of a crawl: the counts now, and what came since the last update."""

    counts: CrawlCounts
    pages: tuple[StoredPage, ...] = ()
    failures: tuple[CrawlFailure, ...] = ()
    done: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address a search provider proposes for a topic. Only the guarded crawler may fetch it."""

    url: str
    title: str = ""
    snippet: str = ""
    provider: str = ""
    score: float = 0.0
