"""Any sequence of store, delete, embed and reopen leaves pages, chunks, words, vectors and index equal."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.domain.clock import FakeClock
from serve_app.domain.errors import NotFound
from serve_app.domain.knowledge import PageDraft, SearchQuery, WriteKey
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase
from serve_app.knowledge.chunking import chunk

TEXTS = [
    "",
    "Tea.",
    "# A\n\nTea is hot.\n\n# B\n\nRay is fast.",
    "# A\n\nTea is hot.\n\n# C\n\nMore.",
    "# B\n\nRay is fast.",
]
STORE = st.tuples(st.just("store"), st.integers(0, 4), st.sampled_from(TEXTS))
OTHER = st.tuples(
    st.sampled_from(["delete", "embed", "reopen", "crash"]), st.integers(0, 8), st.just("")
)


@given(st.lists(st.one_of(STORE, STORE, OTHER), max_size=10))
@settings(max_examples=12, deadline=None)
def test_any_sequence_leaves_everything_equal(actions: list[tuple[str, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(Path(folder), actions))


async def _play(folder: Path, actions: list[tuple[str, int, str]]) -> None:
    base = KnowledgeBase(folder, HashEmbedder(), FakeClock())
    await base.open()
    try:
        for step, (action, number, text) in enumerate(actions):
            if action == "store":
                url = f"https://a.example/{number}"
                page = PageDraft(url, url, f"Title {number % 2}", text)
                await base.store_pages(WriteKey("t", 1, f"{step}"), [page])
            elif action == "delete":
                try:
                    await base.delete_page(number + 1)
                except NotFound:
                    continue
            elif action == "embed":
                await base.embed_pending(number + 1)
            else:
                if action == "crash":
                    base._store.vectors.save = lambda _: None  # type: ignore[method-assign]
                await base.close()
                base = KnowledgeBase(folder, HashEmbedder(), FakeClock())
                await base.open()
            await base._store.database.in_writer(lambda c, base=base: _check(c, base))
        await base.embed_pending(100)
        for hit in (await base.search(SearchQuery("tea ray hot"))).hits:
            assert (await base.get_page(hit.page_id)).clean_markdown[
                hit.start : hit.end
            ] == hit.text
    finally:
        await base.close()


def _check(connection: sqlite3.Connection, base: KnowledgeBase) -> None:
    connection.execute("INSERT INTO chunk_words (chunk_words, rank) VALUES ('integrity-check', 1)")
    chunks = {row["id"] for row in connection.execute("SELECT id FROM chunks")}
    vectors = {row["chunk_id"] for row in connection.execute("SELECT chunk_id FROM vectors")}
    assert vectors <= chunks
    assert set(base._store.vectors.index.ids().tolist()) == vectors
    for page in connection.execute("SELECT * FROM pages").fetchall():
        _check_page(connection, page, vectors)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def _check_page(connection: sqlite3.Connection, page: Any, vectors: set[int]) -> None:
    rows = connection.execute(
        "SELECT * FROM chunks WHERE page_id = ? ORDER BY ordinal", (page["id"],)
    ).fetchall()
    expected = chunk(page["markdown"]) if page["status"] == "active" else []
    assert [(r["start_char"], r["end_char"], r["heading"], r["body"]) for r in rows] == [
        (c.start, c.end, c.heading, c.text) for c in expected
    ]
    assert [r["ordinal"] for r in rows] == list(range(len(rows)))
    assert all(r["title"] == page["title"] for r in rows)
    assert bool(page["embedded"]) == all(r["id"] in vectors for r in rows)
    if page["status"] == "duplicate":
        kept = connection.execute(
            "SELECT status, content_hash FROM pages WHERE id = ?", (page["duplicate_of"],)
        ).fetchone()
        assert tuple(kept) == ("active", page["content_hash"])
