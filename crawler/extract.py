"""A page's HTML to markdown: trafilatura finds the main text; where it misses most, the tree's text stands in.

Figures behind the choice (F1 by corpus, cost a page) are for `benchmarks/extraction.py` to print.
Runs in the killable processes of `pool.py` only: no bound here holds against every page.
"""

from __future__ import annotations

import re

import trafilatura
from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler.decode import decode
from crawler.parse import parse
from crawler.reading import Reading, Source
from serve_app.domain.errors import FetchError

MAX_DEPTH = 2000
MAX_MARKDOWN = 2_000_000
# Of the tree's words. Above that, on 688 real pages of all kinds, more menus than text would come in.
MIN_SHARE = 0.2
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)(?:[^<>]*(/)>)?")
# Elements that need no end tag: they would count as ever deeper nesting where they are siblings.
_NO_END_TAG = (
    "p li dt dd tr td th thead tbody tfoot option optgroup colgroup rp rt html head body "
    "area base br col embed hr img input link meta param source track wbr"
)
_OPEN_ENDED = frozenset(_NO_END_TAG.split())
_DRAWINGS = frozenset(("svg", "math"))
_CLUTTER = "script, style, noscript, template, svg, nav, header, footer, aside, form, iframe"
_BLOCKS = frozenset(
    ("p", "div", "section", "article", "li", "tr", "br", "ul", "ol", "table", "dt", "dd")
)
_SEPARATOR = re.compile(r"^\|(\s*:?-+:?\s*\|)+\s*$")
_ESCAPED_IN_WORD = re.compile(r"(?<=\w)\\_(?=\w)")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])(?:\s|$)")
_BARE_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])$")
_BLANKS = re.compile(r"\n{3,}")


def read_html(source: Source) -> Reading:
    """Read a page. Raises FetchError (`too_deep`) for a tree that is nested beyond any use."""
    html = decode(source.body, source.charset)
    if depth(html) > MAX_DEPTH:
        raise FetchError("The page is nested too deeply to be read.", reason="too_deep")
    tree = LexborHTMLParser(html)
    head = parse(tree, source.url)
    markdown = _fuller(_main_text(html, source.url), tree_text(tree))
    return Reading(
        title=head.title or _name_of(source),
        markdown=tidy(markdown, from_html=True)[:MAX_MARKDOWN],
        language=head.language,
        author=head.author,
        published_at=head.published_at,
        canonical=head.canonical,
        noindex=head.noindex,
        nofollow=head.nofollow,
        links=head.links,
    )


def depth(html: str) -> int:
    """How deeply elements nest, roughly and in linear time: parsing is quadratic in it."""
    now = deepest = drawings = 0
    for end, tag, closed in _TAG.findall(html):
        name = tag.lower()
        if name in _DRAWINGS:
            drawings = max(0, drawings - 1) if end else drawings + 1
        # HTML ignores the slash of <div/>; drawings and formulas heed theirs.
        if name in _OPEN_ENDED or (closed and drawings):
            continue
        now = max(0, now - 1) if end else now + 1
        deepest = max(deepest, now)
    return deepest


def _main_text(html: str, url: str) -> str:
    # Metadata comes from the tree, for a third of what trafilatura takes to find it.
    text = trafilatura.extract(
        html,
        url=url or None,
        fast=True,
        output_format="markdown",
        include_comments=False,
        include_tables=True,
        include_formatting=True,
        include_links=False,
        include_images=False,
        with_metadata=False,
    )
    return text or ""


def _fuller(main: str, everything: str) -> str:
    """The main text, unless so little was found that it can be only a part: a first post, a teaser."""
    return main if len(main.split()) > MIN_SHARE * len(everything.split()) else everything


def tree_text(tree: LexborHTMLParser) -> str:
    """The text of main, article or body as plain markdown: headings, list items and paragraphs."""
    root = tree.css_first("main") or tree.css_first("article") or tree.body
    if root is None:
        return ""
    for node in root.css(_CLUTTER):
        node.decompose()
    return "".join(_pieces(root)).strip()


def _pieces(root: LexborNode) -> list[str]:
    pieces: list[str] = []
    for node in root.traverse(include_text=True):
        tag = node.tag or ""
        if tag == "-text":
            words = node.text(deep=False)
            pieces.append(re.sub(r"\s+", " ", words))
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            pieces.append("\n\n" + "#" * int(tag[1]) + " ")
        elif tag == "li":
            pieces.append("\n- ")
        elif tag in _BLOCKS:
            pieces.append("\n\n")
    return pieces


def tidy(markdown: str, *, from_html: bool = False) -> str:
    """Valid tables, code set apart, no escapes inside words, at most one empty line in a row.

    In running text made `from_html`, indentation is the source's and goes.
    """
    lines: list[str] = []
    in_code = after_code = False
    for line in markdown.replace("\r\n", "\n").replace("\x00", "").split("\n"):
        if after_code and line.strip():
            lines.append("")
        after_code = in_code and line.strip() == "```"
        if in_code or line.lstrip().startswith("```"):
            in_code ^= line.lstrip().startswith("```")
            lines.append(line.rstrip())
            continue
        if _is_row(line) and lines and lines[-1].strip() and not _is_row(lines[-1]):
            lines.append("")
        if _ends_first_row(lines, line):
            lines.append("|" + "---|" * (lines[-1].replace(r"\|", "").count("|") - 1))
        line = _ESCAPED_IN_WORD.sub("_", line.rstrip())
        if from_html:
            _flow(lines, line)
        else:
            lines.append(line)
    return _BLANKS.sub("\n\n", "\n".join(lines)).strip()


def _flow(lines: list[str], line: str) -> None:
    """Add a line without its indentation if it goes on with the one before it."""
    if not lines or not lines[-1] or not line or _ITEM.match(line):
        lines.append(line)
    elif _BARE_ITEM.match(lines[-1]):
        lines[-1] += f" {line.lstrip()}"
    else:
        lines.append(line.lstrip())


def _is_row(line: str) -> bool:
    return line.startswith("|") and line.rstrip().endswith("|") and len(line.rstrip()) > 1


def _ends_first_row(lines: list[str], line: str) -> bool:
    """Whether the last of `lines` is a table's first row and `line` is not its separator."""
    if not lines or not _is_row(lines[-1]) or _SEPARATOR.match(lines[-1]):
        return False
    if len(lines) > 1 and _is_row(lines[-2]):
        return False
    return not _SEPARATOR.match(line)


def _name_of(source: Source) -> str:
    """The last words of the address, for a page without a title."""
    return source.name or source.url.rstrip("/").rsplit("/", 1)[-1] or source.url
