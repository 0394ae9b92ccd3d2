"""Sums up a reading task: counts for people, a percentage derived from them, and the result. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serve_app.domain.knowledge import StoredPage
from serve_app.domain.tasks import WorkerEvent
from serve_app.domain.web import CrawlCounts, CrawlFailure, CrawlUpdate

MAX_PAGES_NAMED = 500
MAX_FAILURES_NAMED = 100
_READING_SHARE = 80  # percent of the work that reading is; the rest is embedding
_ADDED = frozenset(("added", "changed"))


class Tally:
    """Adds the counts of a crawl to those of texts that a person gave."""

    def __init__(self) -> None:
        self.texts: list[int] = []  # pages stored from texts and files
        self._crawl = CrawlCounts()
        self._expected_texts = 0
        self._embedded_texts = 0
        self._max_pages = 0
        self._changed: set[int] = set()
        self._pages: dict[int, None] = {}
        self._failures: list[CrawlFailure] = []
        self._failed_items = 0
        self._progress = 0

    def begin(self, texts: int) -> None:
        self._expected_texts = texts

    def store(self, pages: Sequence[StoredPage]) -> None:
        """Texts or files were stored."""
        self.texts += [page.page_id for page in pages]
        self._note(pages)

    def embedded_texts(self, count: int) -> None:
        self._embedded_texts = count

    def fail(self, failures: Sequence[CrawlFailure]) -> None:
        """Items that never came to be read."""
        self._failed_items += len(failures)
        self._keep(failures)

    def take(self, update: CrawlUpdate, max_pages: int) -> None:
        """A crawl told how far it is."""
        self._crawl, self._max_pages = update.counts, max_pages
        self._note(update.pages)
        self._keep(update.failures)

    def name(self, page_id: int) -> None:
        """A page of this task that an earlier attempt stored."""
        if len(self._pages) < MAX_PAGES_NAMED:
            self._pages[page_id] = None

    def _note(self, pages: Sequence[StoredPage]) -> None:
        for page in pages:
            self.name(page.page_id)
            if page.change in _ADDED:
                self._changed.add(page.page_id)

    def _keep(self, failures: Sequence[CrawlFailure]) -> None:
        self._failures += failures[: MAX_FAILURES_NAMED - len(self._failures)]

    @property
    def counts(self) -> dict[str, int]:
        texts = len(self.texts)
        crawl = self._crawl
        return {
            "found": crawl.found + self._expected_texts + self._failed_items,
            "fetched": crawl.fetched + texts,
            "stored": crawl.stored + texts,
            "embedded": crawl.embedded + self._embedded_texts,
            "failed": crawl.failed + self._failed_items,
        }

    @property
    def progress(self) -> int:
        """0..99, never falling: found addresses grow while they are read."""
        crawl = self._crawl
        expected = min(crawl.found, self._max_pages + crawl.failed) + self._expected_texts
        read = crawl.fetched + crawl.failed + len(self.texts)
        counts = self.counts
        reading = min(1.0, read / expected) if expected else 0.0
        embedding = min(1.0, counts["embedded"] / counts["stored"]) if counts["stored"] else 0.0
        now = _READING_SHARE * reading + (100 - _READING_SHARE) * embedding * reading
        self._progress = max(self._progress, min(99, int(now)))
        return self._progress

    def event(self, message: str | None = None) -> WorkerEvent:
        counts = self.counts
        data = {"progress": self.progress, "message": message or _told(counts), "counts": counts}
        return WorkerEvent("task_update", data)

    def result(self) -> WorkerEvent:
        counts = self.counts
        data: dict[str, Any] = {
            "response": _told(counts),
            "urls_crawled": self._crawl.fetched + self._crawl.failed,
            "pages_added": len(self._changed),
            "pages": list(self._pages),
            "counts": counts,
            "reasons": dict(self._crawl.reasons),
            "failed": [
                {"url": f.url, "reason": f.reason, "message": f.message} for f in self._failures
            ],
        }
        return WorkerEvent("result", data)


def _told(counts: dict[str, int]) -> str:
    parts = [f"Read {counts['fetched']} of {counts['found']} addresses found"]
    parts.append(f"stored {counts['stored']}, embedded {counts['embedded']}")
    if counts["failed"]:
        parts.append(f"{counts['failed']} could not be read")
    return "; ".join(parts) + "."
