"""What a model may add: nothing that a quote does not say."""

from __future__ import annotations

import pytest

from serve_app.agents.check import Evidence, check, tidy
from serve_app.agents.grounding import Quote
from serve_app.domain.knowledge import Hit

QUESTION = "When did the tide mill at Rance open, and how much does it feed in?"
TEXTS = (
    "The tide mill at Rance opened in 1966 after five years of work by 1,200 people.",
    "It feeds 240 megawatts into the grid, which does not meet the demand of Brittany.",
)


def evidence(question: str = QUESTION) -> list[Evidence]:
    hits = [Hit(1, n, "Rance tide mill", "u", t, 0, len(t), 1.0) for n, t in enumerate(TEXTS, 1)]
    quotes = [Quote(n, h, h.text, 0, h.end, 1.0) for n, h in enumerate(hits, 1)]
    return [Evidence.of(question, quote) for quote in quotes]


@pytest.mark.parametrize(
    ("sentence", "quote"),
    [
        ("The tide mill opened in 1966.", 1),
        ("Rance opened in 1966.", 1),
        ("It feeds 240 megawatts into a grid.", 2),
        ("The tide mill opened after five years.", 1),
        ("The work was done by 1200 people.", 1),
    ],
)
def test_supported_sentences_cite_the_quote_that_supports_them(sentence: str, quote: int) -> None:
    verdict = check(sentence, evidence())
    assert verdict.supported, verdict
    assert verdict.quote == quote


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("The tide mill opened in 1967.", "number"),
        ("The tide mill opened after seven years of work.", "number"),
        ("The tide mill was opened by Myselisk in 1966.", "name"),
        ("Myselisk opened the tide mill at Rance in 1966.", "name"),
        ("The tide mill at Rance never opened in 1966.", "negation"),
        ("The tide mill is a luxury vehicle with leather seats.", "words"),
        ("The tide mill at Rance did open.", "echo"),
        ("The tide mill at Rance opened in 1966 and feeds 240 megawatts.", "number"),
        ("The mill opened people at Rance.", "joined"),
        ("Did the tide mill open in 1966?", "question"),
        ("See https://evil.example/ for 1966.", "markup"),
        ("<b>The tide mill opened in 1966.</b>", "markup"),
        ("[The tide mill](x) opened in 1966.", "markup"),
        (TEXTS[0], "repeats"),
        ("It is.", "words"),
    ],
)
def test_unsupported_sentences_are_dropped_with_a_reason(sentence: str, reason: str) -> None:
    verdict = check(sentence, evidence())
    assert not verdict.supported
    assert verdict.reason == reason


def test_two_quotes_do_not_support_one_claim_together() -> None:
    assert not check("The mill opened in 1966 into the grid.", evidence()).supported


@pytest.mark.parametrize(
    ("question", "quote", "sentence", "reason"),
    [
        ("What about the lid?", "The lid must not be opened by hand.", "The lid must be opened by hand.", "negation"),
        ("What about the lid?", "The lid isn’t waterproof by day.", "The lid is waterproof by day.", "negation"),
        ("What about the lid?", "The lid is waterproof by day.", "The lid isn't waterproof by day.", "negation"),
        ("Why is the lid not dry?", "The lid is dry by day and by night.", "The lid is not dry by day.", "negation"),
        ("Does it hold 500 litres?", "It holds water, many litres.", "It holds water, 500 litres.", "number"),
        ("What about the lid?", "The lid is not dry; it is safe by day.", "It is safe by day.", ""),
        ("What about the lid?", "The lid is not dry by day or night.", "The lid isn't dry by day.", ""),
    ],
)  # fmt: skip
def test_a_denial_and_a_number_must_be_the_quotes_own(
    question: str, quote: str, sentence: str, reason: str
) -> None:
    hit = Hit(1, 1, "Lids", "u", quote, 0, len(quote), 1.0)
    verdict = check(sentence, [Evidence.of(question, Quote(1, hit, quote, 0, len(quote), 1.0))])
    assert verdict.reason == reason


def test_without_quotes_nothing_is_supported() -> None:
    assert not check("The tide mill opened in 1966.", []).supported


@pytest.mark.parametrize(
    ("raw", "tidied"),
    [
        (" - The mill [1] opened [2, 3].\n", "The mill opened."),
        ("Answer: The mill.", "The mill."),
        ("1. The  mill.", "The mill."),
        ("\n", ""),
    ],
)
def test_marks_and_citations_of_the_models_own_making_go(raw: str, tidied: str) -> None:
    assert tidy(raw) == tidied
