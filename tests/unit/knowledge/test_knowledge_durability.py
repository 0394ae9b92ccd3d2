"""What a store on disk keeps over restarts, crashes and damage; and that it has one owner."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from serve_app.domain.errors import BadRequest, ConfigError, StaleAttempt, Unavailable
from serve_app.domain.knowledge import PageQuery, SearchQuery
from serve_app.knowledge import KnowledgeBase
from serve_app.knowledge.index import FaissIndex
from serve_app.knowledge.vectors import VectorIndex

TEA = "# Tea\n\nGreen tea is steeped at eighty degrees.\n\n## Oolong\n\nOolong is partly oxidised."
SEMANTIC = SearchQuery("oolong oxidised", mode="semantic")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the indexes that were built from the store."""
    sizes: list[int] = []
    build = VectorIndex._build

    def counted(self: VectorIndex, connection: sqlite3.Connection, dim: int) -> Any:
        index = build(self, connection, dim)
        sizes.append(len(index))
        return index

    monkeypatch.setattr(VectorIndex, "_build", counted)
    return sizes


async def fill(opened: Any, draft: Any, key: Any) -> None:
    async with opened() as base:
        await base.store_pages(key(), [draft("https://a.example/tea", TEA)])
        await base.embed_pending(10)


async def test_a_clean_restart_loads_the_saved_index(
    opened: Any, draft: Any, key: Any, built: list[int]
) -> None:
    await fill(opened, draft, key)
    async with opened() as base:
        assert (await base.search(SEMANTIC)).hits[0].heading == "Tea > Oolong"
    assert built == []


@pytest.mark.parametrize("damage", ["missing", "damaged", "older"])
async def test_an_index_file_that_cannot_be_used_is_built_again(
    opened: Any, draft: Any, key: Any, built: list[int], tmp_path: Path, damage: str
) -> None:
    await fill(opened, draft, key)
    path, kept = tmp_path / "kb" / "index.faiss", tmp_path / "older"
    shutil.copy(path, kept)
    if damage == "missing":
        path.unlink()
    elif damage == "damaged":
        path.write_bytes(kept.read_bytes()[:200])
    else:
        async with opened() as base:
            await base.store_pages(key(), [draft("https://a.example/more", "More of it.")])
            await base.embed_pending(10)
        shutil.copy(kept, path)
    async with opened() as base:
        assert (await base.search(SEMANTIC)).hits[0].heading == "Tea > Oolong"
        stats = await base.stats()
        assert stats["index"]["vectors"] == stats["vectors"]
    assert built == [3 if damage == "older" else 2]


async def test_a_kill_between_commit_and_save_loses_nothing(
    opened: Any, draft: Any, key: Any, tmp_path: Path, embedder: Any, clock: Any, built: list[int]
) -> None:
    await fill(opened, draft, key)
    async with opened() as base:
        await base.delete_page(1)
        await base.store_pages(key(), [draft("https://a.example/new", "Fresh words here.")])
        # What the disk holds when the process is killed now.
        shutil.copytree(tmp_path / "kb", tmp_path / "killed")
    base = KnowledgeBase(tmp_path / "killed", embedder, clock)
    await base.open()
    assert built == [0]
    assert [p.url for p in (await base.list_pages(PageQuery())).items] == ["https://a.example/new"]
    assert (await base.search(SEMANTIC)).degraded is not None
    assert (await base.embed_pending(10)).counts == {"pages": 1, "chunks": 1}
    await base.close()


async def test_an_index_that_cannot_be_saved_costs_a_rebuild_only(
    opened: Any, draft: Any, key: Any, built: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FaissIndex, "save", full)
        await fill(opened, draft, key)
    async with opened() as base:
        assert (await base.search(SEMANTIC)).hits
    assert built == [2]


async def test_two_owners_are_never(opened: Any, tmp_path: Path) -> None:
    async with opened():
        with pytest.raises(ConfigError, match="in use"):
            async with opened(lock_timeout=0.1):
                pass
        other = await asyncio.to_thread(_open_in_another_process, tmp_path / "kb")
        assert "ConfigError" in other
    async with opened(lock_timeout=0.1) as base:
        assert (await base.stats())["pages"] == 0


async def test_a_start_that_fails_lets_go_of_the_store(
    opened: Any, draft: Any, tmp_path: Path
) -> None:
    without_zone = draft("omeruta://guide/x", "Text.", published_at=datetime(2026, 1, 1))
    with pytest.raises(BadRequest):
        async with opened(system_pages=[without_zone]):
            pass
    async with opened(lock_timeout=0):
        pass
    newer = sqlite3.connect(tmp_path / "kb" / "knowledge.sqlite3", isolation_level=None)
    newer.execute("INSERT INTO schema_migrations VALUES (99, 'later', '')")
    with pytest.raises(ConfigError, match="newer version"):
        async with opened():
            pass
    newer.execute("DELETE FROM schema_migrations WHERE number = 99")
    newer.close()
    async with opened(lock_timeout=0):
        pass


