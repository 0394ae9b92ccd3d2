"""Quotes are slices of what is stored; the gate tells what the sources hold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.agents.grounding import (
    GATE_HYBRID,
    GATE_LEXICAL,
    coverage,
    ground,
    question_weights,
)
from serve_app.domain.knowledge import SYSTEM, Hit, SearchResult

PAGE = (
    "Preface of no account. The tide mill at Rance opened in 1966. It feeds 240 megawatts into the "
    "grid. Its basin is crossed by a road. Elsewhere people grow apples and pears."
)
IDF = {"tide": 4.0, "mill": 4.0, "open": 2.0, "ranc": 6.0}


def hit(text: str = PAGE, *, page_id: int = 1, start: int = 0, cosine: float | None = 0.6) -> Hit:
    return Hit(
        page_id=page_id,
        chunk_id=10 * page_id,
        title="Rance",
        url=f"https://a.example/{page_id}",
        text=text,
        start=start,
        end=start + len(text),
        score=1.0,
        cosine=cosine,
        fetched_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def test_the_best_sentence_is_quoted_with_its_place_in_the_page() -> None:
    grounding = ground(
        "When did the tide mill at Rance open?", SearchResult((hit(start=100),), IDF)
    )
    first = grounding.quotes[0]
    assert first.text == "The tide mill at Rance opened in 1966."
    assert (first.start, first.end) == (100 + PAGE.index("The tide"), 100 + PAGE.index(" It feeds"))
    assert grounding.answers
    assert 0.5 < grounding.confidence <= 1


def test_a_source_carries_what_a_page_needs_to_open_it() -> None:
    source = ground("When did the tide mill open?", SearchResult((hit(),), IDF)).quotes[0].source()
    assert source["n"] == 1
    assert source["quote"] == PAGE[source["start"] : source["end"]]  # type: ignore[misc]
    assert {"title", "url", "score", "page_id", "chunk_id", "fetched_at", "collection"} <= set(
        source
    )
    assert source["fetched_at"] == "2026-01-02T00:00:00+00:00"


def test_where_a_figure_is_asked_for_a_sentence_with_one_goes_first() -> None:
    text = (
        "The mill at Rance feeds megawatts into the grid of the region. Engineers came from afar. "
        "The mill feeds 240 megawatts."
    )
    idf = {"mill": 2.0, "feed": 2.0, "megawatt": 3.0, "grid": 2.0, "240": 0.1}
    result = SearchResult((hit(text),), idf)
    asked = ground("How many megawatts does the mill feed into the grid?", result)
    assert asked.quotes[0].text == "The mill feeds 240 megawatts."
    told = ground("Does the mill feed megawatts into the grid?", result)
    assert told.quotes[0].text.startswith("The mill at Rance")
    known = ground("When do 240 megawatts of the mill feed the grid?", result)
    assert known.quotes[0].text.startswith("The mill at Rance")
    assert asked.gate == pytest.approx(told.gate)


def test_what_the_sources_do_not_hold_is_below_the_gate() -> None:
    grounding = ground("Who won the chess final in Oslo?", SearchResult((hit(cosine=0.1),), IDF))
    assert not grounding.answers
    assert grounding.confidence < 0.2


def test_without_cosines_words_alone_decide_on_their_own_threshold() -> None:
    known = ground("When did the tide mill open?", SearchResult((hit(cosine=None),), IDF))
    unknown = ground("Who won the chess final?", SearchResult((hit(cosine=None),), IDF))
    assert known.threshold == unknown.threshold == GATE_LEXICAL
    assert known.answers
    assert not unknown.answers


def test_one_passage_must_hold_it_not_several_a_part_each() -> None:
    halves = (
        hit("The tide mill stands here for all to see.", page_id=1, cosine=0.3),
        hit("A museum opened at Rance some time ago.", page_id=2, cosine=0.3),
    )
    whole = (hit("The tide mill opened at Rance some time ago.", page_id=3, cosine=0.3),)
    question = "When did the tide mill at Rance open?"
    assert (
        ground(question, SearchResult(halves, IDF)).gate
        < ground(question, SearchResult(whole, IDF)).gate
    )


def test_a_long_passage_does_not_pass_by_its_length() -> None:
    filler = " ".join(f"Sentence {i} tells of other things." for i in range(10))
    scattered = f"A mill is here. {filler} Tide comes and goes. {filler} Rance is a name. {filler} They open."
    close = "A mill is here. Tide comes and goes. Rance is a name. They open."
    question = "When did the tide mill at Rance open?"
    far, near = (
        ground(question, SearchResult((hit(text),), IDF)).gate for text in (scattered, close)
    )
    assert far < near


def test_a_sentence_held_twice_is_quoted_once() -> None:
    twice = (hit(page_id=1), hit(page_id=2))
    quotes = ground("When did the tide mill open?", SearchResult(twice, IDF)).quotes
    assert len({q.text for q in quotes}) == len(quotes)


def test_nothing_found_answers_nothing() -> None:
    grounding = ground("Anything?", SearchResult(()))
    assert grounding.quotes == ()
    assert not grounding.answers
    assert grounding.confidence == 0


def test_a_word_the_knowledge_base_never_saw_weighs_as_its_rarest() -> None:
    weights = question_weights("tide of quasars", {"tide": 4.0, "sea": 2.0})
    assert weights == {"tide": 4.0, "quasar": 4.0}
    assert coverage(weights, frozenset({"tide"})) == 0.5


def test_words_that_only_ask_do_not_weigh() -> None:
    assert question_weights("Please explain the tide", {"tide": 4.0}) == {"tide": 4.0}
    assert question_weights("Explain", {}) == {"explain": 1.0}


def test_words_of_an_earlier_turn_weigh_half_in_all() -> None:
    weights = question_weights("What did it cost?", {"cost": 4.0}, carried="tide mill")
    assert weights == {"cost": 4.0, "tide": 1.0, "mill": 1.0}


def test_quotes_of_the_system_guide_say_so() -> None:
    guide = Hit(1, 1, "Guide", "guide:add", "To add a website run omeruta crawl with its address.", 0, 59, 1.0, cosine=0.7, collection=SYSTEM)  # fmt: skip
    grounding = ground("How do I add a website?", SearchResult((guide,)))
    assert grounding.quotes[0].source()["collection"] == SYSTEM


@pytest.mark.parametrize("question", ["the of and", "", "?!", "not"])
def test_questions_without_content_do_no_harm(question: str) -> None:
    assert 0 <= ground(question, SearchResult((hit(),), IDF)).confidence <= 1


@settings(deadline=None)
@given(st.text(max_size=300), st.text(max_size=60))
def test_every_quote_equals_the_stored_text(text: str, question: str) -> None:
    page = "x" * 7 + text
    grounding = ground(question, SearchResult((hit(text, start=7),)))
    assert grounding.threshold == GATE_HYBRID
    for quote in grounding.quotes:
        assert page[quote.start : quote.end] == quote.text
