"""Markdown made to keep a reader busy is read in linear time: a quadratic one would take hours here."""

from __future__ import annotations

import pytest

from serve_app.agents.sentences import headings, sentence_spans
from serve_app.agents.smalltalk import reply_to
from serve_app.domain.clock import FakeClock
from serve_app.knowledge.chunking import chunk
from serve_app.knowledge.quality import assess

N = 300_000
TEXTS = {
    "hashes": "# " + "#" * N + "x",
    "spaced hashes": "# " + "# " * N + "x",
    "brackets": "# " + "[" * N,
    "half links": "# " + "[a](" * N,
    "dots": "." * N + "x",
    "blanks": "a\n" + " " * N + "\nb",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_hostile_page_is_read_like_any_other(text: str) -> None:
    chunks = chunk(text)
    assert all(text[piece.start : piece.end] == piece.text for piece in chunks)
    assert all(text[start:end].strip() for start, end in sentence_spans(text))
    assert len(headings(text)) <= 1
    assert 0 <= assess(text, None, FakeClock().now()).score <= 1


def test_a_message_that_repeats_itself_is_no_small_talk() -> None:
    assert reply_to("thanks " + "for all " * 22 + "x x x x x") is None