async def test_a_store_taken_over_is_not_written(
    opened: Any, draft: Any, key: Any, tmp_path: Path
) -> None:
    async with opened() as base:
        other = sqlite3.connect(tmp_path / "kb" / "knowledge.sqlite3", isolation_level=None)
        other.execute("UPDATE store_epoch SET epoch = epoch + 1")
        other.close()
        with pytest.raises(StaleAttempt, match="taken over"):
            await base.store_pages(key(), [draft("https://a.example/tea", TEA)])


async def test_a_closed_store_says_so(knowledge: KnowledgeBase) -> None:
    await knowledge.close()
    await knowledge.close()
    with pytest.raises(Unavailable, match="not open"):
        await knowledge.stats()
    with pytest.raises(Unavailable, match="not open"):
        await knowledge.delete_page(1)


async def test_a_full_disk_is_unavailable_and_loses_nothing(
    opened: Any, draft: Any, key: Any
) -> None:
    async with opened() as base:
        await base.store_pages(key(), [draft("https://a.example/tea", TEA)])
        database = base._store.database
        await database.in_writer(lambda c: c.execute("PRAGMA max_page_count = 1").fetchone())
        with pytest.raises(Unavailable, match="full"):
            await base.store_pages(key(), [draft("https://a.example/big", "word " * 200_000)])
        await database.in_writer(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchone())
        await base.store_pages(key(), [draft("https://a.example/more", "More of it.")])
        assert (await base.list_pages(PageQuery())).total == 2


async def test_a_store_of_the_first_schema_is_opened(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    """The rows of a store as schema 1 wrote them are read by every later version."""
    (tmp_path / "kb").mkdir()
    old = sqlite3.connect(tmp_path / "kb" / "knowledge.sqlite3", isolation_level=None)
    root = Path(__file__).parents[3]
    old.executescript((root / "serve_app/knowledge/sql/0001_knowledge.sql").read_text())
    old.executescript(FIRST_ROWS)
    old.close()
    async with opened() as base:
        page = await base.get_page(1)
        assert (page.title, page.chunks, page.is_processed_for_embeddings) == ("Tea", 1, True)
        (hit,) = (await base.search(SearchQuery("steeping", mode="lexical"))).hits
        assert hit.text == "Green tea is steeped."
        assert (await base.find_page("https://a.example/copy")) == page
        assert (await base.crawl_counts("c")).pending == 1
        assert (await base.stats())["index"]["vectors"] == 1


def _open_in_another_process(directory: Path) -> str:
    code = (
        "import asyncio, pathlib, sys\n"
        "from serve_app.domain.clock import SystemClock\n"
        "from serve_app.knowledge import KnowledgeBase\n"
        "base = KnowledgeBase(pathlib.Path(sys.argv[1]), None, SystemClock(), lock_timeout=0)\n"
        "asyncio.run(base.open())\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(directory)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stderr


FIRST_ROWS = """
CREATE TABLE schema_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL);
INSERT INTO schema_migrations VALUES (1, 'knowledge', '2026-11-22T00:00:00Z');
INSERT INTO pages (id, url, fetched_url, site, title, markdown, content_hash, words, fetched_at, source,
    collection, status, duplicate_of, embedded, added_at, quality, quality_facts)
VALUES (1, 'https://a.example/tea', 'https://a.example/tea', 'a.example', 'Tea', 'Green tea is steeped.', 'h',
    4, '2026-11-22T00:00:00.000000+00:00', 'crawl', 'main', 'active', NULL, 1,
    '2026-11-22T00:00:00.000000+00:00', 0.5, '{"parts": {"length": 0.5}, "reasons": ["Short."]}'),
  (2, 'https://a.example/copy', 'https://a.example/copy', 'a.example', 'Copy', 'Green tea is steeped.', 'h',
    4, '2026-11-22T00:00:00.000000+00:00', 'crawl', 'main', 'duplicate', 1, 1,
    '2026-11-22T00:00:00.000000+00:00', NULL, NULL);
INSERT INTO chunks VALUES (1, 1, 0, 0, 21, 'Tea', '', 'Green tea is steeped.', 'x');
INSERT INTO meta VALUES ('embedder', 'old/2'), ('dim', '2');
INSERT INTO vectors VALUES (1, x'003C0000');
INSERT INTO crawls VALUES ('c', 't', '2026-11-22T00:00:00.000000+00:00');
INSERT INTO frontier (crawl_id, key, url, depth) VALUES ('c', 'k', 'https://a.example/new', 0);
"""
