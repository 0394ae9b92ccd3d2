"""Spans that can be quoted are exact slices; a stream is cut where sentences end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.agents.sentences import MAX_SPAN, headings, sentence_spans, split_stream


def quoted(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One thing. Another one! A third?", ["One thing.", "Another one!", "A third?"]),
        ("Dr. Lind met J. R. Moss at 3.5 m. They spoke.", ["Dr. Lind met J. R. Moss at 3.5 m.", "They spoke."]),
        ('She said "Stop." Then she left.', ['She said "Stop."', "Then she left."]),
        ("Cited.[3] Next one (aside). Über alles.", ["Cited.[3]", "Next one (aside).", "Über alles."]),
        ("A line\nthat goes on. And ends.", ["A line\nthat goes on.", "And ends."]),
        ("# Title\n\nText under it.\n\n## Sub\nMore text.", ["Text under it.", "More text."]),
        ("- first item\n- second item. With more.\n", ["first item", "second item.", "With more."]),
        ("1. one\n2. two", ["one", "two"]),
        ("> quoted words", ["quoted words"]),
        ("Before.\n\n```sh\nomeruta crawl URL. Now\n```\nAfter.", ["Before.", "```sh\nomeruta crawl URL. Now\n```", "After."]),
        ("| a | b |\n|---|---|\n| 1. X | 2 |", ["| a | b |\n|---|---|\n| 1. X | 2 |"]),
        ("これは文です。次の文。", ["これは文です。", "次の文。"]),
        ("A battery for it. 4310 mAh. It fits.", ["A battery for it. 4310 mAh.", "It fits."]),
        ("", []),
        (" \n\n ", []),
    ],
)  # fmt: skip
def test_markdown_is_split_into_what_can_be_quoted(text: str, expected: list[str]) -> None:
    assert quoted(text) == expected


def test_long_spans_are_cut_at_spaces_and_lose_nothing() -> None:
    text = "word " * 400
    pieces = quoted(text)
    assert max(map(len, pieces)) <= MAX_SPAN
    assert " ".join(pieces).split() == text.split()


@settings(deadline=None)
@given(st.text(alphabet="aB .!?\n#-|>`~*1é。", max_size=400))
def test_spans_are_trimmed_in_order_and_within_bounds(text: str) -> None:
    at = 0
    for start, end in sentence_spans(text):
        assert at <= start < end <= len(text)
        assert end - start <= MAX_SPAN
        assert text[start:end] == text[start:end].strip()
        at = end


@settings(deadline=None)
@given(st.lists(st.text(alphabet="aB .!?\n1é", max_size=20), max_size=20))
def test_a_stream_loses_nothing(pieces: list[str]) -> None:
    done: list[str] = []
    rest = ""
    for piece in pieces:
        complete, rest = split_stream(rest + piece)
        done += complete
    assert "".join(done) + rest == "".join(pieces)


def test_a_streamed_sentence_is_complete_when_the_next_begins() -> None:
    assert split_stream("It is 3.") == ([], "It is 3.")
    assert split_stream("It is 3.5 m. An") == (["It is 3.5 m."], " An")
    assert split_stream("Dr. Lind came. She") == (["Dr. Lind came."], " She")
    assert split_stream("No stop here\nnext") == (["No stop here\n"], "next")


def test_headings_without_their_marks() -> None:
    text = "# One #\ntext\n```\n# not one\n```\n### **Two**\n"
    assert headings(text) == ["One", "Two"]
