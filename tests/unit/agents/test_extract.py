"""Key sentences and aspects are taken from the pages as they stand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.agents.extract import key_sentences, page_sentences, shared_aspects

PAGE = (
    "# Bees\n\nHoney bees pollinate most fruit trees in the valley. Fruit trees without honey bees bear "
    "little fruit in the valley. The valley has two churches from the last century. Farmers pay "
    "beekeepers so that honey bees pollinate their fruit trees. It rained on some days of that week.\n"
)


def test_the_sentences_that_others_share_words_with_come_first() -> None:
    (best,) = key_sentences(page_sentences(PAGE), 1)
    assert "fruit trees" in best.text.lower()
    chosen = key_sentences(page_sentences(PAGE), 3)
    assert [s.start for s in chosen] == sorted(s.start for s in chosen)


def test_repetitions_are_taken_once() -> None:
    twice = (
        "Honey bees pollinate most fruit trees here. " * 2
        + "Cattle graze on the northern slopes today."
    )
    texts = [s.text for s in key_sentences(page_sentences(twice), 3)]
    assert len(texts) == len(set(texts)) == 2


def test_aspects_are_what_several_pages_speak_of() -> None:
    other = "# Orchards\n\nFruit trees of the coast are old and tall. Nobody keeps any cattle there now.\n"
    aspects = shared_aspects([PAGE, other], 5)
    assert aspects[0].name in ("fruit", "trees")
    for aspect in aspects:
        assert len(aspect.said) >= 2
    used = [(i, s.start) for aspect in aspects for i, s in aspect.said]
    assert len(used) == len(set(used))


def test_pages_that_share_nothing_have_no_aspect() -> None:
    assert shared_aspects([PAGE, "Cattle graze upon northern slopes every summer."], 5) == []


@settings(deadline=None)
@given(st.text(alphabet="abc .\n#|`", max_size=300), st.integers(1, 5))
def test_sentences_are_slices_of_the_page(markdown: str, count: int) -> None:
    for sentence in key_sentences(page_sentences(markdown), count):
        assert markdown[sentence.start : sentence.end] == sentence.text
