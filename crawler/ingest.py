"""What a person gave, a list or a file, as pages to store and addresses to read. Pure but for `read_file`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from crawler.fetch import DOCX_TYPE, HTML_TYPES, TEXT_TYPES
from crawler.pool import ReadingPool
from crawler.reading import Reading, Source, as_time
from crawler.urls import known_key, normalise
from serve_app.domain.errors import BadRequest, FetchError
from serve_app.domain.knowledge import Link, PageDraft, Upload
from serve_app.domain.web import CrawlFailure

ITEMS_TYPE = "application/x-omeruta-items+json"
MAX_ITEMS = 500
MAX_TITLE = 300
_KINDS = {
    **dict.fromkeys(HTML_TYPES, "html"),
    **dict.fromkeys(TEXT_TYPES, "text"),
    "application/pdf": "pdf",
    DOCX_TYPE: "docx",
}


@dataclass(frozen=True, slots=True)
class Items:
    """The parts of a list: addresses to read, texts to store, and what is neither."""

    urls: tuple[str, ...]
    drafts: tuple[PageDraft, ...]
    failures: tuple[CrawlFailure, ...]


def read_items(upload: Upload) -> Items:
    """The items of a list: `{url}`, or `{title, text}` with `url`, `language`, `author`, times and more at will.

    Raises BadRequest when the whole is no list of at most MAX_ITEMS objects; a bad item is a failure of its own.
    """
    try:
        items = json.loads(upload.data)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The list of pages is no JSON.", field="items") from error
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        raise BadRequest(f"Give a list of at most {MAX_ITEMS} pages.", field="items")
    urls: dict[str, None] = {}
    drafts: list[PageDraft] = []
    failures: list[CrawlFailure] = []
    for number, item in enumerate(items, 1):
        try:
            if _text(item, "text"):
                drafts.append(_draft_of(item))
            else:
                urls[_web_address(item)] = None
        except ValueError as error:
            named = str(item.get("url", "")) if isinstance(item, Mapping) else ""
            shown = named[:300] or f"item {number}"
            failures.append(CrawlFailure(shown, "bad_item", f"Item {number}: {error}"))
    return Items(tuple(urls), tuple(drafts), tuple(failures))


def _web_address(item: Any) -> str:
    url = _text(item, "url")
    if url is None:
        raise ValueError("it has neither a url nor a text.")
    normalise(url)
    return url


def _draft_of(item: Any) -> PageDraft:
    text, title = _text(item, "text") or "", _text(item, "title") or ""
    url = _text(item, "url")
    return PageDraft(
        url=_key_of(url, text),
        fetched_url=url or "",
        title=title[:MAX_TITLE] or text.strip().split("\n", 1)[0].strip("# ")[:120],
        markdown=text,
        language=_text(item, "language"),
        author=_text(item, "author"),
        published_at=as_time(_text(item, "published_at")),
        fetched_at=as_time(_text(item, "fetched_at")),
        etag=_text(item, "etag"),
        last_modified=_text(item, "last_modified"),
        source="import" if _text(item, "source") == "import" else "text",
    )


def _key_of(url: str | None, text: str) -> str:
    """A text without an address is known by its content: given twice, it is one page."""
    if url is None:
        return f"urn:omeruta:text:{_digest(text.encode())}"
    # An export names pages that never had a web address by the names given here.
    return url if url.startswith("urn:omeruta:") else normalise(url)


def _text(item: Any, name: str) -> str | None:
    if not isinstance(item, Mapping):
        raise ValueError("it is no JSON object.")
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is no text.")
    return value.strip() or None if value else None


async def read_file(upload: Upload, pool: ReadingPool) -> PageDraft:
    """A file as a page. Raises BadRequest for one that is not, or can not be, read."""
    kind = _KINDS.get(upload.media_type.split(";", 1)[0].strip().lower())
    if kind is None:
        message = "Files of this kind are not read. HTML, markdown, text, PDF and docx are."
        raise BadRequest(message, field="file")
    source = Source(kind, upload.data, name=upload.filename)
    try:
        reading = await pool.read(source)
    except FetchError as error:
        raise BadRequest(f"{upload.filename}: {error}", field="file") from error
    if not reading.markdown:
        raise BadRequest(f"{upload.filename} holds no text.", field="file")
    return _file_draft(upload, reading)


def _file_draft(upload: Upload, reading: Reading) -> PageDraft:
    name = quote(upload.filename[:200], safe="")
    return PageDraft(
        url=f"urn:omeruta:file:{_digest(upload.data)}:{name}",
        fetched_url="",
        title=reading.title or upload.filename,
        markdown=reading.markdown,
        language=reading.language,
        author=reading.author,
        published_at=reading.published_at,
        links=_web_links(reading.links),
        source="file",
    )


def _web_links(links: Sequence[Link]) -> tuple[Link, ...]:
    keys = {key: link.text for link in links if (key := known_key(link.url))}
    return tuple(Link(url, text) for url, text in keys.items())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:20]
