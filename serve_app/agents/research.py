"""Learns a topic: what is known, what is missing, read more, and report. `expand` is this without report.

Goes out only when the request allows it, reads at most `max_sources` pages, and reads addresses that
search providers propose, never ones that a text or a model names. With no provider at hand it reports
what is known and says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from urllib.parse import urldefrag

from serve_app.agents.events import Answer, Step, sources, token, update
from serve_app.agents.grounding import Grounding, Quote, ground
from serve_app.agents.markdown import blockquote, bullets, link, plain
from serve_app.agents.reading import Reading, find_pages, read_seeds
from serve_app.agents.request import Desk, Request
from serve_app.agents.routing import subject
from serve_app.domain.errors import BrainError
from serve_app.domain.knowledge import SYSTEM, SearchQuery, SearchResult
from serve_app.domain.ports import SearchProvider
from serve_app.domain.streams import closing
from serve_app.domain.tasks import WorkerEvent
from serve_app.domain.web import Candidate
from serve_app.knowledge.text import key_words

log = logging.getLogger(__name__)

SEARCH_LIMIT = 20
ENOUGH_PAGES = 3  # pages on a topic under which more are worth looking for
REPORT_QUOTES = 8
SUMMARY_QUOTES = 3
PROVIDER_TIMEOUT = 20.0  # seconds


@dataclass(slots=True)
class Findings:
    """What a research has come to so far."""

    found: SearchResult
    grounding: Grounding
    notes: list[str] = field(default_factory=list)
    reading: Reading | None = None

    @property
    def pages(self) -> int:
        return len({quote.hit.page_id for quote in self.grounding.quotes})


async def answer(desk: Desk, request: Request) -> AsyncIterator[Step]:
    """Raises what Knowledge raises; a provider or a page that fails is told of in the report."""
    if (
        request.assignment.kind == "multiagent"
    ):  # a sentence that asks, where the others name a topic
        request = replace(request, text=subject(request.text))
    yield update(10, "Looking at what is known")
    findings = await _look(desk, request.text)
    known = findings.pages if findings.grounding.answers else 0
    yield update(20, f"Known so far: {known} {'page' if known == 1 else 'pages'} on this")
    if request.expand:
        async with closing(_expand(desk, request, findings)) as steps:
            async for step in steps:
                yield step
        if findings.reading is not None and findings.reading.counts.stored:
            again = await _look(desk, request.text)
            findings.found, findings.grounding = again.found, again.grounding
    entries = [q.source() for q in findings.grounding.quotes] if findings.grounding.answers else []
    info = findings.reading.expansion_info() if findings.reading else None
    text = report(request, findings) if request.report else told(findings)
    yield update(90, "Writing the report" if request.report else "Done reading")
    if request.report:
        yield sources(entries)
    yield token(text)
    yield Answer(
        text,
        findings.grounding.confidence,
        sources=entries if request.report else [],
        expansion_info=info,
        notes=tuple(findings.notes),
    )


async def _look(desk: Desk, topic: str) -> Findings:
    found = await desk.knowledge.search(SearchQuery(text=topic, limit=SEARCH_LIMIT, neighbours=1))
    found = SearchResult(
        tuple(hit for hit in found.hits if hit.collection != SYSTEM), found.idf, found.degraded
    )
    notes = [found.degraded] if found.degraded else []
    return Findings(found, ground(topic, found, REPORT_QUOTES), notes)


async def _expand(desk: Desk, request: Request, findings: Findings) -> AsyncIterator[Step]:
    yield update(30, "Looking for new sources")
    candidates = await propose(desk, request.text, request.max_sources, findings.notes)
    if not candidates:
        findings.notes.append("No new source was found to read.")
        findings.reading = Reading()
        return
    async with closing(read_seeds(desk, request, "learn", [c.url for c in candidates])) as readings:
        async for reading in readings:
            findings.reading = reading
            done = reading.counts.fetched + reading.counts.failed
            share = min(1.0, done / len(candidates))
            message = f"Read {reading.counts.stored} of {len(candidates)} new sources"
            yield update(40 + round(45 * share), message, reading.counts.as_dict())
    if findings.reading is not None:
        if findings.reading.cut_short:
            findings.notes.append("Time ran out before all new sources were read.")
        yield WorkerEvent(
            "knowledge_expanded", {"expansion_info": findings.reading.expansion_info()}
        )


async def propose(desk: Desk, topic: str, limit: int, notes: list[str]) -> list[Candidate]:
    """Up to `limit` addresses that are new: the providers in turn, each one's best first."""
    answers = await asyncio.gather(*(_ask(p, topic, 3 * limit, notes) for p in desk.providers))
    mixed = [c for turn in zip_longest(*answers) for c in turn if c is not None]
    by_url = {urldefrag(c.url).url: c for c in reversed(mixed)}  # of equals the first is kept
    ordered = list(by_url.items())[::-1]
    held = await find_pages(desk, [url for url, _ in ordered])
    return [c for url, c in ordered if held[url] is None][:limit]


