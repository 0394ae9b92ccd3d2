"""The main job on real input: 200 real pages are read, and ten questions answered from them, figures printed."""

import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil
import pytest
from selectolax.lexbor import LexborHTMLParser

from crawler.parse import parse
from crawler.urls import normalise
from omeruta import Added, Brain
from support.brain import RunningBrain
from support.real_pages import COUNT, DATA, QUESTIONS, WHY_NOT, RealSites, real_pages

pytestmark = [
    pytest.mark.serve,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not DATA.is_file(), reason=WHY_NOT),
]


@dataclass(frozen=True, slots=True)
class Visit:
    """What became of the pages. `seconds` is from the request to the last vector."""

    sites: RealSites
    added: Added
    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """How one question was answered. `phrase`: whether a quote of the right page holds it."""

    cited: bool
    phrase: bool
    seconds: float


@pytest.fixture(scope="module")
def visit(client: Brain) -> Iterator[Visit]:
    """The pages leave the brain again: the other suites ask it about their own site only."""
    with RealSites() as sites:
        items = [{"url": sites.address(page.url)} for page in real_pages()]
        began = time.monotonic()
        task_id = client.add(items=items, wait=False).task_id
        added = client.added(task_id, progress=False)
        yield Visit(sites, added, time.monotonic() - began)
        for page_id in added.page_ids:
            client.delete_page(page_id)


def test_real_pages_are_stored_or_say_why_not(
    visit: Visit, client: Brain, brain: RunningBrain
) -> None:
    stored = [client.page(page_id) for page_id in visit.added.page_ids]
    chunks = sum(page.chunks for page in stored)
    memory = 0
    for process in brain.processes():
        with suppress(psutil.NoSuchProcess):
            memory += process.memory_full_info().pss
    print(f"\n{len(stored)} of {COUNT} pages, {chunks} chunks in {visit.seconds:.1f} s:")
    print(f"{len(stored) / visit.seconds:.1f} pages/s; {memory / 1e6:.0f} MB PSS in all processes")
    for failure in visit.added.failures:
        print(f"not stored: {failure['reason']}, {failure['url']}")

    assert len(stored) >= 195
    assert all(page.clean_markdown and page.is_processed_for_embeddings for page in stored)
    assert visit.added.counts["embedded"] == visit.added.counts["stored"] == len(stored)
    # Pages that a script would have to fill are empty; those that say noindex are left out unsaid.
    assert {failure["reason"] for failure in visit.added.failures} <= {"empty"}
    unsaid = [page.url for page in real_pages() if is_noindex(page.body)]
    assert len(stored) + len(visit.added.failures) + len(unsaid) == COUNT


def test_every_address_was_asked_for_once(visit: Visit) -> None:
    asked = {page: count for page, count in visit.sites.hits.items() if "/robots.txt" not in page}
    assert len(asked) == COUNT
    assert set(asked.values()) == {1}


def test_questions_are_answered_from_the_page_that_was_read(visit: Visit, client: Brain) -> None:
    replies = []
    for question in QUESTIONS:
        page = normalise(visit.sites.address(question.url))
        began = time.monotonic()
        answer = client.ask(question.text)
        seconds = time.monotonic() - began
        for source in answer.sources:
            assert source.page_id is not None
            held = client.page(source.page_id).clean_markdown
            assert held[source.start : source.end] == source.quote
        quotes = [" ".join(s.quote.split()) for s in answer.sources if s.url == page]
        found = any(question.phrase in quote for quote in quotes)
        replies.append(Reply(bool(quotes), found, seconds))
        print(f"\ncited={bool(quotes)!s:5} phrase={found!s:5} {seconds:.2f} s {question.text}")
        for source in answer.sources:
            print(f"  {source.n}. {source.url[:60]}: {' '.join(source.quote.split())[:120]}")
    cited, phrases = sum(r.cited for r in replies), sum(r.phrase for r in replies)
    middle = statistics.median(r.seconds for r in replies)
    print(f"\ncited {cited}, phrase {phrases} of {len(replies)}; p50 {middle:.2f} s")

    assert cited >= 8
    assert phrases >= 7


def is_noindex(body: bytes) -> bool:
    return parse(LexborHTMLParser(body.decode()), "http://page.test/").noindex
