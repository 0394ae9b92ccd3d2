"""Upkeep as tasks: progress from true counts, one result at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve_app.domain.errors import BadRequest
from serve_app.domain.tasks import Assignment, WorkerEvent
from serve_app.knowledge import KnowledgeWorker, guide, load_guide
from serve_app.knowledge.guide import read_guide


async def run(knowledge: Any, kind: str, **args: object) -> list[WorkerEvent]:
    assignment = Assignment("t", 1, kind, args, "u")
    worker = KnowledgeWorker(knowledge)
    return [event async for batch in worker.run(assignment) for event in batch]


async def store(knowledge: Any, draft: Any, key: Any, pages: int) -> None:
    await knowledge.store_pages(
        key(), [draft(f"https://a.example/{n}", f"Page {n} says {n}.") for n in range(pages)]
    )


@pytest.mark.parametrize("kind", ["embed_pending", "assess_quality"])
async def test_progress_rises_and_the_result_comes_last(
    knowledge: Any, draft: Any, key: Any, kind: str
) -> None:
    await store(knowledge, draft, key, 25)
    events = await run(knowledge, kind)
    progress = [e.data["progress"] for e in events if e.type == "task_update"]
    assert progress == [0, 40, 80, 99]
    assert [e.type for e in events].index("result") == len(events) - 1
    assert events[-1].data["counts"]["pages"] == 25
    assert events[-1].data["remaining"] == 0


async def test_the_limit_holds(knowledge: Any, draft: Any, key: Any) -> None:
    await store(knowledge, draft, key, 25)
    events = await run(knowledge, "embed_pending", limit=12)
    assert events[-1].data["counts"] == {"pages": 12, "chunks": 12}
    assert events[-1].data["remaining"] == 13


async def test_nothing_to_do_is_done(knowledge: Any) -> None:
    events = await run(knowledge, "assess_quality")
    assert events[-1].data["counts"] == {"pages": 0}


@pytest.mark.parametrize("limit", [0, "many", True, 10**9])
async def test_a_bad_limit_is_refused(knowledge: Any, limit: object) -> None:
    with pytest.raises(BadRequest) as caught:
        await run(knowledge, "embed_pending", limit=limit)
    assert caught.value.field == "limit"


async def test_an_unknown_kind_is_refused(knowledge: Any) -> None:
    with pytest.raises(BadRequest, match="dance"):
        await run(knowledge, "dance")


def test_the_guide_is_read_from_markdown_files(tmp_path: Path) -> None:
    (tmp_path / "b-second.md").write_text("No heading here.", encoding="utf-8")
    (tmp_path / "a.md").write_text("# First steps #\n\nText.", encoding="utf-8")
    (tmp_path / "note.txt").write_text("not a page", encoding="utf-8")
    pages = read_guide(tmp_path)
    assert [(p.url, p.title) for p in pages] == [
        ("omeruta://guide/a", "First steps"),
        ("omeruta://guide/b-second", "B second"),
    ]
    assert {(p.collection, p.source) for p in pages} == {("system", "docs")}


def test_no_guide_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(page.url.startswith("omeruta://guide/") for page in load_guide())
    monkeypatch.setattr(guide, "_PLACES", (tmp_path / "none",))
    assert load_guide() == []


async def test_system_pages_follow_the_guide_of_each_start(
    opened: Any, tmp_path: Path, embedder: Any
) -> None:
    for name in ("kept", "dropped"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n\nThe guide about {name}.", "utf-8")
    async with opened(system_pages=read_guide(tmp_path)) as base:
        assert (await base.embed_pending(9)).counts["pages"] == 2
    (tmp_path / "dropped.md").unlink()
    async with opened(system_pages=read_guide(tmp_path)) as base:
        assert (await base.stats())["system"] == {"pages": 1, "chunks": 1, "vectors": 1}
        assert (await base.embed_pending(9)).counts["pages"] == 0
