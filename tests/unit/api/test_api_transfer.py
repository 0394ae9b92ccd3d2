"""Export and import: whole, checked, bounded."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from serve_app.api.fake import SmallBrain
from serve_app.api.transfer import import_parts, unpacked
from serve_app.domain.errors import BadRequest, TooLarge
from serve_app.domain.tasks import Task

HEADER = {"omeruta_export": 1}
PAGE = {"url": "https://a.example/1", "title": "One", "clean_markdown": "text"}


def end(pages: int) -> dict[str, int]:
    return {"omeruta_export_end": 1, "pages": pages}


def lines(*objects: Any) -> bytes:
    return b"".join(json.dumps(o).encode() + b"\n" for o in objects)


async def tasks_of(brain: SmallBrain, answer: httpx.Response) -> list[Task]:
    who = brain.principals[brain.owner]
    return [await brain.engine.get(t, who) for t in answer.json()["task_ids"]]


async def items_of(brain: SmallBrain, task: Task) -> list[dict[str, Any]]:
    upload = await brain.knowledge.get_upload(task.args["upload_id"])
    items: list[dict[str, Any]] = json.loads(upload.data)
    return items


async def test_an_export_can_be_imported(
    owner: httpx.AsyncClient, ada: httpx.AsyncClient, brain: SmallBrain, page_id: int
) -> None:
    out = await ada.get("/api/export/")
    assert out.headers["content-type"] == "application/gzip"
    assert "attachment" in out.headers["content-disposition"]
    told = [json.loads(line) for line in gzip.decompress(out.content).splitlines()]
    assert told[0]["omeruta_export"] == 1
    assert told[-1] == end(1)
    page = await brain.knowledge.get_page(page_id)
    assert (told[1]["url"], told[1]["clean_markdown"]) == (page.url, page.clean_markdown)

    back = await owner.post("/api/import/", content=out.content)
    assert (back.status_code, back.json()["pages"]) == (202, 1)
    assert back.json()["task_id"] == back.json()["task_ids"][-1]
    (task,) = await tasks_of(brain, back)
    assert task.kind == "add_pages"
    (item,) = await items_of(brain, task)
    assert (item["url"], item["title"], item["text"]) == (page.url, page.title, page.clean_markdown)
    assert item["source"] == "import"
    assert item["fetched_at"].startswith(f"{page.fetched_at:%Y-%m-%d}")


async def test_only_owners_import(ada: httpx.AsyncClient) -> None:
    assert (await ada.post("/api/import/", content=lines(HEADER, PAGE, end(1)))).status_code == 403


async def test_a_large_import_is_cut_into_parts(
    owner: httpx.AsyncClient, brain: SmallBrain
) -> None:
    pages = [{**PAGE, "url": f"https://a.example/{n}"} for n in range(1100)]
    body = lines(HEADER, *pages, end(1100))
    headers = {"Idempotency-Key": "k"}
    answer = await owner.post("/api/import/", content=body, headers=headers)
    parts = [await items_of(brain, task) for task in await tasks_of(brain, answer)]
    assert [len(part) for part in parts] == [500, 500, 100]
    assert [i["url"] for part in parts for i in part] == [p["url"] for p in pages]
    again = await owner.post("/api/import/", content=body, headers=headers)
    assert again.json()["task_ids"] == answer.json()["task_ids"]


GOOD = lines(HEADER, PAGE, end(1))
PACKED = gzip.compress(GOOD)
BAD = {
    "nothing": b"",
    "no export": lines(PAGE, end(1)),
    "not json": b"hello\n",
    "no object": lines(HEADER, [1]),
    "deep": lines(HEADER) + b"[" * 100_000 + b"\n",
    "no end": lines(HEADER, PAGE),
    "wrong count": lines(HEADER, PAGE, end(2)),
    "after the end": lines(HEADER, end(0), PAGE),
    "no pages": lines(HEADER, end(0)),
    "no text": lines(HEADER, {"url": "x", "title": "t"}, end(1)),
    "wrong type": lines(HEADER, {**PAGE, "title": 5}, end(1)),
    "another version": lines({"omeruta_export": 2}, PAGE, end(1)),
    "cut gzip": PACKED[:-12],
    "broken gzip": b"\x1f\x8b" + b"x" * 50,
    "more behind": PACKED + PACKED,
}


async def test_a_bad_import_makes_no_task(owner: httpx.AsyncClient, brain: SmallBrain) -> None:
    for name, body in BAD.items():
        answer = await owner.post("/api/import/", content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), name
    assert not brain.worker.seen


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("body", [GOOD, PACKED, GOOD[:-1]])
async def test_lines_are_whole_however_the_body_comes(body: bytes, size: int) -> None:
    found = [json.loads(line) async for line in unpacked(pieces(body, size), 10**6, 10**6)]
    assert found == [HEADER, PAGE, end(1)]


async def test_a_bomb_ends_early() -> None:
    bomb = gzip.compress(b"x" * 50_000_000)
    with pytest.raises(TooLarge):
        [line async for line in unpacked(pieces(bomb, 65536), 10**9, 10**6)]
    many = gzip.compress(b"x\n" * 2_000_000)
    with pytest.raises(TooLarge):
        [line async for line in unpacked(pieces(many, 65536), 10**6, 10**6)]


async def test_a_page_without_title_is_called_by_its_address() -> None:
    page = {"url": "https://a.example/1", "markdown": "text", "later": "field"}
    body = lines(HEADER, page, end(1))
    parts = [p async for p in import_parts(unpacked(pieces(body, 99), 10**6, 10**6))]
    assert parts == [
        [{"url": page["url"], "text": "text", "title": page["url"], "source": "import"}]
    ]


async def test_parts_are_bounded_in_size_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.api.transfer.PART_BYTES", 100)
    body = lines(HEADER, *[PAGE] * 5, end(5))
    parts = [p async for p in import_parts(unpacked(pieces(body, 99), 10**6, 10**6))]
    assert [len(part) for part in parts] == [2, 2, 1]


async def test_the_end_must_be_there() -> None:
    with pytest.raises(BadRequest, match="cut short"):
        [p async for p in import_parts(unpacked(pieces(lines(HEADER), 9), 10**6, 10**6))]
