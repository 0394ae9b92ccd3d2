"""Pages, passages and searches, as the knowledge base and its readers speak of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

MAIN = "main"
SYSTEM = (
    "system"  # the brain's own documentation: searched, but outside counts, listings and exports
)


@dataclass(frozen=True, slots=True)
class WriteKey:
    """Makes a write happen once: the same (task_id, step) is applied once, and a lower attempt is refused.

    `step` names the write within its task, the same in every attempt (a batch of URLs, an upload's id).
    """

    task_id: str
    attempt: int
    step: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link out of a page: the address as fetched later, and the words it stands under."""

    url: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class PageDraft:
    """A page as the crawler hands it over. `url` is the key (normalised), `fetched_url` where it was read."""

    url: str
    fetched_url: str
    title: str
    markdown: str
    language: str | None = None
    author: str | None = None
    published_at: datetime | None = None
    fetched_at: datetime | None = None  # None: now
    etag: str | None = None
    last_modified: str | None = None
    links: tuple[Link, ...] = ()
    source: str = "crawl"  # "crawl" | "file" | "text" | "import" | "docs"
    collection: str = MAIN


@dataclass(frozen=True, slots=True)
class StoredPage:
    """What became of a draft. `change`: `added`, `changed`, `unchanged` or `duplicate` (then `duplicate_of`)."""

    page_id: int
    url: str
    title: str
    change: str
    chunks: int
    duplicate_of: int | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """Score 0..1 and its parts, each 0..1, with the reasons in words."""

    score: float
    parts: Mapping[str, float]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Freshness:
    """Score 0..1 (1: just read) and when the page is due to be read again."""

    score: float
    next_visit: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page as held (contract section 8)."""

    id: int
    url: str
    title: str
    clean_markdown: str  # empty in listings
    language: str | None
    status: str  # "active" | "duplicate" | "gone"
    content_hash: str
    fetched_at: datetime
    source: str
    collection: str
    site: str
    words: int
    chunks: int
    is_processed_for_embeddings: bool
    author: str | None = None
    published_at: datetime | None = None
    etag: str | None = None
    last_modified: str | None = None
    duplicate_of: int | None = None
    quality: Quality | None = None
    freshness: Freshness | None = None


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A listing. `sort`: `-fetched_at` (default), `fetched_at`, `title`, `url`, `-quality`, `quality`."""

    q: str | None = None
    site: str | None = None
    status: str | None = None
    sort: str = "-fetched_at"
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class PageList:
    items: tuple[Page, ...]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """Empty fields do not filter. Collections default to all that the reader may see."""

    site: str | None = None
    language: str | None = None
    page_ids: tuple[int, ...] = ()
    fetched_after: datetime | None = None
    min_quality: float | None = None
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """`mode`: `hybrid`, `lexical` or `semantic`. `neighbours`: chunks before and after to merge into each hit."""

    text: str
    mode: str = "hybrid"
    limit: int = 10
    filters: SearchFilters = field(default_factory=SearchFilters)
    neighbours: int = 0
    per_page: int = 3  # at most so many hits of one page
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found. `text` equals the page's markdown from `start` to `end`, character by character."""

    page_id: int
    chunk_id: int
    title: str
    url: str
    text: str
    start: int
    end: int
    score: float  # for ranking within one search only; not a measure of relevance
    heading: str = ""  # heading path, " > " between levels
    cosine: float | None = None  # similarity to the query, when the vector is known
    lexical_rank: int | None = None  # 1 is best; None: not found by that leg
    semantic_rank: int | None = None
    collection: str = MAIN
    fetched_at: datetime | None = None
    quality: float | None = None
    freshness: float | None = None
    explain: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """`idf` weighs the stems of the query's words over this knowledge base; `degraded` says which leg is away."""

    hits: tuple[Hit, ...]
    idf: Mapping[str, float] = field(default_factory=dict)
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class WorkReport:
    """What a bounded batch of background work did: counts per phase, and how much is left."""

    counts: Mapping[str, int]
    remaining: int
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StalePage:
    page_id: int
    url: str
    fetched_at: datetime
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class LinkCandidate:
    """A page known by links to it but never read: its address, the words of the links, how many link to it."""

    url: str
    text: str
    inlinks: int
    score: float


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes a person gave, kept beside the knowledge until they are read in."""

    id: str
    filename: str
    media_type: str
    data: bytes
