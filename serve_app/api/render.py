"""Markdown to HTML that is safe to put into a page.

Two walls: the parser passes no HTML through, and what it makes is cleaned against a short list of tags.
Images are shown as their words, since a picture's address would be fetched from elsewhere by the reader's browser.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

MAX_CHARS = 100_000  # longer texts are shown as they are, without markup

_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote"),
    *("strong", "em", "s", "code", "pre", "a", "table", "thead", "tbody", "tr", "th", "td"),
}
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes={"a": {"href", "title"}, "ol": {"start"}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
)


def _image_words(
    self: RendererProtocol, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    return html.escape(tokens[index].content)


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_MARKDOWN.add_render_rule("image", _image_words)


@lru_cache(maxsize=64)
def safe_html(markdown: str) -> str:
    """A fragment of HTML. Links go to http, https and mailto only and open apart from the page."""
    if len(markdown) > MAX_CHARS:
        return _CLEANER.clean(f"<pre>{html.escape(markdown)}</pre>")
    return _CLEANER.clean(_MARKDOWN.render(markdown))
