"""Chunks follow the document and lose nothing of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.knowledge.chunking import MAX_CHARS, MAX_WORDS, chunk, context, embedded_text

PIECES = st.sampled_from(
    [
        "# Top",
        "## Part *one*",
        "### Deep ###",
        "A short line of prose.",
        "One sentence. Another one! A third? " * 30,
        "word " * 450,
        "x" * 6000,
        "- item one\n- item two\n\n  more of two",
        "1. first\n2. second",
        "```py\n# not a heading\n\nx = 1\n```",
        "~~~\nnever closed",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "| row | of words |\n" * 120,
        "漢字かな交じり文。" * 400,
        " \t ",
        "\u2028\x0b\r",
        "#no heading",
        " " * 3000,
    ]
)


@given(
    st.lists(st.one_of(PIECES, st.text(max_size=80)), max_size=12),
    st.sampled_from(["\n", "\n\n", "\n \n"]),
)
@settings(max_examples=100, deadline=None)
def test_chunks_are_exact_ordered_and_complete(pieces: list[str], between: str) -> None:
    markdown = between.join(pieces)
    last, covered = 0, []
    for piece in chunk(markdown):
        assert piece.text == markdown[piece.start : piece.end]
        assert piece.text.strip() == piece.text != ""
        assert piece.start >= last
        assert not markdown[last : piece.start].strip()
        assert len(piece.text) <= MAX_CHARS * 1.2
        assert len(piece.text.split()) <= MAX_WORDS * 1.2
        last = piece.end
        covered.append(piece)
    assert not markdown[last:].strip()


def test_sections_are_not_mixed_and_carry_their_path() -> None:
    markdown = (
        "# Guide\n\nHello.\n\n## Setup\n\nRun it.\n\nThen wait.\n\n# Other\n\n## Deep\n\nEnd."
    )
    found = [(c.heading, c.text) for c in chunk(markdown)]
    assert found == [
        ("Guide", "# Guide\n\nHello."),
        ("Guide > Setup", "## Setup\n\nRun it.\n\nThen wait."),
        ("Other > Deep", "# Other\n\n## Deep\n\nEnd."),
    ]


def test_a_block_that_fits_stays_whole() -> None:
    table = "\n".join(["| name | value |", "|---|---|", *(f"| n{i} | v{i} |" for i in range(20))])
    prose = "A sentence of six words here. " * 25
    chunks = chunk(f"{prose}\n\n{table}\n\n{prose}")
    assert any(table in c.text for c in chunks)
    assert len(chunks) == 3


def test_a_heading_stays_with_its_first_block() -> None:
    chunks = chunk("## Numbers\n\n" + "ten words are in this line of the text here\n" * 20)
    assert [c.heading for c in chunks] == ["Numbers"]
    assert chunks[0].text.startswith("## Numbers")


def test_long_prose_is_cut_at_sentence_ends() -> None:
    chunks = chunk("This is a sentence of exactly eight words. " * 100)
    assert len(chunks) == 4
    assert all(c.text.endswith(".") for c in chunks)


def test_long_code_is_cut_at_line_ends() -> None:
    chunks = chunk("```\n" + "value = function(argument) + other\n" * 120 + "```")
    assert len(chunks) > 1
    assert all(c.text.endswith(("other", "```")) for c in chunks)


def test_markup_in_headings_is_left_out_of_the_path() -> None:
    (only,) = chunk("## The `run` **command** [here](http://x.example)\n\nText.")
    assert only.heading == "The run command here"


def test_fences_hide_headings() -> None:
    (only,) = chunk("```sh\n# a comment\n```\n\nAfter.")
    assert only.heading == ""


@pytest.mark.parametrize("blank", ["", " \n\t\n", "\n" * 9000])
def test_blank_pages_have_no_chunks(blank: str) -> None:
    assert chunk(blank) == []


def test_what_is_embedded_says_where_it_stands() -> None:
    assert context("Guide", "guide > Setup") == "Guide > Setup"
    assert context("", "") == ""
    assert embedded_text("Guide", "Setup > Linux", "Run it.") == "Guide > Setup > Linux\nRun it."
    assert embedded_text("", "", "Run it.") == "Run it."
