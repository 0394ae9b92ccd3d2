"""Quote first: which sentences of the passages found answer the question, and whether any does.

Pure, and no model is needed. Sentences are ranked by the share of the question's weight (inverse
document frequency, from `SearchResult.idf`) that they cover, plus half of what they cover together
with title, headings and neighbouring sentences, plus a fixed bonus for a figure where one is asked for.
The gate adds the cosine of question and passage. Figures, thresholds and the method's
limits: docs/decisions/0005-quote-first-and-the-gate.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serve_app.agents.sentences import sentence_spans
from serve_app.agents.terms import (
    NEGATIONS,
    asked_about,
    asks_for_number,
    content_stems,
    numbers,
    stems,
)
from serve_app.domain.knowledge import Hit, SearchResult

PASSAGES = 5  # passages that sentences are taken from
MAX_QUOTES = 3
WINDOW = (
    3  # sentences before and after that count as a sentence's context, however long the passage
)
CONTEXT_WEIGHT = 0.5
CARRIED_SHARE = 0.5
NUMBER_BONUS = 0.3  # of a sentence with a figure, where the question asks for one
RANK_COST = 0.02  # a little for each place a passage stands further down
MIN_WORDS = 3  # of a span that can stand as a quote
KEEP_SHARE = 0.6  # a second or third quote scores at least this share of the first

# Calibrated on the development questions: see the decision record.
GATE_HYBRID = 0.92
GATE_LEXICAL = 0.52
_CONFIDENCE_HYBRID = (5.0, 0.98)  # slope and middle of a logistic curve
_CONFIDENCE_LEXICAL = (6.9, 0.54)


@dataclass(frozen=True, slots=True)
class Quote:
    """A span of a stored page. `text` equals the page's markdown from `start` to `end`."""

    n: int
    hit: Hit
    text: str
    start: int
    end: int
    score: float  # 0..1: the share of the question's weight that the sentence covers

    def source(self) -> dict[str, object]:
        """The entry of contract section 4, with the passage's place for a page that opens it."""
        fetched_at = self.hit.fetched_at
        return {
            "n": self.n,
            "title": self.hit.title,
            "url": self.hit.url,
            "quote": self.text,
            "score": round(self.score, 3),
            "page_id": self.hit.page_id,
            "chunk_id": self.hit.chunk_id,
            "start": self.start,
            "end": self.end,
            "heading": self.hit.heading,
            "collection": self.hit.collection,
            "fetched_at": fetched_at.isoformat() if fetched_at else None,
        }


@dataclass(frozen=True, slots=True)
class Grounding:
    """What the sources hold for a question. `answers` is the gate's verdict."""

    quotes: tuple[Quote, ...]
    gate: float
    threshold: float
    confidence: float

    @property
    def answers(self) -> bool:
        return bool(self.quotes) and self.gate >= self.threshold


@dataclass(frozen=True, slots=True)
class _Candidate:
    hit: Hit
    start: int  # within the passage
    end: int
    coverage: float
    rank_score: float


@dataclass(frozen=True, slots=True)
class _Passage:
    """A passage judged as a whole: one passage must hold what is asked, not several a part each."""

    candidates: tuple[_Candidate, ...]
    gate: float
    threshold: float
    confidence: float


def ground(
    question: str, result: SearchResult, max_quotes: int = MAX_QUOTES, *, carried: str = ""
) -> Grounding:
    """Rank the sentences of the best passages, take up to `max_quotes`, and judge them by the gate.

    `carried` are words of an earlier turn that the question leans on.
    """
    weights = question_weights(question, result.idf, carried)
    known = numbers(question) if asks_for_number(question) else None
    ranked = enumerate(result.hits[:PASSAGES])
    passages = [_judge(weights, rank, hit, known) for rank, hit in ranked]
    best = max(passages, key=lambda p: p.gate - p.threshold, default=None)
    return Grounding(
        quotes=_quotes([c for p in passages for c in p.candidates], max_quotes),
        gate=best.gate if best else 0.0,
        threshold=best.threshold if best else GATE_LEXICAL,
        confidence=best.confidence if best else 0.0,
    )


def question_weights(
    question: str, idf: Mapping[str, float], carried: str = ""
) -> dict[str, float]:
    """Weight of each content stem of a question. A stem the knowledge base never saw weighs as its rarest.

    Carried words weigh half as much as the question's own, all together: they say what it is about,
    and its own words say what is asked.
    """
    rarest = max(idf.values(), default=1.0)
    own = {s: idf.get(s, rarest) for s in asked_about(question) if s not in NEGATIONS}
    extra = {s: idf.get(s, rarest) for s in content_stems(carried) if s not in own}
    if own and extra:
        share = CARRIED_SHARE * sum(own.values()) / max(sum(extra.values()), 1e-9)
        extra = {s: share * weight for s, weight in extra.items()}
    return {**own, **extra} or dict.fromkeys(stems(question), 1.0)


def coverage(weights: Mapping[str, float], found: frozenset[str]) -> float:
    """Share (0..1) of the weight whose stems were found."""
    total = sum(weights.values())
    if total <= 0:
        return 0.0
    return sum(weight for s, weight in weights.items() if s in found) / total


def _judge(
    weights: Mapping[str, float], rank: int, hit: Hit, known: frozenset[str] | None
) -> _Passage:
    """Score the sentences of one passage, each by itself and with what stands around it.

    `known` are the numbers in a question that asks for another, None for any other question.
    """
    spans = sentence_spans(hit.text)
    found = [stems(hit.text[start:end]) for start, end in spans]
    about = frozenset(stems(f"{hit.title}\n{hit.heading}"))
    candidates, lexical = [], 0.0
    for i, (start, end) in enumerate(spans):
        around = found[max(0, i - WINDOW) : i + WINDOW + 1]
        own = coverage(weights, frozenset(found[i]))
        context = coverage(weights, about.union(*around))
        lexical = max(lexical, 0.5 * own + 0.5 * context)
        if len(found[i]) >= MIN_WORDS:
            score = own + CONTEXT_WEIGHT * context - RANK_COST * rank
            if known is not None and numbers(hit.text[start:end]) - known:
                score += NUMBER_BONUS
            candidates.append(_Candidate(hit, start, end, own, score))
    if hit.cosine is None:
        gate, threshold, curve = lexical, GATE_LEXICAL, _CONFIDENCE_LEXICAL
    else:
        gate, threshold, curve = lexical + hit.cosine, GATE_HYBRID, _CONFIDENCE_HYBRID
    return _Passage(tuple(candidates), gate, threshold, _logistic(gate, *curve))


def _quotes(candidates: Sequence[_Candidate], max_quotes: int) -> tuple[Quote, ...]:
    """The best candidates. A sentence that is held twice (merged neighbours, copies) is shown once."""
    chosen: list[_Candidate] = []
    texts: set[str] = set()
    ranked = sorted(candidates, key=lambda c: -c.rank_score)
    for candidate in ranked:
        enough = candidate.rank_score >= KEEP_SHARE * ranked[0].rank_score
        if len(chosen) == max_quotes or not enough:
            break
        text = candidate.hit.text[candidate.start : candidate.end]
        if text not in texts:
            texts.add(text)
            chosen.append(candidate)
    return tuple(
        Quote(
            n=n,
            hit=c.hit,
            text=c.hit.text[c.start : c.end],
            start=c.hit.start + c.start,
            end=c.hit.start + c.end,
            score=c.coverage,
        )
        for n, c in enumerate(chosen, 1)
    )


def _logistic(x: float, slope: float, middle: float) -> float:
    return 1.0 / (1.0 + math.exp(-slope * (x - middle)))
