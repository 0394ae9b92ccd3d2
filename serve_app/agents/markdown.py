"""Markdown around other people's words: quoted, linked and made harmless. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from serve_app.agents.grounding import Quote

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def blockquote(quotes: Iterable[Quote]) -> str:
    """The quotes, one blockquote each, with their numbers: `> text [1]`."""
    blocks = []
    for quote in quotes:
        # After code or a table row the number needs a line of its own, or it would belong to it.
        joint = "\n\n" if quote.text.endswith(("```", "~~~", "|")) else " "
        lines = f"{quote.text}{joint}[{quote.n}]".split("\n")
        blocks.append("\n".join(f"> {line}" if line else ">" for line in lines))
    return "\n\n".join(blocks)


def plain(text: str) -> str:
    """Text on one line in which nothing is markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def link(title: str, url: str) -> str:
    """A link where the address is one a browser should follow, else the title alone."""
    label = plain(title or url)
    if not url.startswith(("http://", "https://")):
        return label
    address = re.sub(r"[\s<>()]", lambda m: f"%{ord(m.group()):02X}", url)
    return f"[{label}]({address})"


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
