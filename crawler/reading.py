"""What reading a document yields, and its JSON form between processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from serve_app.domain.knowledge import Link


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to read. `kind`: `html`, `text`, `pdf` or `docx`; `name` is a file's name, for a title."""

    kind: str
    body: bytes
    url: str = ""
    charset: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A document read: its markdown, what it says of itself, and its links (absolute, no fragments)."""

    title: str
    markdown: str
    language: str | None = None
    author: str | None = None
    published_at: datetime | None = None
    canonical: str | None = None
    noindex: bool = False
    nofollow: bool = False
    links: tuple[Link, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        data = asdict(self)
        data["published_at"] = self.published_at.isoformat() if self.published_at else None
        data["links"] = [[link.url, link.text] for link in self.links]
        return data

    @classmethod
    def from_wire(cls, data: dict[str, Any]) -> Reading:
        links = tuple(Link(url, text) for url, text in data["links"])
        return cls(**{**data, "published_at": as_time(data["published_at"]), "links": links})


def as_time(text: str | None) -> datetime | None:
    """An ISO 8601 time or date as aware UTC; None for anything else."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text.strip())
        aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
