"""Reading pages: one, many, all. Runs on a reading connection."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from serve_app.domain.errors import BadRequest, NotFound
from serve_app.domain.knowledge import SYSTEM, Page, PageList, PageQuery, StalePage, Upload
from serve_app.knowledge.lookup import match_all, query_words
from serve_app.knowledge.rows import PAGE_COLUMNS, page, to_text, to_time

MAX_LIMIT = 500
_STATUSES = ("active", "duplicate", "gone")
_SORTS = {
    "fetched_at": "p.fetched_at",
    "title": "lower(p.title)",
    "url": "p.url",
    "quality": "coalesce(p.quality, -1.0)",
}


def get_page(connection: sqlite3.Connection, page_id: int, now: datetime) -> Page:
    """Raises NotFound."""
    row = connection.execute(
        f"SELECT p.markdown, {PAGE_COLUMNS} FROM pages p WHERE p.id = ?",  # noqa: S608
        (page_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"There is no page {page_id}.")
    return page(row, now, row["markdown"])


def find_page(connection: sqlite3.Connection, url: str, now: datetime) -> Page | None:
    row = connection.execute(
        "SELECT coalesce(duplicate_of, id) AS id FROM pages WHERE url = ?", (url,)
    ).fetchone()
    return get_page(connection, row["id"], now) if row else None


def list_pages(connection: sqlite3.Connection, query: PageQuery, now: datetime) -> PageList:
    """Raises BadRequest, with the field."""
    name = query.sort.removeprefix("-")
    if name not in _SORTS:
        raise BadRequest(f"Pages can be sorted by {', '.join(_SORTS)}.", field="sort")
    if not 1 <= query.limit <= MAX_LIMIT:
        raise BadRequest(f"limit lies between 1 and {MAX_LIMIT}.", field="limit")
    if query.status and query.status not in _STATUSES:
        raise BadRequest(f"A page is {', '.join(_STATUSES)}.", field="status")
    down = query.sort.startswith("-")
    where, arguments = _conditions(query)
    (total,) = connection.execute(
        f"SELECT count(*) FROM pages p WHERE {where}",  # noqa: S608
        arguments,
    ).fetchone()
    if query.cursor:
        where += f" AND ({_SORTS[name]}, p.id) {'<' if down else '>'} (?, ?)"
        arguments += _read_cursor(query.cursor, query.sort)
    order = "DESC" if down else "ASC"
    rows = connection.execute(
        f"SELECT {_SORTS[name]} AS sort_value, {PAGE_COLUMNS} FROM pages p "  # noqa: S608
        f"WHERE {where} ORDER BY sort_value {order}, p.id {order} LIMIT ?",
        [*arguments, query.limit + 1],
    ).fetchall()
    shown, more = rows[: query.limit], len(rows) > query.limit
    cursor = _cursor(query.sort, shown[-1]["sort_value"], shown[-1]["id"]) if more else None
    return PageList(tuple(page(row, now) for row in shown), cursor, total)


def _conditions(query: PageQuery) -> tuple[str, list[Any]]:
    where, arguments = "p.collection <> ?", [SYSTEM]
    if query.site:
        where += " AND p.site = ?"
        arguments.append(query.site.lower())
    if query.status:
        where += " AND p.status = ?"
        arguments.append(query.status)
    if query.q and query.q.strip():
        pattern = query.q.strip()
        for special in ("\\", "%", "_"):
            pattern = pattern.replace(special, "\\" + special)
        matches = ["p.title LIKE ? ESCAPE '\\'", "p.url LIKE ? ESCAPE '\\'"]
        arguments += [f"%{pattern}%"] * 2
        if words := query_words(query.q):
            matches.append(
                "p.id IN (SELECT c.page_id FROM chunk_words w JOIN chunks c ON c.id = w.rowid "
                "WHERE chunk_words MATCH ?)"
            )
            arguments.append(match_all(words))
        where += f" AND ({' OR '.join(matches)})"
    return where, arguments


def _cursor(sort: str, value: object, page_id: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, value, page_id]).encode()).decode()


def _read_cursor(cursor: str, sort: str) -> list[Any]:
    try:
        kept_sort, value, page_id = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequest("The cursor is not one that a listing gave.", field="cursor") from error
    if kept_sort != sort or not isinstance(value, str | float) or not _is_id(page_id):
        raise BadRequest("The cursor belongs to another listing.", field="cursor")
    return [value, page_id]


def _is_id(value: object) -> bool:
    return isinstance(value, int) and abs(value) < 2**63  # SQLite holds no longer ones


def stale_pages(connection: sqlite3.Connection, limit: int, now: datetime) -> list[StalePage]:
    """Pages that are due to be read again, longest due first."""
    rows = connection.execute(
        "SELECT id, url, fetched_at, etag, last_modified FROM pages "
        "WHERE next_visit <= ? AND status <> 'gone' ORDER BY next_visit, id LIMIT ?",
        (to_text(now), limit),
    )
    return [
        StalePage(r["id"], r["url"], to_time(r["fetched_at"]), r["etag"], r["last_modified"])
        for r in rows
    ]


def export_batch(connection: sqlite3.Connection, after: int, limit: int) -> list[Mapping[str, Any]]:
    """Pages of the main collections with an id above `after`, as JSON objects."""
    rows = connection.execute(
        "SELECT id, url, fetched_url, title, markdown AS clean_markdown, language, author, "
        "published_at, fetched_at, etag, last_modified, source, collection, status, duplicate_of, "
        "content_hash FROM pages WHERE id > ? AND collection <> ? ORDER BY id LIMIT ?",
        (after, SYSTEM, limit),
    )
    return [dict(row) for row in rows]


def get_upload(connection: sqlite3.Connection, upload_id: str) -> Upload:
    """Raises NotFound."""
    row = connection.execute(
        "SELECT id, filename, media_type, data FROM uploads WHERE id = ?", (upload_id,)
    ).fetchone()
    if row is None:
        raise NotFound(f"There is no upload {upload_id}.")
    return Upload(**dict(row))
