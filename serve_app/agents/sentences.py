"""Markdown -> the spans that can be quoted: sentences, list items, tables, code, with exact offsets.

Pure. A span is `(start, end)` with `text[start:end]` the quote, character by character; nothing is
cleaned, joined or shortened, which is what makes a quote equal to the stored text by construction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_SPAN = 600  # characters; longer spans are cut at a space

_BLOCK = re.compile(r"(?m:^(?:[^\S\n]*+\S[^\n]*(?:\n|$))+)")  # a run of lines that are not blank
_FENCE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"[ \t]{0,3}#{1,6}[ \t]|[ \t]*(?:[-*_=][ \t]*){3,}$")
_ITEM = re.compile(r"[ \t]*(?:[-*+•][ \t]+|\d{1,3}[.)][ \t]+|>[ \t]?)")
_TABLE = re.compile(r"[ \t]*\|")
_STOP = re.compile(
    r"(?<![.!?…])[.!?…]+[\"'”’)\]*_]*(?:\[\d+\])*(?=\s+[\"'“‘(\[*_`]*[^\W_a-zß-ÿ])|[。！？]+[」』”]*"
)
_STREAM_STOP = re.compile(r"[.!?…]+[\"'”’)\]*_]*(?=\s+\S)|[。！？]+|\n+")
_FIGURE = re.compile(r"\s*\d\S{0,11}(?:\s\S{1,11})?\s*")  # "4310 mAh." belongs to what is before it
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Gen|Col|Capt|Lt|Rev|Hon|vs|cf|etc|al|ca|approx|No|Nos|Vol|Fig|"
    r"Figs|Eq|pp?|Inc|Ltd|Co|Corp|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)|(?<!°)\b[A-Z]|\b[a-z]\.[a-z])\.$"
)

Span = tuple[int, int]


def sentence_spans(text: str) -> list[Span]:
    """Quotable spans of a markdown passage, in order. Headings and rules are left out."""
    spans: list[Span] = []
    at = 0
    for fence in _FENCE.finditer(text):
        spans.extend(_prose(text, at, fence.start()))
        spans.extend(_cut(text, fence.start(), fence.end()))
        at = fence.end()
    spans.extend(_prose(text, at, len(text)))
    return spans


def headings(text: str) -> list[str]:
    """The headings of a markdown text, marks taken off, in order."""
    found = re.findall(r"^[ \t]{0,3}#{1,6}[ \t]+(.+)$", _FENCE.sub("", text), re.MULTILINE)
    return [str(heading).rstrip(" \t#").strip("*_` ") for heading in found]


def split_stream(buffer: str) -> tuple[list[str], str]:
    """Complete sentences at the front of a text that is still being written, and the rest.

    The sentences and the rest add up to `buffer`. A sentence is complete once the next has begun
    or its line has ended.
    """
    done: list[str] = []
    at = 0
    for stop in _STREAM_STOP.finditer(buffer):
        if not _ABBREVIATION.search(buffer, max(at, stop.end() - 12), stop.end()):
            done.append(buffer[at : stop.end()])
            at = stop.end()
    return done, buffer[at:]


def _prose(text: str, start: int, end: int) -> Iterator[Span]:
    for block in _BLOCK.finditer(text, start, end):
        for unit_start, unit_end, whole in _units(text, block.start(), block.end()):
            if whole:
                yield from _cut(text, unit_start, unit_end)
            else:
                for sentence in _sentences(text, unit_start, unit_end):
                    yield from _cut(text, *sentence)


def _units(text: str, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Lines of a block put together: (start, end, is it one piece). Headings are dropped."""
    unit: tuple[int, int, bool] | None = None
    for line in re.finditer(r"[^\n]+", text[start:end]):
        left, right = start + line.start(), start + line.end()
        if _HEADING.match(line.group()):
            if unit:
                yield unit
            unit = None
            continue
        table = bool(_TABLE.match(line.group()))
        item = _ITEM.match(line.group())
        fits = unit is not None and right - unit[0] <= MAX_SPAN
        if unit and not item and table == unit[2] and (not table or fits):
            unit = (unit[0], right, table)
            continue
        if unit:
            yield unit
        unit = (left + (item.end() if item else 0), right, table)
    if unit:
        yield unit


def _sentences(text: str, start: int, end: int) -> Iterator[Span]:
    held: Span | None = None
    for left, right in _stops(text, start, end):
        if held and _FIGURE.fullmatch(text, left, right):
            held = (held[0], right)
            continue
        if held:
            yield held
        held = (left, right)
    if held:
        yield held


def _stops(text: str, start: int, end: int) -> Iterator[Span]:
    at = start
    for stop in _STOP.finditer(text, start, end):
        if _ABBREVIATION.search(text, max(at, stop.end() - 12), stop.end()):
            continue
        yield at, stop.end()
        at = stop.end()
    yield at, end


def _cut(text: str, start: int, end: int) -> Iterator[Span]:
    """Trim white space at both ends; cut what is longer than `MAX_SPAN` at a space."""
    while start < end:
        while start < end and text[start].isspace():
            start += 1
        stop = end
        if end - start > MAX_SPAN:
            space = text.rfind(" ", start + 1, start + MAX_SPAN)
            stop = space if space > start else start + MAX_SPAN
        rest = stop
        while stop > start and text[stop - 1].isspace():
            stop -= 1
        if stop > start:
            yield start, stop
        start = rest
