"""Pages by their addresses: those held, and those read now through the Crawler port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from serve_app.agents.request import Desk, Request
from serve_app.domain.knowledge import Page, StoredPage
from serve_app.domain.streams import closing
from serve_app.domain.web import CrawlCounts, CrawlFailure, CrawlJob


@dataclass(slots=True)
class Reading:
    """What a crawl has brought so far."""

    counts: CrawlCounts = field(default_factory=CrawlCounts)
    pages: list[StoredPage] = field(default_factory=list)
    failures: list[CrawlFailure] = field(default_factory=list)
    cut_short: bool = False

    def expansion_info(self) -> dict[str, object]:
        """Contract section 4, with the failures by address."""
        return {
            "urls_crawled": self.counts.fetched,
            "pages_added": self.counts.stored,
            "chunks_added": sum(page.chunks for page in self.pages),
            "failed": self.counts.failed,
            "failures": [
                {"url": f.url, "reason": f.reason, "message": f.message} for f in self.failures
            ],
        }


async def read_seeds(
    desk: Desk, request: Request, step: str, seeds: Sequence[str]
) -> AsyncIterator[Reading]:
    """Read the seeds and nothing beyond them; the same object after each update, growing.

    Stops at the task's soft deadline with what there is: what was stored by then is kept, and the
    task still has time to tell of it.
    """
    task = request.assignment
    job = CrawlJob(
        crawl_id=f"{task.task_id}/{step}",
        task_id=task.task_id,
        attempt=task.attempt,
        seeds=tuple(seeds),
        max_pages=len(seeds),
        max_depth=0,
        same_site=False,  # a seed may redirect to another site
    )
    reading = Reading()
    async with closing(desk.crawler.crawl(job)) as updates:
        async for update in updates:
            reading.counts = update.counts
            reading.pages.extend(update.pages)
            reading.failures.extend(update.failures)
            late = task.soft_deadline is not None and desk.clock.now() >= task.soft_deadline
            reading.cut_short = late and not update.done
            yield reading
            if reading.cut_short:
                return


async def find_pages(desk: Desk, urls: Sequence[str]) -> dict[str, Page | None]:
    """Each address with the page held for it, if any."""
    return {url: await desk.knowledge.find_page(url) for url in urls}
