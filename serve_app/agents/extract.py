"""Key sentences and shared aspects of texts, taken and never written. Pure.

Sentences are ranked by TextRank (R. Mihalcea, P. Tarau, "TextRank: Bringing Order into Texts",
EMNLP 2004): a sentence matters when sentences that matter share words with it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.agents.sentences import headings, sentence_spans
from serve_app.agents.terms import GENERAL_WORDS, NEGATIONS, NUMBER_WORDS, STOPWORDS
from serve_app.knowledge.text import stem, words

MAX_SENTENCES = 200  # of a page that are compared with each other
_DAMPING = 0.85
_ROUNDS = 30
_TOO_ALIKE = 0.5
_SHORTEST, _LONGEST = 5, 60  # words of a sentence worth showing


@dataclass(frozen=True, slots=True)
class Sentence:
    """A span of a page's markdown: `text` equals it from `start` to `end`."""

    text: str
    start: int
    end: int
    stems: frozenset[str]


@dataclass(frozen=True, slots=True)
class Aspect:
    """Something several pages speak of: its name and, by page, the sentence that says most on it."""

    name: str
    said: tuple[tuple[int, Sentence], ...]  # (index of the page, sentence)


def page_sentences(markdown: str) -> list[Sentence]:
    """The first `MAX_SENTENCES` sentences of a page that are neither scraps nor walls of text."""
    found = []
    for start, end in sentence_spans(markdown):
        spoken = words(markdown[start:end])
        if _SHORTEST <= len(spoken) <= _LONGEST and not markdown.startswith(("```", "|"), start):
            content = frozenset(stem(w) for w in spoken if w not in STOPWORDS)
            found.append(Sentence(markdown[start:end], start, end, content))
            if len(found) == MAX_SENTENCES:
                break
    return found


def key_sentences(sentences: Sequence[Sentence], count: int) -> list[Sentence]:
    """The `count` sentences that matter most and do not repeat each other, in the page's order."""
    if not sentences:
        return []
    # Pages say first what they are about, so the first sentences count up to half as much again.
    lead = 1 + 0.5 / (1 + np.arange(len(sentences)) / 3)
    ranks = _text_rank(_similarities(sentences)) * lead
    chosen: list[Sentence] = []
    for i in np.argsort(-ranks, kind="stable"):
        sentence = sentences[int(i)]
        if all(_overlap(sentence, other) < _TOO_ALIKE for other in chosen):
            chosen.append(sentence)
            if len(chosen) == count:
                break
    return sorted(chosen, key=lambda s: s.start)


def shared_aspects(pages: Sequence[str], count: int) -> list[Aspect]:
    """What at least two of the pages speak of, most shared first: words of their headings, then key terms.

    An aspect is a content word; its weight is how many pages use it, then how often they do
    (dampened), doubled for words of headings. A sentence speaks for one aspect only.
    """
    sentences = [page_sentences(page) for page in pages]
    names, weights = _term_weights(pages, sentences)
    aspects: list[Aspect] = []
    used: set[tuple[int, int]] = set()
    for term in sorted(weights, key=lambda t: (-weights[t], t)):
        said = []
        for i, own in enumerate(sentences):
            free = [s for s in own if term in s.stems and (i, s.start) not in used]
            if free:
                said.append((i, max(free, key=lambda s: _density(s, weights))))
        if len(said) >= 2:
            used.update((i, sentence.start) for i, sentence in said)
            aspects.append(Aspect(names[term], tuple(said)))
            if len(aspects) == count:
                break
    return aspects


def _term_weights(
    pages: Sequence[str], sentences: Sequence[Sequence[Sentence]]
) -> tuple[dict[str, str], dict[str, float]]:
    """Stem -> its most usual word, and stem -> weight, of stems that two pages or more use."""
    surface: dict[str, Counter[str]] = {}
    uses: dict[str, list[int]] = {}
    headed: Counter[str] = Counter()
    for i, page in enumerate(pages):
        for sentence in sentences[i]:
            for word in words(sentence.text):
                if _is_term(word):
                    surface.setdefault(stem(word), Counter())[word] += 1
                    uses.setdefault(stem(word), [0] * len(pages))[i] += 1
        headed.update({stem(w) for h in headings(page) for w in words(h)})
    weights = {}
    for term, counts in uses.items():
        pages_using = sum(count > 0 for count in counts)
        if pages_using >= 2:
            often = sum(math.log1p(count) for count in counts)
            weights[term] = pages_using * often * (2.0 if headed[term] >= 2 else 1.0)
    names = {term: surface[term].most_common(1)[0][0] for term in weights}
    return names, weights


def _density(sentence: Sentence, weights: Mapping[str, float]) -> float:
    """How much of what the pages share a sentence holds for its length."""
    return sum(weights.get(t, 0.0) for t in sentence.stems) / (5 + len(sentence.stems))


def _is_term(word: str) -> bool:
    """Whether a word can name an aspect: no function, number, general or describing word."""
    common = word in STOPWORDS or word in NEGATIONS or word in NUMBER_WORDS or word in GENERAL_WORDS
    return len(word) >= 4 and not common and not word.isdigit() and not word.endswith(("ly", "ed"))


def _similarities(sentences: Sequence[Sentence]) -> NDArray[np.float64]:
    """Shared stems over the logarithms of both lengths, as in the paper; (n, n), zero diagonal."""
    vocabulary = {
        s: i for i, s in enumerate(sorted(frozenset().union(*(x.stems for x in sentences))))
    }
    holds = np.zeros((len(sentences), len(vocabulary)))
    for row, sentence in enumerate(sentences):
        holds[row, [vocabulary[s] for s in sentence.stems]] = 1.0
    shared = holds @ holds.T
    lengths = np.log1p(holds.sum(axis=1))
    both = lengths[:, None] + lengths[None, :]
    alike: NDArray[np.float64] = np.divide(shared, both, out=np.zeros_like(shared), where=both > 0)
    np.fill_diagonal(alike, 0.0)
    return alike


def _text_rank(alike: NDArray[np.float64]) -> NDArray[np.float64]:
    n = len(alike)
    out = alike.sum(axis=1, keepdims=True)
    flow = np.divide(alike, out, out=np.full_like(alike, 1.0 / n), where=out > 0)
    ranks = np.full(n, 1.0 / n)
    for _ in range(_ROUNDS):
        ranks = (1 - _DAMPING) / n + _DAMPING * (ranks @ flow)
    return ranks


def _overlap(one: Sentence, other: Sentence) -> float:
    smaller = min(len(one.stems), len(other.stems))
    return len(one.stems & other.stems) / smaller if smaller else 0.0
