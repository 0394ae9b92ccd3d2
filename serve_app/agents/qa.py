"""Answers a question from what the brain holds: quotes first, then the model, sentence by sentence.

The quotes are on their way before the model is asked. Each of its sentences is checked against them
as it is complete and dropped if they do not support it, so a weak model costs fluency, never truth;
with the model away the quotes alone are the answer.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from serve_app.agents import prompts
from serve_app.agents.check import Evidence, check, tidy
from serve_app.agents.events import Answer, Step, sources, token, update
from serve_app.agents.grounding import Grounding, ground
from serve_app.agents.markdown import blockquote, bullets, link
from serve_app.agents.request import Desk, Request
from serve_app.agents.sentences import split_stream
from serve_app.agents.terms import content_words
from serve_app.domain.errors import BadRequest, ModelError, Overloaded, Unavailable
from serve_app.domain.knowledge import Hit, SearchQuery, SearchResult
from serve_app.domain.streams import closing
from serve_app.knowledge.text import words

log = logging.getLogger(__name__)

SEARCH_LIMIT = 20
MAX_SENTENCES = 3
NEAREST = 3
CARRIED = 8  # words
_REFERS_BACK = frozenset(
    [
        "it",
        "its",
        "they",
        "them",
        "their",
        "theirs",
        "he",
        "him",
        "his",
        "she",
        "her",
        "hers",
        "those",
        "these",
    ]
)
_CONTINUES = re.compile(r"\W*(?:and|but|or|also|what about|how about|what else)\b", re.IGNORECASE)


async def answer(desk: Desk, request: Request) -> AsyncIterator[Step]:
    """Search, quote, judge, write. Raises what Knowledge raises: without it there is no answer."""
    yield update(25, "Searching the knowledge base")
    carried = carried_words(request.text, request.history)
    query = f"{request.text} {carried}".strip()
    found = await desk.knowledge.search(SearchQuery(text=query, limit=SEARCH_LIMIT, neighbours=1))
    grounding = ground(request.text, found, carried=carried)
    notes = (found.degraded,) if found.degraded else ()
    if not grounding.answers:
        yield update(40, "Found nothing that answers this")
        yield sources([])
        text = refusal(found)
        yield token(text)
        yield Answer(text, grounding.confidence, notes=notes)
        return

    entries = [quote.source() for quote in grounding.quotes]
    yield update(40, f"Found {_count(len(entries), 'source')}")
    yield sources(entries)
    pieces = [blockquote(grounding.quotes)]
    yield token(pieces[0])
    yield update(60, "Reading them")
    yield update(75, "Writing the answer")
    writer = Writer(desk, request, grounding)
    async with closing(writer.pieces()) as written:
        async for piece in written:
            pieces.append(piece)
            yield token(piece)
    yield Answer(
        "".join(pieces),
        grounding.confidence,
        sources=entries,
        model_used=writer.model if writer.released else "none",
        notes=notes,
        extra={"model_sentences": {"released": writer.released, "dropped": dict(writer.dropped)}},
    )


class Writer:
    """The model's part of an answer: supported sentences, each with the citation code gives it."""

    def __init__(self, desk: Desk, request: Request, grounding: Grounding) -> None:
        self._llm = desk.llm
        self._quotes = grounding.quotes
        self._request = request
        self._evidence = [Evidence.of(request.text, quote) for quote in grounding.quotes]
        self.model = "none"
        self.released = 0
        self.dropped: Counter[str] = Counter()

    async def pieces(self) -> AsyncIterator[str]:
        """Texts to append to the quotes. A model that is absent, or whose context is too small for the
        prompt, ends in a note, never in an error."""
        prompt = prompts.grounded(self._request.text, self._quotes, self._request.max_tokens)
        rest = ""
        try:
            self.model = await self._llm.name()
            async with closing(self._llm.stream(prompt)) as deltas:
                async for delta in deltas:
                    complete, rest = split_stream(rest + delta.text)
                    if delta.finish_reason == "stop":
                        complete, rest = [*complete, rest], ""
                    for piece in self._release(complete):
                        yield piece
                    if self.released == MAX_SENTENCES:
                        return
        except (BadRequest, Overloaded, Unavailable, ModelError) as error:
            log.warning("answered with quotes alone: %s", error)
            yield "\n\n*The language model is not available just now: these are the sources' own words.*"
            return
        if rest.strip():
            self.dropped["unfinished"] += 1

    def _release(self, sentences: Sequence[str]) -> list[str]:
        released = []
        for raw in sentences:
            sentence = tidy(raw)
            if not sentence or self.released == MAX_SENTENCES:
                continue
            verdict = check(sentence, self._evidence)
            if not verdict.supported:
                self.dropped[verdict.reason] += 1
                continue
            joint = " " if self.released else "\n\n"
            released.append(f"{joint}{sentence} [{verdict.quote}]")
            self.released += 1
        return released


def carried_words(message: str, history: Sequence[tuple[str, str]]) -> str:
    """Content words of the last question that this message leans on; none when it stands alone.

    It leans when it is short (at most five content words) and refers back by a pronoun, begins like
    a continuation ("and …", "what about …") with at most two content words, or has none at all.
    """
    previous = next((text for role, text in reversed(history) if role == "user"), None)
    own = content_words(message)
    if previous is None or len(own) > 5:
        return ""
    continues = len(own) <= 2 and _CONTINUES.match(message) is not None
    if own and not continues and not _REFERS_BACK & set(words(message)):
        return ""
    return " ".join([w for w in content_words(previous) if w not in own][:CARRIED])


def refusal(found: SearchResult) -> str:
    """What is said below the gate: plainly that the sources do not hold it, and what lies nearest."""
    if not found.hits:
        return (
            "The knowledge base holds nothing on this. Add a page that covers it, "
            "or ask for research on the topic."
        )
    nearest = bullets(link(hit.title, hit.url) for hit in _one_per_page(found.hits)[:NEAREST])
    return (
        f"The sources in the knowledge base do not answer this. The nearest they hold:\n\n{nearest}"
    )


def _one_per_page(hits: Sequence[Hit]) -> list[Hit]:
    return list({hit.page_id: hit for hit in reversed(hits)}.values())[::-1]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
