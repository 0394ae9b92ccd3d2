"""Reading as tasks: the events a person sees and the result."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from crawler.fake import FakeCrawler
from crawler.ingest import ITEMS_TYPE
from crawler.patience import patiently
from crawler.tally import Tally
from crawler.worker import CrawlWorker
from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import BadRequest, NotFound, Unavailable
from serve_app.domain.knowledge import PageDraft, StalePage, StoredPage, Upload
from serve_app.domain.tasks import Assignment, WorkerEvent
from serve_app.domain.web import CrawlCounts, CrawlFailure, CrawlUpdate
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase

URLS = [f"http://tarn.test/{n}" for n in range(3)]


@pytest.fixture
async def knowledge() -> AsyncIterator[KnowledgeBase]:
    base = KnowledgeBase(None, HashEmbedder(), SystemClock())
    await base.open()
    yield base
    await base.close()


@pytest.fixture
def crawler(knowledge: KnowledgeBase) -> FakeCrawler:
    drafts = {url: PageDraft(url, url, url, f"# {url}\n\nWords about {url}.") for url in URLS}
    return FakeCrawler(knowledge, drafts)


async def run(
    worker: CrawlWorker, kind: str, args: Mapping[str, Any], attempt: int = 1
) -> tuple[list[WorkerEvent], Mapping[str, Any]]:
    task = Assignment("t1", attempt, kind, args, "user")
    events = [event async for batch in worker.run(task) for event in batch]
    assert [event.type for event in events] == ["task_update"] * (len(events) - 1) + ["result"]
    told = [event.data["progress"] for event in events[:-1]]
    assert told == sorted(told)
    assert all(0 <= progress < 100 for progress in told)
    assert all(event.data["message"].endswith(".") for event in events[:-1])
    return events, events[-1].data


async def put(knowledge: KnowledgeBase, kind: str, data: bytes) -> dict[str, str]:
    await knowledge.put_upload(Upload("u1", "file.txt", kind, data))
    return {"upload_id": "u1"}


async def test_a_crawl_is_told_in_counts(knowledge: KnowledgeBase, crawler: FakeCrawler) -> None:
    worker = CrawlWorker(crawler, knowledge)
    args = {"url": URLS[0], "max_pages": 7, "max_depth": 2, "include": ["*"], "exclude": None}
    events, result = await run(worker, "crawl", args)
    job = crawler.jobs[0]
    assert (job.crawl_id, job.task_id, job.attempt) == ("t1", "t1", 1)
    assert (job.max_pages, job.max_depth, job.include, job.exclude) == (7, 2, ("*",), ())
    assert events[0].data["counts"]["stored"] == 1
    assert result["counts"] == {"found": 1, "fetched": 1, "stored": 1, "embedded": 1, "failed": 0}
    assert (result["urls_crawled"], result["pages_added"], result["failed"]) == (1, 1, [])
    page = await knowledge.find_page(URLS[0])
    assert page is not None
    assert result["pages"] == [page.id]


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({}, "url"),
        ({"url": " "}, "url"),
        ({"url": URLS[0], "max_pages": 0}, "max_pages"),
        ({"url": URLS[0], "max_depth": True}, "max_depth"),
        ({"url": URLS[0], "include": "x"}, "include"),
    ],
)
async def test_bad_arguments_are_named(
    knowledge: KnowledgeBase, crawler: FakeCrawler, args: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await run(CrawlWorker(crawler, knowledge), "crawl", args)
    assert caught.value.field == field


async def test_unknown_kinds_and_uploads_are_refused(
    knowledge: KnowledgeBase, crawler: FakeCrawler
) -> None:
    worker = CrawlWorker(crawler, knowledge)
    with pytest.raises(BadRequest, match="kind 'bake'"):
        await run(worker, "bake", {})
    with pytest.raises(BadRequest, match="no upload"):
        await run(worker, "add_file", {})
    with pytest.raises(NotFound):
        await run(worker, "add_pages", {"upload_id": "none"})


async def test_a_list_may_mix_addresses_and_texts(
    knowledge: KnowledgeBase, crawler: FakeCrawler
) -> None:
    items = [
        *({"url": url} for url in URLS),
        {"url": "http://tarn.test/gone"},
        {"title": "Note", "text": "Some words of a note."},
        {"url": "nonsense"},
    ]
    args = await put(knowledge, ITEMS_TYPE, json.dumps(items).encode())
    worker = CrawlWorker(crawler, knowledge)
    _, result = await run(worker, "add_pages", args)
    assert result["counts"] == {"found": 6, "fetched": 4, "stored": 4, "embedded": 4, "failed": 2}
    assert sorted(failure["reason"] for failure in result["failed"]) == ["bad_item", "http_404"]
    assert (result["pages_added"], len(result["pages"])) == (4, 4)
    assert crawler.jobs[0].max_depth == 0
    assert not crawler.jobs[0].same_site
    _, again = await run(worker, "add_pages", args, attempt=2)
    assert sorted(again["pages"]) == sorted(result["pages"])
    assert again["counts"]["stored"] == 4


async def test_a_file_is_read_in(knowledge: KnowledgeBase, crawler: FakeCrawler) -> None:
    args = await put(knowledge, "text/plain", b"# Gauge\n\nIt weighs 640 grams.")
    _, result = await run(CrawlWorker(crawler, knowledge), "add_file", args)
    assert result["counts"] == {"found": 1, "fetched": 1, "stored": 1, "embedded": 1, "failed": 0}
    page = await knowledge.get_page(result["pages"][0])
    assert (page.title, page.source) == ("Gauge", "file")
    assert page.clean_markdown == "# Gauge\n\nIt weighs 640 grams."


async def test_stale_pages_are_read_again(
    knowledge: KnowledgeBase, crawler: FakeCrawler, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = CrawlWorker(crawler, knowledge)
    _, result = await run(worker, "refresh_stale", {"limit": 10})
    assert (result["pages"], crawler.jobs) == ([], [])
    now = SystemClock().now()

    async def stale(limit: int) -> list[StalePage]:
        return [StalePage(1, URLS[0], now), StalePage(2, "urn:omeruta:text:1", now)]

    monkeypatch.setattr(knowledge, "stale_pages", stale)
    await run(worker, "refresh_stale", {"limit": 10}, attempt=2)
    job = crawler.jobs[0]
    assert (job.seeds, job.refresh, job.max_depth) == ((URLS[0],), True, 0)


def test_progress_never_falls_and_lists_are_bounded() -> None:
    tally = Tally()
    told = []
    for found, fetched in ((1, 1), (50, 1), (50, 25), (400, 30), (400, 100)):
        counts = CrawlCounts(found=found, fetched=fetched, stored=fetched, embedded=fetched // 2)
        pages = tuple(StoredPage(n, "u", "t", "added", 1) for n in range(1000))
        failures = tuple(CrawlFailure(f"u{n}", "timeout", "m") for n in range(90))
        tally.take(CrawlUpdate(counts, pages, failures), max_pages=100)
        told.append(tally.progress)
    assert told == sorted(told)
    assert told[-1] == 90
    result = tally.result().data
    assert (len(result["pages"]), len(result["failed"])) == (500, 100)
    assert result["pages_added"] == 1000


async def test_patience_ends() -> None:
    class Hasty(SystemClock):
        slept = 0.0

        async def sleep(self, seconds: float) -> None:
            self.slept += seconds

    async def away() -> None:
        raise Unavailable("The knowledge base is away.")

    clock = Hasty()
    with pytest.raises(Unavailable):
        await patiently(clock, away, patience=20)
    assert 20 <= clock.slept <= 30
