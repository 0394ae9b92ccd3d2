"""The frontier of crawls: addresses found, leased, read. Runs inside a write transaction.

Counts are always derived from the rows, so they cannot drift from what was done.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence

from serve_app.domain.errors import NotFound
from serve_app.domain.knowledge import StoredPage, WriteKey
from serve_app.domain.web import CrawlCounts, CrawlFailure, FetchOutcome, FrontierUrl
from serve_app.knowledge import pages
from serve_app.knowledge.rows import to_text
from serve_app.knowledge.writes import Write

log = logging.getLogger(__name__)

MAX_ADDRESSES = 50_000  # known to one crawl; what is found beyond is left out


def open_crawl(
    write: Write,
    crawl_id: str,
    key: WriteKey,
    seeds: Sequence[FrontierUrl],
) -> None:
    """Begin or go on: seeds not yet known are added, leases of earlier attempts go back to pending."""
    write.connection.execute(
        "INSERT INTO crawls (id, task_id, touched_at) VALUES (?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET touched_at = excluded.touched_at",
        (crawl_id, key.task_id, to_text(write.now)),
    )
    write.connection.execute(
        "UPDATE frontier SET state = 'pending', attempt = NULL "
        "WHERE crawl_id = ? AND state = 'leased' AND attempt < ?",
        (crawl_id, key.attempt),
    )
    _add(write, crawl_id, seeds)


def lease(write: Write, crawl_id: str, key: WriteKey, limit: int) -> list[FrontierUrl]:
    """Raises NotFound for a crawl that was not opened."""
    _require(write.connection, crawl_id)
    rows = write.connection.execute(
        "SELECT id, url, key, depth FROM frontier WHERE crawl_id = ? AND state = 'pending' "
        "ORDER BY depth, id LIMIT ?",
        (crawl_id, limit),
    ).fetchall()
    write.connection.executemany(
        "UPDATE frontier SET state = 'leased', attempt = ? WHERE id = ?",
        [(key.attempt, row["id"]) for row in rows],
    )
    return [FrontierUrl(row["url"], row["key"], row["depth"]) for row in rows]


def record(
    write: Write,
    crawl_id: str,
    key: WriteKey,
    outcomes: Sequence[FetchOutcome],
) -> tuple[list[StoredPage], list[CrawlFailure]]:
    """Settle the leases that this attempt holds; outcomes of other addresses are left out."""
    _require(write.connection, crawl_id)
    write.connection.execute(
        "UPDATE crawls SET touched_at = ? WHERE id = ?", (to_text(write.now), crawl_id)
    )
    stored: list[StoredPage] = []
    failures: list[CrawlFailure] = []
    for outcome in outcomes:
        row = write.connection.execute(
            "SELECT id FROM frontier WHERE crawl_id = ? AND key = ? AND state = 'leased' "
            "AND attempt = ?",
            (crawl_id, outcome.key, key.attempt),
        ).fetchone()
        if row is None:
            continue
        page_id = None
        if outcome.page:
            page = pages.store_page(write, outcome.page)
            stored.append(page)
            page_id = page.page_id
        elif outcome.not_modified:
            page_id = pages.mark_read(write, outcome.key)
        if outcome.gone:
            pages.mark_gone(write, outcome.key)
        pages.postpone(write, outcome.key)
        if outcome.failure:
            failures.append(outcome.failure)
        write.connection.execute(
            "UPDATE frontier SET state = ?, attempt = NULL, page_id = ?, reason = ? WHERE id = ?",
            (
                "failed" if outcome.failure else "done",
                page_id,
                outcome.failure.reason if outcome.failure else None,
                row["id"],
            ),
        )
        _add(write, crawl_id, outcome.found)
    return stored, failures


def counts(connection: sqlite3.Connection, crawl_id: str) -> CrawlCounts:
    """Raises NotFound."""
    _require(connection, crawl_id)
    row = connection.execute(
        "SELECT count(*) AS found, "
        "count(*) FILTER (WHERE f.state = 'pending') AS pending, "
        "count(*) FILTER (WHERE f.state = 'leased') AS leased, "
        "count(*) FILTER (WHERE f.state = 'done') AS fetched, "
        "count(DISTINCT f.page_id) AS stored, "
        "count(DISTINCT f.page_id) FILTER (WHERE p.embedded) AS embedded, "
        "count(*) FILTER (WHERE f.state = 'failed') AS failed "
        "FROM frontier f LEFT JOIN pages p ON p.id = f.page_id WHERE f.crawl_id = ?",
        (crawl_id,),
    ).fetchone()
    reasons = connection.execute(
        "SELECT reason, count(*) AS n FROM frontier WHERE crawl_id = ? AND state = 'failed' "
        "GROUP BY reason ORDER BY n DESC, reason",
        (crawl_id,),
    )
    return CrawlCounts(**dict(row), reasons={r["reason"]: r["n"] for r in reasons})


def _add(write: Write, crawl_id: str, found: Sequence[FrontierUrl]) -> None:
    if not found:
        return
    (known,) = write.connection.execute(
        "SELECT count(*) FROM frontier WHERE crawl_id = ?", (crawl_id,)
    ).fetchone()
    room = max(0, MAX_ADDRESSES - known)
    if len(found) > room:
        log.info("Crawl %s knows %d addresses; further ones are left out.", crawl_id, known)
    write.connection.executemany(
        "INSERT OR IGNORE INTO frontier (crawl_id, key, url, depth) VALUES (?, ?, ?, ?)",
        [(crawl_id, address.key, address.url, address.depth) for address in found[:room]],
    )


def _require(connection: sqlite3.Connection, crawl_id: str) -> None:
    if not connection.execute("SELECT 1 FROM crawls WHERE id = ?", (crawl_id,)).fetchone():
        raise NotFound(f"There is no crawl {crawl_id}.")
