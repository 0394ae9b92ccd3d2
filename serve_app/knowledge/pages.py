"""Writing pages: what becomes of a draft, its chunks and its duplicates. Runs inside a write transaction."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from serve_app.domain.errors import NotFound
from serve_app.domain.knowledge import PageDraft, StoredPage
from serve_app.knowledge import freshness
from serve_app.knowledge.chunking import chunk, embedded_text
from serve_app.knowledge.rows import optional_text, to_text, to_time
from serve_app.knowledge.text import content_hash, digest, site_of, storable
from serve_app.knowledge.writes import Write

MAX_LINKS = 1000  # kept of one page
_TRY_AGAIN = timedelta(days=3)
_REVISITED = ("crawl", "import")  # sources that can be read again


def store_page(write: Write, draft: PageDraft) -> StoredPage:
    """Add the page, or update the one with this URL."""
    facts = _facts(draft)
    old = write.connection.execute("SELECT * FROM pages WHERE url = ?", (facts["url"],)).fetchone()
    fetched_at = min(draft.fetched_at or write.now, write.now)  # an import may claim any time
    page_id = _write_facts(write, facts, fetched_at, old)
    same = old and (old["title"], old["markdown"]) == (facts["title"], facts["markdown"])
    if same and old["status"] != "gone":
        return _stored(write, page_id, "unchanged")
    write.connection.execute(
        "UPDATE pages SET quality = NULL, quality_facts = NULL WHERE id = ?", (page_id,)
    )
    _write_links(write, page_id, draft)
    kept = _same_content(write, page_id, facts)
    if old and (old["content_hash"] != facts["content_hash"] or kept is not None):
        release_duplicates(write, page_id)
    if kept is None:
        _activate(write, page_id)
    else:
        _set_aside(write, page_id, "duplicate", duplicate_of=kept)
    change = "duplicate" if kept is not None else "changed" if old else "added"
    return _stored(write, page_id, change)


def mark_read(write: Write, url: str) -> int | None:
    """The page was visited and had not changed. Answers its id, None when it is not held."""
    row = write.connection.execute("SELECT * FROM pages WHERE url = ?", (url,)).fetchone()
    if row is None:
        return None
    _write_visit(write, row, write.now, changed=False)
    return int(row["id"])


def mark_gone(write: Write, url: str) -> None:
    """The source no longer has the page: it can be read here still, and is no longer found."""
    row = write.connection.execute("SELECT id FROM pages WHERE url = ?", (url,)).fetchone()
    if row:
        release_duplicates(write, row["id"])
        _set_aside(write, row["id"], "gone")
        write.connection.execute("UPDATE pages SET next_visit = NULL WHERE id = ?", (row["id"],))


def postpone(write: Write, url: str) -> None:
    """A due page was not to be had at its address: others have their turn first."""
    now = write.now
    write.connection.execute(
        "UPDATE pages SET next_visit = ? WHERE url = ? AND next_visit <= ?",
        (to_text(now + _TRY_AGAIN), url, to_text(now)),
    )


def delete_page(write: Write, page_id: int) -> None:
    """Raises NotFound."""
    release_duplicates(write, page_id)
    _remove_chunks(write, page_id)
    if not write.connection.execute("DELETE FROM pages WHERE id = ?", (page_id,)).rowcount:
        raise NotFound(f"There is no page {page_id}.")


def release_duplicates(write: Write, page_id: int) -> None:
    """The first duplicate of a page that no longer speaks for them takes its place."""
    ids = [
        row["id"]
        for row in write.connection.execute(
            "SELECT id FROM pages WHERE duplicate_of = ? ORDER BY id", (page_id,)
        )
    ]
    if ids:
        _activate(write, ids[0])
        write.connection.executemany(
            "UPDATE pages SET duplicate_of = ? WHERE id = ?", [(ids[0], i) for i in ids[1:]]
        )


def _facts(draft: PageDraft) -> dict[str, Any]:
    """The columns of a page that its draft decides."""
    markdown = storable(draft.markdown)
    facts: dict[str, Any] = {
        "url": draft.url,
        "fetched_url": draft.fetched_url,
        "site": site_of(draft.url),
        "title": draft.title.strip() or draft.url,
        "markdown": markdown,
        "content_hash": content_hash(markdown),
        "words": len(markdown.split()),
        "language": draft.language,
        "author": draft.author,
        "published_at": optional_text(draft.published_at),
        "etag": draft.etag,
        "last_modified": draft.last_modified,
        "source": draft.source,
        "collection": draft.collection,
    }
    return {name: storable(v) if isinstance(v, str) else v for name, v in facts.items()}


def _write_facts(write: Write, facts: dict[str, Any], at: datetime, old: sqlite3.Row | None) -> int:
    if old is None:
        facts = facts | {"status": "active", "added_at": to_text(at), "fetched_at": to_text(at)}
        names, marks = ", ".join(facts), ", ".join(f":{name}" for name in facts)
        statement = f"INSERT INTO pages ({names}) VALUES ({marks}) RETURNING *"  # noqa: S608
        row = write.connection.execute(statement, facts).fetchone()
        _schedule(write, row)
    else:
        sets = ", ".join(f"{name} = :{name}" for name in facts)
        statement = f"UPDATE pages SET {sets} WHERE id = :id RETURNING *"  # noqa: S608
        row = write.connection.execute(statement, facts | {"id": old["id"]}).fetchone()
        _write_visit(write, row, at, changed=old["markdown"] != facts["markdown"])
    return int(row["id"])


def _write_visit(write: Write, row: sqlite3.Row, at: datetime, *, changed: bool) -> None:
    row = write.connection.execute(
        "UPDATE pages SET fetched_at = ?, visits = visits + 1, changes = changes + ? "
        "WHERE id = ? RETURNING *",
        (to_text(at), changed, row["id"]),
    ).fetchone()
    _schedule(write, row)


def _schedule(write: Write, row: sqlite3.Row) -> None:
    due = None
    if row["source"] in _REVISITED and row["url"].startswith(("http://", "https://")):
        due = freshness.next_visit(
            freshness.History(
                to_time(row["added_at"]), to_time(row["fetched_at"]), row["visits"], row["changes"]
            )
        )
    write.connection.execute(
        "UPDATE pages SET next_visit = ? WHERE id = ?", (optional_text(due), row["id"])
    )


def _write_links(write: Write, page_id: int, draft: PageDraft) -> None:
    write.connection.execute("DELETE FROM links WHERE page_id = ?", (page_id,))
    write.connection.executemany(
        "INSERT OR IGNORE INTO links (page_id, url, text) VALUES (?, ?, ?)",
        [(page_id, storable(k.url), storable(k.text)[:300]) for k in draft.links[:MAX_LINKS]],
    )


def _same_content(write: Write, page_id: int, facts: dict[str, Any]) -> int | None:
    """The page that already holds this text. Pages without text are not duplicates of each other."""
    if not facts["words"]:
        return None
    row = write.connection.execute(
        "SELECT id FROM pages WHERE content_hash = ? AND collection = ? AND id <> ? "
        "AND status = 'active' ORDER BY id LIMIT 1",
        (facts["content_hash"], facts["collection"], page_id),
    ).fetchone()
    return row["id"] if row else None


def _activate(write: Write, page_id: int) -> None:
    """Make the page one that is found: chunk it, keeping the chunks (and vectors) that stay the same."""
    row = write.connection.execute(
        "SELECT title, markdown FROM pages WHERE id = ?", (page_id,)
    ).fetchone()
    title = row["title"]
    held: dict[str, list[int]] = defaultdict(list)
    for old in write.connection.execute(
        "SELECT id, text_hash FROM chunks WHERE page_id = ? ORDER BY ordinal DESC", (page_id,)
    ):
        held[old["text_hash"]].append(old["id"])
    for ordinal, piece in enumerate(chunk(row["markdown"])):
        text_hash = digest(embedded_text(title, piece.heading, piece.text))
        place = (ordinal, piece.start, piece.end)
        if same := held[text_hash]:
            write.connection.execute(
                "UPDATE chunks SET ordinal = ?, start_char = ?, end_char = ? WHERE id = ?",
                (*place, same.pop()),
            )
        else:
            write.connection.execute(
                "INSERT INTO chunks (page_id, ordinal, start_char, end_char, title, heading, body, "
                "text_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (page_id, *place, title, piece.heading, piece.text, text_hash),
            )
    _remove(write, [chunk_id for ids in held.values() for chunk_id in ids])
    write.connection.execute(
        "UPDATE pages SET status = 'active', duplicate_of = NULL, embedded = NOT EXISTS ("
        "SELECT 1 FROM chunks c LEFT JOIN vectors v ON v.chunk_id = c.id "
        "WHERE c.page_id = pages.id AND v.chunk_id IS NULL) WHERE id = ?",
        (page_id,),
    )


def _set_aside(write: Write, page_id: int, status: str, duplicate_of: int | None = None) -> None:
    _remove_chunks(write, page_id)
    write.connection.execute(
        "UPDATE pages SET status = ?, duplicate_of = ?, embedded = 1 WHERE id = ?",
        (status, duplicate_of, page_id),
    )


def _remove_chunks(write: Write, page_id: int) -> None:
    rows = write.connection.execute("SELECT id FROM chunks WHERE page_id = ?", (page_id,))
    _remove(write, [row["id"] for row in rows])


def _remove(write: Write, ids: list[int]) -> None:
    write.connection.executemany("DELETE FROM chunks WHERE id = ?", [(i,) for i in ids])
    write.removed.extend(ids)


def _stored(write: Write, page_id: int, change: str) -> StoredPage:
    row = write.connection.execute(
        "SELECT url, title, duplicate_of, "
        "(SELECT count(*) FROM chunks WHERE page_id = pages.id) AS chunks FROM pages WHERE id = ?",
        (page_id,),
    ).fetchone()
    return StoredPage(page_id, row["url"], row["title"], change, row["chunks"], row["duplicate_of"])
