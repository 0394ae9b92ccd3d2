"""Rows of the store <-> the domain's values."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from serve_app.domain.errors import BadRequest
from serve_app.domain.knowledge import Freshness, Page, Quality
from serve_app.knowledge import freshness


def to_text(moment: datetime) -> str:
    """ISO 8601 in UTC, always with microseconds: text order is time order. Needs an aware datetime."""
    if moment.tzinfo is None:
        raise BadRequest(f"The time {moment.isoformat()} does not say its zone.")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def to_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def optional_text(moment: datetime | None) -> str | None:
    return to_text(moment) if moment else None


def optional_time(text: str | None) -> datetime | None:
    return to_time(text) if text else None


PAGE_COLUMNS = """
    p.id, p.url, p.title, p.language, p.status, p.content_hash, p.fetched_at, p.source, p.collection,
    p.site, p.words, p.embedded, p.author, p.published_at, p.etag, p.last_modified, p.duplicate_of,
    p.quality, p.quality_facts, p.added_at, p.visits, p.changes, p.next_visit,
    (SELECT count(*) FROM chunks c WHERE c.page_id = p.id) AS chunks
"""


def page(row: sqlite3.Row, now: datetime, markdown: str = "") -> Page:
    """A row of PAGE_COLUMNS as a page; the markdown is read apart, listings leave it out."""
    return Page(
        id=row["id"],
        url=row["url"],
        title=row["title"],
        clean_markdown=markdown,
        language=row["language"],
        status=row["status"],
        content_hash=row["content_hash"],
        fetched_at=to_time(row["fetched_at"]),
        source=row["source"],
        collection=row["collection"],
        site=row["site"],
        words=row["words"],
        chunks=row["chunks"],
        is_processed_for_embeddings=bool(row["embedded"]),
        author=row["author"],
        published_at=optional_time(row["published_at"]),
        etag=row["etag"],
        last_modified=row["last_modified"],
        duplicate_of=row["duplicate_of"],
        quality=_quality(row),
        freshness=Freshness(freshness_score(row, now), optional_time(row["next_visit"])),
    )


def _quality(row: sqlite3.Row) -> Quality | None:
    if row["quality"] is None:
        return None
    facts = json.loads(row["quality_facts"])
    return Quality(row["quality"], facts["parts"], tuple(facts["reasons"]))


def freshness_score(row: sqlite3.Row | Mapping[str, Any], now: datetime) -> float:
    """Of a row with added_at, fetched_at, visits and changes."""
    history = freshness.History(
        added_at=to_time(row["added_at"]),
        fetched_at=to_time(row["fetched_at"]),
        visits=row["visits"],
        changes=row["changes"],
    )
    return freshness.score(history, now)
