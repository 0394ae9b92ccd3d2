"""Bytes to text: byte order mark, then the header, then what the page says of itself, then UTF-8."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE
)
_HEAD = 4096
# Browsers read these as windows-1252 (WHATWG Encoding), and pages are written to what browsers do.
_AS_1252 = frozenset(("ascii", "iso8859-1"))


def decode(body: bytes, charset: str | None = None) -> str:
    """Never fails: what no encoding fits is read as windows-1252, and bad bytes become U+FFFD."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    for name in (charset, _declared(body)):
        codec = _codec(name)
        if codec is not None:
            return body.decode(codec, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


def _declared(body: bytes) -> str | None:
    found = _META.search(body[:_HEAD])
    return found.group(1).decode("ascii") if found else None


def _codec(name: str | None) -> str | None:
    if not name:
        return None
    try:
        info = codecs.lookup(name)
        "".encode(info.name)  # refuses codecs that do not make text
    except (LookupError, ValueError):
        return None
    return "cp1252" if info.name in _AS_1252 else info.name
