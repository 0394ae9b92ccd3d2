"""Markdown -> chunks that follow the document.

A chunk holds at most about 200 words of one section. Lists, tables and fenced code stay whole where
they fit, short paragraphs are merged, long blocks are cut at lines, sentence ends, words, in this order.
What is embedded and indexed carries the page's title and the heading path in front, which helps
retrieval more than any choice of index does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_WORDS = 200
MAX_CHARS = 12 * MAX_WORDS  # binds text without spaces: CJK, minified code
_HEADING_ROOM = 1.15  # a heading may push its first block over the limit by so much
_SEPARATOR = " > "

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")  # its closing marks are stripped after
_ITEM = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)")
_TABLE = re.compile(r" {0,3}\|")
_LINE_END = re.compile(r"\n")
_SENTENCE_END = re.compile(r"[.!?…]['\"”’)\]]*\s+|[。！？]|\n[ \t]*\n")
_WORD_END = re.compile(r"\s+")
_MARKUP = re.compile(r"[*_`]|\[([^\[\]]*)\]\([^)\[]*\)")


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text == markdown[start:end]`; `heading` is the path of headings above, outermost first."""

    start: int
    end: int
    text: str
    heading: str


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    end: int
    kind: str  # "heading" | "prose" | "lines"
    level: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class _Open:
    """The chunk being filled."""

    start: int
    end: int
    heading: str
    only_headings: bool


def chunk(markdown: str) -> list[Chunk]:
    """Chunks in order, without overlap, that together hold every non-blank character."""
    chunks: list[Chunk] = []
    path: list[tuple[int, str]] = []
    current: _Open | None = None
    for block in _blocks(markdown):
        is_heading = block.kind == "heading"
        if is_heading:
            path = [entry for entry in path if entry[0] < block.level]
            path.append((block.level, block.title))
            if current and not current.only_headings:
                chunks.append(_close(markdown, current))
                current = None
        heading = _SEPARATOR.join(title for _, title in path if title)
        if current and _fits(markdown, current.start, block.end, current.only_headings):
            alone = current.only_headings and is_heading
            current = _Open(current.start, block.end, heading, alone)
            continue
        start = block.start
        if current and current.only_headings and not is_heading:
            start = current.start
        elif current:
            chunks.append(_close(markdown, current))
        lines = (_LINE_END,) if block.kind == "lines" else ()
        cuts = (*lines, _SENTENCE_END, _WORD_END)
        split = _split(markdown, start, block.end, cuts)
        pieces = [piece for piece in split if not markdown[slice(*piece)].isspace()]
        chunks += [_close(markdown, _Open(*piece, heading, False)) for piece in pieces[:-1]]
        current = _Open(*pieces[-1], heading, is_heading)
    if current:
        chunks.append(_close(markdown, current))
    return chunks


def context(title: str, heading: str) -> str:
    """`Title > H1 > H2`; a first heading that repeats the title is left out."""
    path = heading.split(_SEPARATOR) if heading else []
    if path and path[0].casefold() == title.strip().casefold():
        path = path[1:]
    return _SEPARATOR.join([part for part in (title.strip(), *path) if part])


def embedded_text(title: str, heading: str, text: str) -> str:
    """What the embedder reads for a chunk."""
    above = context(title, heading)
    return f"{above}\n{text}" if above else text


def _close(markdown: str, span: _Open) -> Chunk:
    raw = markdown[span.start : span.end]
    start = span.start + len(raw) - len(raw.lstrip())
    end = start + len(raw.strip())
    return Chunk(start, end, markdown[start:end], span.heading)


def _fits(markdown: str, start: int, end: int, after_heading: bool = False) -> bool:
    room = _HEADING_ROOM if after_heading else 1.0
    if end - start > MAX_CHARS * room:
        return False
    return len(markdown[start:end].split()) <= MAX_WORDS * room


def _split(
    markdown: str, start: int, end: int, cuts: tuple[re.Pattern[str], ...]
) -> Iterator[tuple[int, int]]:
    """Pieces of [start, end) that fit, cut where the first of `cuts` matches, else by the next."""
    if _fits(markdown, start, end):
        yield start, end
        return
    if not cuts:
        for at in range(start, end, MAX_CHARS):
            yield at, min(at + MAX_CHARS, end)
        return
    held, held_words = start, 0
    for left, right in _units(markdown, start, end, cuts[0]):
        size = len(markdown[left:right].split())
        if held < left and (held_words + size > MAX_WORDS or right - held > MAX_CHARS):
            yield held, left
            held, held_words = left, 0
        if _fits(markdown, left, right):
            held_words += size
        else:
            yield from _split(markdown, left, right, cuts[1:])
            held = right
    if held < end:
        yield held, end


def _units(markdown: str, start: int, end: int, cut: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    left = start
    for match in cut.finditer(markdown, start, end):
        if markdown[left : match.end()].strip():
            yield left, match.end()
            left = match.end()
    if markdown[left:end].strip():
        yield left, end


def _blocks(markdown: str) -> Iterator[_Block]:
    lines = _lines(markdown)
    at = 0
    while at < len(lines):
        start, line = lines[at]
        if not line.strip():
            at += 1
            continue
        if match := _HEADING.match(line):
            title = _MARKUP.sub(lambda m: m[1] or "", match[2].rstrip(" \t#")).strip()[:200]
            yield _Block(start, start + len(line), "heading", len(match[1]), title)
            at += 1
            continue
        kind = "prose"
        if fence := _FENCE.match(line):
            after, kind = _after_fence(lines, at, fence[1]), "lines"
        elif _TABLE.match(line):
            after, kind = _after(lines, at, _TABLE), "lines"
        elif _ITEM.match(line):
            after, kind = _after_list(lines, at), "lines"
        else:
            after = _after_paragraph(lines, at)
        last_start, last = lines[after - 1]
        yield _Block(start, last_start + len(last), kind)
        at = after


def _lines(markdown: str) -> list[tuple[int, str]]:
    lines, at = [], 0
    for line in markdown.split("\n"):
        lines.append((at, line))
        at += len(line) + 1
    return lines


def _after_fence(lines: list[tuple[int, str]], at: int, fence: str) -> int:
    for index in range(at + 1, len(lines)):
        line = lines[index][1].strip()
        if line.startswith(fence) and not line.strip(fence[0]):
            return index + 1
    return len(lines)


def _after(lines: list[tuple[int, str]], at: int, pattern: re.Pattern[str]) -> int:
    while at < len(lines) and pattern.match(lines[at][1]):
        at += 1
    return at


def _after_list(lines: list[tuple[int, str]], at: int) -> int:
    """A list goes on over blank lines as long as an item or an indented line follows."""
    end = at + 1
    for index in range(at + 1, len(lines)):
        line = lines[index][1]
        if not line.strip():
            continue
        belongs = _ITEM.match(line) or line.startswith((" ", "\t"))
        if not belongs and (index > end or _opens(line)):
            break
        end = index + 1
    return end


def _after_paragraph(lines: list[tuple[int, str]], at: int) -> int:
    end = at + 1
    while end < len(lines) and lines[end][1].strip() and not _opens(lines[end][1]):
        end += 1
    return end


def _opens(line: str) -> bool:
    return any(p.match(line) for p in (_HEADING, _FENCE, _TABLE, _ITEM))
