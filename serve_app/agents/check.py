"""What the model wrote against what was quoted: a sentence is released only if the quotes support it.

Pure. Support is judged by words, not by meaning: every number, name and negation of the sentence and
at least 80 % of its content stems must occur in the quotes or the question. That keeps out what a
small model makes up; it does not notice true words put together wrongly, which is why the quotes
always stand first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from serve_app.agents.grounding import Quote
from serve_app.agents.terms import NEGATIONS, NUMBER_WORDS, STOPWORDS, content_stems
from serve_app.knowledge.text import stem, words

MIN_SUPPORT = 0.8
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_OWN_CITATION = re.compile(r"\s*\[\d+(?:,\s*\d+)*\]")
_LABEL = re.compile(r"^(?:[-*•>]\s+|\d{1,2}[.)]\s+|(?:answer|a)\s*:\s*)+", re.IGNORECASE)
_MARKUP = re.compile(r"https?:|www\.|[<>`|{}]|\]\(|```")
_PLACE = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The words that a sentence may use. `fresh` are stems of the quotes that the question lacks."""

    words: frozenset[str]
    stems: frozenset[str]
    fresh: frozenset[str]
    numbers: frozenset[str]
    quotes: tuple[str, ...]

    @classmethod
    def of(cls, question: str, quotes: Iterable[Quote]) -> Evidence:
        texts = [f"{quote.text}\n{quote.hit.title}\n{quote.hit.heading}" for quote in quotes]
        everything = "\n".join([question, *texts])
        quoted = frozenset(content_stems("\n".join(texts)))
        return cls(
            words=frozenset(words(everything)),
            stems=frozenset(content_stems(everything)),
            fresh=quoted - frozenset(content_stems(question)),
            numbers=frozenset(_numbers(everything)),
            quotes=tuple(" ".join(words(quote.text)) for quote in quotes),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a sentence may be shown and, if not, why (one short name, for counts)."""

    supported: bool
    reason: str = ""


def tidy(sentence: str) -> str:
    """A model's sentence without list marks, labels and citations of its own making."""
    return " ".join(_OWN_CITATION.sub("", _LABEL.sub("", sentence.strip())).split())


def check(sentence: str, evidence: Evidence) -> Verdict:
    """Judge one complete, tidied sentence."""
    stems = content_stems(sentence)
    if not stems:
        return Verdict(False, "empty")
    if _MARKUP.search(sentence):
        return Verdict(False, "markup")
    if any(number not in evidence.numbers for number in _numbers(sentence)):
        return Verdict(False, "number")
    spoken = set(words(sentence))
    if any(w not in evidence.words for w in spoken & (NUMBER_WORDS | NEGATIONS)):
        return Verdict(False, "number" if spoken & NUMBER_WORDS else "negation")
    if any(name not in evidence.words for name in _names(sentence, evidence)):
        return Verdict(False, "name")
    if sum(s in evidence.stems for s in stems) < MIN_SUPPORT * len(stems):
        return Verdict(False, "words")
    if not any(s in evidence.fresh for s in stems):
        return Verdict(False, "echo")
    said = " ".join(words(sentence))
    if any(said in quote for quote in evidence.quotes):
        return Verdict(False, "repeats")
    return Verdict(True)


def best_quote(sentence: str, quotes: Iterable[Quote]) -> int:
    """Number of the quote that shares most content stems with the sentence; the first of equals."""
    wanted = set(content_stems(sentence))
    return max(quotes, key=lambda q: (len(wanted & set(content_stems(q.text))), -q.n)).n


def _numbers(text: str) -> list[str]:
    """Numbers as compared: without separators between thousands, `1,200` as `1200`."""
    return [re.sub(r",(?=\d{3}\b)", "", number) for number in _NUMBER.findall(text)]


def _names(sentence: str, evidence: Evidence) -> list[str]:
    """Words written like names, folded.

    The first word is always written so; it counts when it is neither a function word nor supported.
    """
    names = []
    for place, match in enumerate(_PLACE.finditer(sentence)):
        word = match.group()
        folded = words(word)[0]
        if not word[0].isupper() or folded in STOPWORDS:
            continue
        if place > 0 or stem(folded) not in evidence.stems:
            names.append(folded)
    return names
