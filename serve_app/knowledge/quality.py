"""How good a page is as a source: a score 0..1, made of parts that each say their reason.

The parts are simple measures of the markdown, weighed by `_WEIGHTS`; the score is their weighted mean.
It tells thin, broken or link-ridden pages from solid ones. It does not judge truth.
"""

from __future__ import annotations

import math
import re
from datetime import datetime

from serve_app.domain.knowledge import Quality
from serve_app.knowledge.text import words

_WEIGHTS = {
    "length": 0.3,
    "structure": 0.15,
    "readability": 0.2,
    "links": 0.15,
    "repetition": 0.15,
    "age": 0.05,
}
_FULL_LENGTH = 300  # words from which length no longer counts against a page
_HALF_LIFE_DAYS = 3 * 365.0
_REASONS = {
    "length": "The page is short.",
    "structure": "The text has no headings, lists or paragraphs to hold on to.",
    "readability": "The sentences are very long, very short or made of odd words.",
    "links": "Much of the text is links.",
    "repetition": "Many lines say the same.",
    "age": "The page is years old.",
}
_POOR = 0.5

_LINK = re.compile(r"\[([^\[\]]*)\]\([^)\[]*\)")
_SENTENCE_END = re.compile(r"[.!?。！？](?:\s|$)")
_STRUCTURE = re.compile(r"^ {0,3}(#{1,6} |[-*+] |\d+[.)] |\||```)", re.MULTILINE)


def assess(markdown: str, written_at: datetime | None, now: datetime) -> Quality:
    """`written_at` is when the page was published, where that is known."""
    text = words(_LINK.sub(r"\1", markdown))
    parts = {
        "length": min(1.0, math.log1p(len(text)) / math.log1p(_FULL_LENGTH)),
        "structure": _structure(markdown, len(text)),
        "readability": _readability(markdown, text),
        "links": _links(markdown, len(text)),
        "repetition": _repetition(markdown),
        "age": _age(written_at, now),
    }
    if not text:
        return Quality(0.0, dict.fromkeys(parts, 0.0), ("The page has no text.",))
    parts = {name: round(value, 3) for name, value in parts.items()}
    score = sum(_WEIGHTS[name] * value for name, value in parts.items())
    reasons = tuple(_REASONS[name] for name, value in parts.items() if value < _POOR)
    return Quality(round(score, 3), parts, reasons)


def _structure(markdown: str, count: int) -> float:
    """Headings, lists, tables and paragraph breaks; one mark in about 150 words is plenty."""
    marks = len(_STRUCTURE.findall(markdown)) + len(re.findall(r"\n\s*\n", markdown))
    return min(1.0, (marks + 0.5) / max(1.0, count / 150))


def _readability(markdown: str, text: list[str]) -> float:
    """Mean sentence length near 8..28 words and mean word length near 3..8 letters count as readable."""
    if not text:
        return 0.0
    sentence = len(text) / max(1, len(_SENTENCE_END.findall(markdown)))
    letters = sum(map(len, text)) / len(text)
    return _within(sentence, 8, 28) * _within(letters, 3, 8)


def _within(value: float, low: float, high: float) -> float:
    """1 inside [low, high], falling with the ratio outside."""
    if value < low:
        return value / low
    return min(1.0, high / value)


def _links(markdown: str, count: int) -> float:
    """1 while links hold up to a fifth of the words, 0 when they hold them all."""
    linked = sum(len(words(label)) for label in _LINK.findall(markdown))
    share = linked / max(1, count)
    return max(0.0, min(1.0, (1.0 - share) / 0.8))


def _repetition(markdown: str) -> float:
    """The share of lines that do not repeat an earlier one: menus and boilerplate repeat."""
    lines = [line.strip() for line in markdown.splitlines() if len(line.split()) > 1]
    return len(set(lines)) / len(lines) if lines else 1.0


def _age(written_at: datetime | None, now: datetime) -> float:
    """Halves every three years; unknown dates do not count against a page."""
    if written_at is None:
        return 1.0
    days = max(0.0, (now - written_at).total_seconds() / 86400)
    return float(0.5 ** (days / _HALF_LIFE_DAYS))