async def _ask(
    provider: SearchProvider, topic: str, limit: int, notes: list[str]
) -> list[Candidate]:
    """One provider's proposals; its failure is a note, for the others may still find something."""
    try:
        async with asyncio.timeout(PROVIDER_TIMEOUT):
            found = await provider.find(topic, limit)
    except (BrainError, TimeoutError) as error:
        log.warning("search provider %s: %s", provider.name, error)
        reason = str(error) or "It did not answer in time."
        notes.append(f"The search provider “{provider.name}” could not be asked. {reason}")
        return []
    return [c for c in found[:limit] if c.url.startswith(("http://", "https://"))]


def report(request: Request, findings: Findings) -> str:
    """The report: best quotes, all findings by source, what is missing. Each line of them cited."""
    parts = [f"## {plain(request.text)}"]
    quotes = findings.grounding.quotes if findings.grounding.answers else ()
    if quotes:
        parts.append(f"### Summary\n\n{blockquote(quotes[:SUMMARY_QUOTES])}")
        parts.append(f"### Findings by source\n\n{_by_source(quotes)}")
    else:
        parts.append("### Summary\n\nThe knowledge base holds nothing that fits this topic.")
    parts.append(f"### What is still missing\n\n{bullets(gaps(request, findings))}")
    if findings.reading is not None:
        parts.append(f"### What was read for this\n\n{told(findings)}")
    return "\n\n".join(parts)


def gaps(request: Request, findings: Findings) -> list[str]:
    """What the sources lack for this topic, in words: few pages, words of the topic that none uses."""
    lines = []
    quotes = findings.grounding.quotes if findings.grounding.answers else ()
    if findings.pages < ENOUGH_PAGES:
        have = findings.pages if quotes else 0
        lines.append(f"Only {have} {'page speaks' if have == 1 else 'pages speak'} of it.")
    said = {w for q in quotes for w in key_words(f"{q.text} {q.hit.title} {q.hit.heading}")}
    silent = [w for w in key_words(request.text) if w not in said]
    if quotes and silent:
        lines.append(f"The passages found do not mention: {', '.join(plain(w) for w in silent)}.")
    if not request.expand:
        lines.append("New sources were not looked for, as asked.")
    lines += [plain(note) for note in findings.notes]
    return lines or ["Nothing that can be told from the words of the topic."]


def told(findings: Findings) -> str:
    """What reading new sources came to, in words."""
    reading = findings.reading or Reading()
    lines = [
        f"Added {link(page.title, page.url)}" for page in reading.pages if page.change == "added"
    ]
    lines += [
        f"Read again {link(page.title, page.url)} ({page.change})"
        for page in reading.pages
        if page.change != "added"
    ]
    lines += [f"Not read: {plain(failure.message)}" for failure in reading.failures]
    if not lines:
        lines = [plain(note) for note in findings.notes] or ["No new source was read."]
    return bullets(lines)


def _by_source(quotes: Sequence[Quote]) -> str:
    by_page: dict[int, list[Quote]] = {}
    for quote in quotes:
        by_page.setdefault(quote.hit.page_id, []).append(quote)
    parts = []
    for own in by_page.values():
        hit = own[0].hit
        lines = bullets(f"{' '.join(q.text.split())} [{q.n}]" for q in own)
        parts.append(f"#### {link(hit.title, hit.url)}\n\n{lines}")
    return "\n\n".join(parts)
