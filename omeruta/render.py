"""An answer as text, markdown and HTML. What a page or a model wrote is shown, never run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Protocol


class Cited(Protocol):
    """What is needed of a source here."""

    @property
    def n(self) -> int: ...
    @property
    def title(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def quote(self) -> str: ...


def answer_text(text: str, sources: Sequence[Cited] = ()) -> str:
    """The answer, a blank line, and one line per source."""
    if not sources:
        return text
    lines = "\n".join(f"[{s.n}] {s.title or s.url}  {s.url}".rstrip() for s in sources)
    return f"{text}\n\n{lines}"


def answer_markdown(text: str, sources: Sequence[Cited] = ()) -> str:
    """The answer's own markdown with raw HTML disarmed, then the numbered sources."""
    parts = [_disarmed(text)]
    for source in sources:
        part = f"**[{source.n}]** {_markdown_link(source)}"
        if not quoted_in(text, source):
            lines = _disarmed(source.quote).splitlines()
            part += "\n\n" + "\n".join(f"> {line}" for line in lines)
        parts.append(part)
    return "\n\n".join(parts)


def answer_html(text: str, sources: Sequence[Cited] = (), html: str | None = None) -> str:
    """`html` (or the escaped text as paragraphs), then the numbered sources."""
    body = html if html is not None else _paragraphs(text)
    if not sources:
        return body
    items = []
    for source in sources:
        quote = f"<blockquote>{_lines(source.quote)}</blockquote>"
        shown = "" if quoted_in(text, source) else quote
        items.append(f'<li value="{source.n}">{_html_link(source)}{shown}</li>')
    return f"{body}<ol>{''.join(items)}</ol>"


def quoted_in(text: str, source: Cited) -> bool:
    """Whether the text brings the source's quote itself (most do), so that it need not stand there twice."""
    return _bare(source.quote) in _bare(text)


def _bare(text: str) -> str:
    return " ".join(text.replace("\n>", "\n").split())


def _disarmed(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def _markdown_link(source: Cited) -> str:
    title = _disarmed(source.title or source.url)
    for mark in "\\[]":
        title = title.replace(mark, f"\\{mark}")
    url = source.url.replace("<", "%3C").replace(">", "%3E").replace("\n", "")
    return f"[{title}](<{url}>)" if _web(url) else title


def _html_link(source: Cited) -> str:
    title = escape(source.title or source.url)
    if not _web(source.url):
        return title
    return f'<a href="{escape(source.url)}" rel="noopener noreferrer">{title}</a>'


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_lines(part)}</p>" for part in text.split("\n\n") if part.strip())


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
