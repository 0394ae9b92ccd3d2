"""One pass over a page's tree for all but its text: title, author, dates, robots words and links."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from selectolax.lexbor import LexborHTMLParser

from crawler.reading import as_time
from crawler.urls import MAX_LENGTH, absolute
from serve_app.domain.knowledge import Link

MAX_LINKS = 1000
MAX_TITLE = 300
MAX_LINK_TEXT = 200
_DATES = (
    "article:published_time",
    "datepublished",
    "date",
    "dc.date",
    "dcterms.created",
    "pubdate",
)
_AUTHORS = ("author", "article:author", "dc.creator")


@dataclass(frozen=True, slots=True)
class Head:
    """What a page says of itself; `links` are absolute, without fragments, each address once."""

    title: str
    language: str | None
    author: str | None
    published_at: datetime | None
    canonical: str | None
    noindex: bool
    nofollow: bool
    links: tuple[Link, ...]


def parse(tree: LexborHTMLParser, url: str) -> Head:
    """Read the tree of the page at `url`."""
    metas = _metas(tree)
    robots = {word.strip() for word in metas.get("robots", "").lower().split(",")}
    base = _attribute(tree, "base[href]", "href")
    base = (absolute(url, base) if base else None) or url
    canonical = _attribute(tree, "link[rel=canonical][href]", "href")
    return Head(
        title=_title(tree, metas),
        language=_language(tree, metas),
        author=_first(metas, _AUTHORS),
        published_at=_published(tree, metas),
        canonical=absolute(base, canonical) if canonical else None,
        noindex=bool(robots & {"noindex", "none"}),
        nofollow=bool(robots & {"nofollow", "none"}),
        links=_links(tree, base),
    )


def _metas(tree: LexborHTMLParser) -> dict[str, str]:
    metas: dict[str, str] = {}
    for node in tree.css("meta[content]"):
        values = node.attributes
        name = values.get("name") or values.get("property") or values.get("itemprop")
        name = name or values.get("http-equiv")
        content = values.get("content")
        if name and content:
            metas.setdefault(name.lower(), content.strip())
    return metas


def _title(tree: LexborHTMLParser, metas: dict[str, str]) -> str:
    node = tree.css_first("title")
    heading = tree.css_first("h1")
    texts = (
        metas.get("og:title", ""),
        node.text() if node else "",
        heading.text(separator=" ") if heading else "",
    )
    return next((words for text in texts if (words := _one_line(text))), "")[:MAX_TITLE]


def _language(tree: LexborHTMLParser, metas: dict[str, str]) -> str | None:
    said = _attribute(tree, "html[lang]", "lang") or metas.get("content-language") or ""
    code = said.strip().split(",")[0].replace("_", "-").split("-")[0].lower()
    return code if code.isascii() and code.isalpha() and 2 <= len(code) <= 3 else None


def _published(tree: LexborHTMLParser, metas: dict[str, str]) -> datetime | None:
    in_meta = as_time(_first(metas, _DATES))
    return in_meta or as_time(_attribute(tree, "time[pubdate], article time[datetime]", "datetime"))


def _links(tree: LexborHTMLParser, base: str) -> tuple[Link, ...]:
    links: dict[str, str] = {}
    for node in tree.css("a[href]"):
        values = node.attributes
        if "nofollow" in (values.get("rel") or "").lower().split():
            continue
        url = absolute(base, values.get("href") or "")
        if url is None or len(url) > MAX_LENGTH:
            continue
        text = _one_line(node.text(separator=" "))[:MAX_LINK_TEXT]
        if text or url not in links:
            links[url] = links.get(url) or text
        if len(links) >= MAX_LINKS:
            break
    return tuple(Link(url, text) for url, text in links.items())


def _attribute(tree: LexborHTMLParser, selector: str, name: str) -> str | None:
    node = tree.css_first(selector)
    return node.attributes.get(name) if node else None


def _first(metas: dict[str, str], names: tuple[str, ...]) -> str | None:
    value = next((metas[name] for name in names if metas.get(name)), None)
    return _one_line(value)[:MAX_TITLE] if value else None


def _one_line(text: str) -> str:
    return " ".join(text.split())
