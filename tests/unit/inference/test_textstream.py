"""Bytes to text: whole characters, stop strings never shown, nothing lost otherwise."""

from hypothesis import given
from hypothesis import strategies as st

from serve_app.inference.textstream import TextStream


def feed(pieces, stop=()):
    stream = TextStream(stop)
    shown = [stream.push(piece) for piece in pieces]
    return stream, shown


def test_a_split_character_comes_out_whole():
    stream, shown = feed(["€".encode()[:1], "€".encode()[1:2], "€".encode()[2:]])
    assert shown == ["", "", "€"]
    assert stream.finish() == ""


def test_a_character_cut_off_at_the_end_is_dropped():
    stream, shown = feed([b"ok", "€".encode()[:2]])
    assert shown == ["ok", ""]
    assert stream.finish() == ""


def test_stop_string_over_several_pieces_is_never_shown():
    stream, shown = feed([b"fine S", b"TO", b"P more"], stop=("STOP",))
    assert "".join(shown) == "fine "
    assert stream.stopped
    assert stream.finish() == ""
    assert stream.push(b"late") == ""


def test_what_only_looked_like_a_stop_is_shown():
    stream, shown = feed([b"S", b"TAR"], stop=("STOP",))
    assert shown == ["", "STAR"]
    assert not stream.stopped


def test_held_back_text_comes_at_the_end():
    stream, shown = feed([b"go ST"], stop=("STOP",))
    assert shown == ["go "]
    assert stream.finish() == "ST"


def test_the_first_of_several_stops_wins():
    stream, shown = feed([b"one two three"], stop=("three", "two"))
    assert shown == ["one "]
    assert stream.stopped


@given(
    st.text(max_size=60),
    st.lists(st.integers(1, 7), max_size=40),
    st.sampled_from(["ab", "", "a b"]),
)
def test_any_cutting_of_the_bytes_gives_the_same_text(text, cuts, stop):
    data, pieces = text.encode(), []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    pieces.append(data)
    stops = (stop,) if stop else ()
    stream, shown = feed(pieces, stops)
    assert "".join(shown) + stream.finish() == (text.split(stop)[0] if stop else text)
