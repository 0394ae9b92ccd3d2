"""Reads 1 to 20 pages and sums them up, compares them or shows their quality. Extractive throughout.

Every line is a sentence of a page with its number, or a stored fact; no model writes here. A page that
cannot be read is named with the reason; the task fails only when none could be.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from serve_app.agents.events import Answer, Step, sources, token, update
from serve_app.agents.extract import Sentence, key_sentences, page_sentences, shared_aspects
from serve_app.agents.grounding import ground
from serve_app.agents.markdown import bullets, link, plain
from serve_app.agents.reading import find_pages, read_seeds
from serve_app.agents.request import Desk, Request
from serve_app.agents.routing import subject
from serve_app.domain.errors import FetchError
from serve_app.domain.knowledge import Page, SearchQuery, SearchResult
from serve_app.domain.streams import closing
from serve_app.domain.web import CrawlFailure

ASPECTS = 6
SEARCH_LIMIT = 10
HELD_PAGES = 3  # pages compared when a request names no address
_COMPARES = re.compile(r"\b(?:compar|contrast|differ|similarit|versus\b|vs\b)", re.IGNORECASE)
_JUDGES = re.compile(r"\b(?:quality|reliab|trustworth|how good)", re.IGNORECASE)
ASSESS_BATCH = 100


@dataclass(slots=True)
class Pages:
    """What there is to analyse: pages in the order asked for, and why others are missing."""

    held: list[Page]
    failures: list[CrawlFailure]
    asked: int


async def answer(desk: Desk, request: Request) -> AsyncIterator[Step]:
    """Raises FetchError when not one of the pages can be read."""
    kind = kind_of(request)
    pages = Pages([], [], max(1, len(request.urls)))
    if request.urls:
        async with closing(gather(desk, request, pages)) as steps:
            async for step in steps:
                yield step
        if not pages.held:
            raise FetchError(_none_readable(pages.failures), reason="none_readable")
    else:
        yield update(40, "Looking for pages on this")
        most = HELD_PAGES if kind == "comparison" else 1
        pages.held = await _pages_about(desk, subject(request.text), most)
        if not pages.held:
            text = "No address was named, and the knowledge base holds no page on this."
            yield sources([])
            yield token(text)
            yield Answer(text, confidence=0.0)
            return

    yield update(message=f"Analysing {len(pages.held)} of {pages.asked} pages")
    work = Sheet()
    assessment = None
    if kind == "quality":
        pages.held = await _assessed(desk, pages.held)
        assessment = quality_assessment(pages.held)
        text = await asyncio.to_thread(quality_text, pages.held, work)
    elif kind == "comparison" and len(pages.held) > 1:
        text = await asyncio.to_thread(comparison, pages.held, work)
    else:
        text = await asyncio.to_thread(summary, pages.held, work)
    text += _failed_text(pages.failures)
    yield sources(work.entries)
    yield token(text)
    yield Answer(
        text,
        confidence=len(pages.held) / max(pages.asked, len(pages.held)),
        sources=work.entries,
        quality_assessment=assessment,
        extra={"failures": [{"url": f.url, "reason": f.reason} for f in pages.failures]},
    )


def kind_of(request: Request) -> str:
    """The analysis asked for or, of a message, the one its words speak of."""
    if request.analysis_type != "auto":
        return request.analysis_type
    if _JUDGES.search(request.text):
        return "quality"
    return "comparison" if len(request.urls) > 1 or _COMPARES.search(request.text) else "summary"


async def gather(desk: Desk, request: Request, pages: Pages) -> AsyncIterator[Step]:
    """Fill `pages`: those held, then those that can be read now. Yields progress in true counts."""
    found = await find_pages(desk, request.urls)
    missing = [u for u, page in found.items() if page is None or page.status == "gone"]
    counts = {"pages": len(found), "read": len(found) - len(missing), "failed": 0}
    yield _progress(counts)
    seeds = [u for u in missing if u.lower().startswith(("http://", "https://"))]
    stored: list[str] = []
    if seeds:
        async with closing(read_seeds(desk, request, "read", seeds)) as readings:
            async for reading in readings:
                stored = [page.url for page in reading.pages]
                pages.failures = list(reading.failures)
                counts["read"] = len(found) - len(missing) + len(reading.pages)
                counts["failed"] = reading.counts.failed
                yield _progress(counts)
    found.update(await find_pages(desk, missing))
    # A seed that redirected is held under the address it led to.
    held = {page.url for page in found.values() if page is not None}
    moved = [page for page in (await find_pages(desk, stored)).values() if page and page.url not in held]  # fmt: skip
    failed = {failure.url for failure in pages.failures}
    for url, page in found.items():
        if page is None and url not in failed:
            if url in seeds and moved:
                found[url] = moved.pop(0)
            else:
                pages.failures.append(CrawlFailure(url, "unread", f"{url} could not be read."))
    unique = {page.id: page for page in found.values() if page is not None}
    pages.held = [page for page in unique.values() if page.clean_markdown.strip()]


def _progress(counts: dict[str, int]) -> Step:
    done = counts["read"] + counts["failed"]
    message = f"Read {counts['read']} of {counts['pages']} pages"
    return update(min(90, round(90 * done / counts["pages"])), message, dict(counts))


class Sheet:
    """Numbers the sentences used and keeps their sources."""

    def __init__(self) -> None:
        self.entries: list[dict[str, object]] = []

    def cite(self, page: Page, sentence: Sentence) -> str:
        """The sentence as a line of the answer, with its number."""
        n = len(self.entries) + 1
        self.entries.append(
            {
                "n": n,
                "title": page.title,
                "url": page.url,
                "quote": sentence.text,
                "score": 1.0,  # taken as it stands: there is no question to score it by
                "page_id": page.id,
                "chunk_id": None,
                "start": sentence.start,
                "end": sentence.end,
                "heading": "",
                "collection": page.collection,
                "fetched_at": page.fetched_at.isoformat(),
            }
        )
        return f"{' '.join(sentence.text.split())} [{n}]"


def summary(pages: Sequence[Page], sheet: Sheet) -> str:
    """Three key sentences a page (two of more than five pages), under its title."""
    count = 3 if len(pages) <= 5 else 2
    parts = []
    for page in pages:
        chosen = key_sentences(page_sentences(page.clean_markdown), count)
        lines = bullets(sheet.cite(page, s) for s in chosen)
        parts.append(
            f"### {link(page.title, page.url)}\n\n{lines or 'Nothing here can be quoted.'}"
        )
    return "\n\n".join(parts)


def comparison(pages: Sequence[Page], sheet: Sheet) -> str:
    """What the pages say on the aspects they share, each line with its source; or their summaries."""
    aspects = shared_aspects([page.clean_markdown for page in pages], ASPECTS)
    if not aspects:
        note = "These pages share no aspect that could be compared. What each says:"
        return f"{note}\n\n{summary(pages, sheet)}"
    parts = []
    for aspect in aspects:
        lines = bullets(
            f"**{plain(pages[i].title)}**: {sheet.cite(pages[i], sentence)}"
            for i, sentence in aspect.said
        )
        parts.append(f"### {aspect.name.capitalize()}\n\n{lines}")
    silent = set(range(len(pages))) - {i for aspect in aspects for i, _ in aspect.said}
    if silent:
        names = ", ".join(link(pages[i].title, pages[i].url) for i in sorted(silent))
        parts.append(f"Says nothing on these: {names}.")
    return "\n\n".join(parts)


def quality_text(pages: Sequence[Page], sheet: Sheet) -> str:
    """The stored quality of each page: score, parts and reasons, with its most telling sentence."""
    parts = []
    for page in pages:
        title = f"### {link(page.title, page.url)}"
        if page.quality is None:
            parts.append(f"{title}\n\n- Not assessed yet.")
            continue
        scores = ", ".join(f"{name} {value:.2f}" for name, value in page.quality.parts.items())
        lines = [f"Score {page.quality.score:.2f}" + (f" ({scores})" if scores else "")]
        lines += [plain(reason) for reason in page.quality.reasons]
        lines += [
            f"Its core: {sheet.cite(page, s)}"
            for s in key_sentences(page_sentences(page.clean_markdown), 1)
        ]
        parts.append(f"{title}\n\n{bullets(lines)}")
    return "\n\n".join(parts)


def quality_assessment(pages: Sequence[Page]) -> dict[str, object]:
    """`score` (mean of the assessed pages, None without any) and the pages' own."""
    scores = [page.quality.score for page in pages if page.quality is not None]
    return {
        "score": round(sum(scores) / len(scores), 3) if scores else None,
        "pages": [
            {
                "page_id": page.id,
                "url": page.url,
                "title": page.title,
                "score": page.quality.score if page.quality else None,
                "parts": dict(page.quality.parts) if page.quality else {},
                "reasons": list(page.quality.reasons) if page.quality else [],
            }
            for page in pages
        ],
    }


async def _assessed(desk: Desk, pages: Sequence[Page]) -> list[Page]:
    if all(page.quality is not None for page in pages):
        return list(pages)
    await desk.knowledge.assess_quality(ASSESS_BATCH)
    return [await desk.knowledge.get_page(page.id) for page in pages]


async def _pages_about(desk: Desk, text: str, most: int) -> list[Page]:
    """The pages that passages above the gate come from, best first."""
    found = await desk.knowledge.search(SearchQuery(text=text, limit=SEARCH_LIMIT))
    fitting = [h for h in found.hits if ground(text, SearchResult((h,), found.idf)).answers]
    ids = list(dict.fromkeys(hit.page_id for hit in fitting))[:most]
    return [await desk.knowledge.get_page(page_id) for page_id in ids]


def _failed_text(failures: Sequence[CrawlFailure]) -> str:
    if not failures:
        return ""
    return f"\n\n### Could not be read\n\n{bullets(plain(f.message) for f in failures)}"


def _none_readable(failures: Sequence[CrawlFailure]) -> str:
    reasons = " ".join(f.message for f in failures[:3])
    return f"None of the pages could be read. {reasons}".strip()
