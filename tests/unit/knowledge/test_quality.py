"""Quality tells solid pages from thin, link-ridden and repetitive ones, with reasons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.knowledge.quality import assess

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SOLID = "# Topic\n\n" + "\n\n".join(
    f"## Part {n}\n\nThis sentence number {n} explains one plain fact about the topic. "
    f"Another sentence adds detail {n} that a reader can use. The third closes part {n}."
    for n in range(12)
)


def test_a_solid_page_scores_high_and_needs_no_reasons() -> None:
    quality = assess(SOLID, NOW, NOW)
    assert quality.score > 0.9
    assert quality.reasons == ()


def test_each_weakness_lowers_its_part_and_says_so() -> None:
    weak = {
        "length": "Short. Text.",
        "structure": "one plain sentence of prose. " * 300,
        "readability": "word " * 400,
        "links": "[a link to some page](http://x.example/a) " * 40,
        "repetition": "the same line again.\n" * 60,
    }
    for part, markdown in weak.items():
        quality = assess(markdown, None, NOW)
        assert quality.parts[part] < 0.5, part
        assert quality.reasons, part
        assert quality.score < assess(SOLID, None, NOW).score


def test_age_counts_only_when_known() -> None:
    assert assess(SOLID, None, NOW).parts["age"] == 1.0
    old = assess(SOLID, NOW - timedelta(days=9 * 365), NOW)
    assert old.parts["age"] == 0.125
    assert "years old" in old.reasons[0]


def test_an_empty_page_is_worth_nothing() -> None:
    quality = assess("  \n", None, NOW)
    assert (quality.score, quality.reasons) == (0.0, ("The page has no text.",))


@given(st.text(max_size=300))
@settings(max_examples=60, deadline=None)
def test_scores_stay_within_bounds(markdown: str) -> None:
    quality = assess(markdown, None, NOW)
    assert 0.0 <= quality.score <= 1.0
    assert all(0.0 <= value <= 1.0 for value in quality.parts.values())
