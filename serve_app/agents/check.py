"""What the model wrote against what was quoted: a sentence is released only if one quote supports it.

Pure. Support is judged by words, not by meaning: every number of the sentence must occur in one and
the same quote, every name and at least 80 % of its content stems there or in the question, and words
that stand side by side in the sentence must stand near each other there. A sentence that denies needs
a clause of the quote that denies, and such a clause supports no sentence that affirms. That keeps out
what a small model makes up and most of what it puts together wrongly, not all of it: hence the quotes stand first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from serve_app.agents.grounding import Quote
from serve_app.agents.terms import NEGATIONS, NUMBER_WORDS, STOPWORDS
from serve_app.knowledge.text import stem, words

MIN_SUPPORT = 0.8
REPEATS = 0.6  # share of a quote that a sentence only says again
REACH = 3  # content words apart that still count as near
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_OWN_CITATION = re.compile(r"\s*\[\d+(?:,\s*\d+)*\]")
_LABEL = re.compile(r"^(?:[-*•>]\s+|\d{1,2}[.)]\s+|(?:answer|a)\s*:\s*)+", re.IGNORECASE)
_MARKUP = re.compile(r"https?:|www\.|[<>`|{}]|\]\(|```")
_DENIAL = NEGATIONS | {"neither", "nor"}
_SHORT_DENIAL = re.compile(r"n['’]t\b", re.IGNORECASE)
_CLAUSE = re.compile(
    r"[;:\n]|[,–—]\s*(?=(?:which|who|whom|where|when|but|yet|though|although|while|whereas|because|so|and)\b)"
    r"|\bbut\b",
    re.IGNORECASE,
)
_PLACE = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The words that a sentence about one quote may use."""

    n: int  # the quote's number
    quote: str  # its words, in order, as compared
    words: frozenset[str]
    stems: frozenset[str]
    fresh: frozenset[str]  # stems of the quote that the question lacks
    numbers: frozenset[
        str
    ]  # of the quote alone, as are the two that follow: a question proves nothing
    number_words: frozenset[str]
    denied: frozenset[str]  # stems of clauses that deny
    near: frozenset[frozenset[str]]  # pairs of stems near each other in the quote or the question

    @classmethod
    def of(cls, question: str, quote: Quote) -> Evidence:
        quoted = _joined_thousands(f"{quote.text}\n{quote.hit.title}\n{quote.hit.heading}")
        question = _joined_thousands(question)
        everything = f"{question}\n{quoted}"
        asked = frozenset(_content(question))
        return cls(
            n=quote.n,
            quote=" ".join(words(_joined_thousands(quote.text))),
            words=frozenset(words(everything)),
            stems=frozenset(_content(everything)),
            fresh=frozenset(_content(quoted)) - asked,
            numbers=frozenset(_NUMBER.findall(quoted)),
            number_words=NUMBER_WORDS & set(words(quoted)),
            denied=_denied(_joined_thousands(quote.text)),
            near=_near(_content(_joined_thousands(quote.text))) | _near(_content(question)),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The quote that supports a sentence or, without one, why not (a short name, for counts)."""

    quote: int | None
    reason: str = ""

    @property
    def supported(self) -> bool:
        return self.quote is not None


def tidy(sentence: str) -> str:
    """A model's sentence without list marks, labels and citations of its own making."""
    return " ".join(_OWN_CITATION.sub("", _LABEL.sub("", sentence.strip())).split())


def check(sentence: str, evidence: Sequence[Evidence]) -> Verdict:
    """Judge one complete, tidied sentence. The first quote that supports it is the one to cite."""
    if _MARKUP.search(sentence):
        return Verdict(None, "markup")
    if sentence.endswith("?"):
        return Verdict(None, "question")
    sentence = _joined_thousands(sentence)
    said = " ".join(words(sentence))
    if any(said in own.quote and len(said) >= REPEATS * len(own.quote) for own in evidence):
        return Verdict(None, "repeats")
    reasons = [_lack(sentence, own) for own in evidence]
    for own, reason in zip(evidence, reasons, strict=True):
        if not reason:
            return Verdict(own.n)
    return Verdict(None, reasons[0] if reasons else "words")


def _lack(sentence: str, evidence: Evidence) -> str:
    """What a quote lacks to support the sentence; empty when it lacks nothing."""
    stems = _content(sentence)
    spoken = set(words(sentence))
    if any(number not in evidence.numbers for number in _NUMBER.findall(sentence)):
        return "number"
    if spoken & NUMBER_WORDS - evidence.number_words:
        return "number"
    if _denies(sentence) == evidence.denied.isdisjoint(stems):
        return "negation"
    if any(name not in evidence.words for name in _names(sentence, evidence)):
        return "name"
    if not stems or sum(s in evidence.stems for s in stems) < MIN_SUPPORT * len(stems):
        return "words"
    if not any(s in evidence.fresh for s in stems):
        return "echo"
    if any(a != b and frozenset((a, b)) not in evidence.near for a, b in pairwise(stems)):
        return "joined"
    return ""


def _denied(text: str) -> frozenset[str]:
    """Content stems of the clauses that deny, the denying words apart."""
    clauses = [clause for clause in _CLAUSE.split(text) if _denies(clause)]
    spoken = [word for clause in clauses for word in words(clause)]
    return frozenset(stem(w) for w in spoken if w not in STOPWORDS and w not in _DENIAL)


def _denies(text: str) -> bool:
    return bool(_SHORT_DENIAL.search(text)) or not _DENIAL.isdisjoint(words(text))


def _content(text: str) -> list[str]:
    """Content stems in order, repeats kept."""
    return [stem(w) for w in words(text) if w not in STOPWORDS]


def _near(stems: Sequence[str]) -> frozenset[frozenset[str]]:
    return frozenset(
        frozenset((a, b)) for i, a in enumerate(stems) for b in stems[i + 1 : i + 1 + REACH]
    )


def _joined_thousands(text: str) -> str:
    """`1,200` as `1200`, so that both spellings are one number."""
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)


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
