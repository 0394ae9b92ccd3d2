"""Contract section 8: crawls, pages, files and search."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from serve_app.api.fake import SmallBrain
from serve_app.api.files import display_name, media_type
from serve_app.domain.errors import BadRequest, NotFound

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


async def submitted(brain: SmallBrain, answer: httpx.Response) -> tuple[str, dict[str, Any]]:
    """(kind, args) of the task that an answer speaks of."""
    assert answer.status_code == 202, answer.text
    who = brain.principals[brain.owner]
    task = await brain.engine.get(answer.json()["task_id"], who)
    return task.kind, dict(task.args)


async def test_a_crawl_is_a_task(ada: httpx.AsyncClient, brain: SmallBrain) -> None:
    answer = await ada.post("/api/crawls/", json={"url": "https://a.example/docs/"})
    assert await submitted(brain, answer) == (
        "crawl",
        {
            "url": "https://a.example/docs/",
            "max_pages": 100,
            "max_depth": 5,
            "include": [],
            "exclude": [],
        },
    )


BAD_CRAWLS: list[tuple[dict[str, Any], str]] = [
    ({}, "url"),
    ({"url": "a.example"}, "url"),
    ({"url": "file:///etc/passwd"}, "url"),
    ({"url": "https:///x"}, "url"),
    ({"url": "https://a.example/" + "x" * 3000}, "url"),
    ({"url": "https://a.example", "max_pages": 0}, "max_pages"),
    ({"url": "https://a.example", "max_depth": -1}, "max_depth"),
    ({"url": "https://a.example", "include": "x"}, "include"),
    ({"url": "https://a.example", "include": ["x"] * 51}, "include"),
    ({"url": "https://a.example", "exclude": [""]}, "exclude.0"),
]


async def test_a_bad_crawl_is_named(ada: httpx.AsyncClient) -> None:
    for body, field in BAD_CRAWLS:
        answer = await ada.post("/api/crawls/", json=body)
        assert (answer.status_code, answer.json()["field"]) == (400, field), body


@pytest.mark.parametrize(
    ("body", "items"),
    [
        ({"url": "https://a.example"}, [{"url": "https://a.example"}]),
        ({"title": "T", "text": "x"}, [{"title": "T", "text": "x"}]),
        (
            {"title": "T", "text": "x", "url": "https://a.example"},
            [{"url": "https://a.example", "title": "T", "text": "x"}],
        ),
        (
            {"items": [{"url": "https://a.example"}, {"title": "T", "text": "é"}]},
            [{"url": "https://a.example"}, {"title": "T", "text": "é"}],
        ),
    ],
)
async def test_added_pages_lie_beside_the_ledger(
    ada: httpx.AsyncClient, brain: SmallBrain, body: dict[str, Any], items: list[Any]
) -> None:
    kind, args = await submitted(brain, await ada.post("/api/pages/", json=body))
    assert (kind, args["count"]) == ("add_pages", len(items))
    upload = await brain.knowledge.get_upload(args["upload_id"])
    assert upload.media_type == "application/x-omeruta-items+json"
    assert json.loads(upload.data) == items


BAD_PAGES: list[Any] = [
    {},
    {"title": "T"},
    {"text": "x"},
    {"title": "T", "url": "https://a.example"},
    {"items": []},
    {"items": [{}]},
    {"items": [{"url": "https://a.example"}] * 501},
    {"items": [{"url": "https://a.example"}], "url": "https://a.example"},
    {"url": "ftp://a.example"},
    {"title": "T", "text": "  "},
    [],
    "x",
    None,
]


async def test_bad_pages_are_refused(ada: httpx.AsyncClient, brain: SmallBrain) -> None:
    for body in BAD_PAGES:
        answer = await ada.post("/api/pages/", json=body)
        assert answer.status_code == 400, body
        assert answer.json()["error"], body
    assert not brain.worker.seen


@pytest.mark.parametrize(
    ("name", "declared", "kind"),
    [
        ("a.html", "application/octet-stream", "text/html"),
        ("A.MD", None, "text/markdown"),
        ("a.txt", "text/plain", "text/plain"),
        ("a.pdf", "application/pdf", "application/pdf"),
        ("a.docx", None, DOCX),
        ("noname", "text/markdown; charset=utf-8", "text/markdown"),
    ],
)
async def test_a_file_is_laid_down_and_read_by_a_task(
    ada: httpx.AsyncClient, brain: SmallBrain, name: str, declared: str | None, kind: str
) -> None:
    answer = await ada.post("/api/files/", files={"file": (name, b"\x00data", declared)})
    task, args = await submitted(brain, answer)
    assert (task, args["filename"], args["media_type"]) == ("add_file", name, kind)
    assert (await brain.knowledge.get_upload(args["upload_id"])).data == b"\x00data"


BAD_FILES: Any = [
    {"file": ("a.exe", b"x", "application/octet-stream")},
    {"file": ("a.txt", b"", "text/plain")},
    {"other": ("a.txt", b"x", "text/plain")},
]


async def test_bad_files_are_refused(ada: httpx.AsyncClient) -> None:
    for files in BAD_FILES:
        answer = await ada.post("/api/files/", files=files)
        assert (answer.status_code, answer.json()["field"]) == (400, "file")


BAD_FORMS: Any = [b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\n", b"\xff"]


async def test_an_unreadable_form_is_a_bad_request(ada: httpx.AsyncClient) -> None:
    for body in BAD_FORMS:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        assert (await ada.post("/api/files/", content=body, headers=headers)).status_code == 400


def test_a_file_name_is_a_label_never_a_path() -> None:
    assert display_name("../../etc/passwd") == "passwd"
    assert display_name("C:\\x\\a.txt") == "a.txt"
    assert display_name("a\r\n\x00b.txt") == "ab.txt"
    assert display_name("x" * 300 + ".md").endswith(".md")
    assert len(display_name("x" * 300)) == 200
    assert display_name(None) == display_name("/") == "file"
    with pytest.raises(BadRequest, match="no kind that is read"):
        media_type("a.zip", "application/zip")


async def test_a_page_is_read_with_its_safe_html(ada: httpx.AsyncClient, page_id: int) -> None:
    page = (await ada.get(f"/api/pages/{page_id}/")).json()
    assert {"url", "title", "clean_markdown", "content_hash", "quality", "freshness"} <= set(page)
    assert (page["status"], page["is_processed_for_embeddings"]) == ("active", True)
    assert "<strong>ferry</strong>" in page["html"]
    assert "<script" not in page["html"]
    assert "href" not in page["html"]  # an address relative to the page would lead into the brain


async def test_pages_are_listed_without_their_text(ada: httpx.AsyncClient, page_id: int) -> None:
    found = (await ada.get("/api/pages/", params={"site": "a.example", "sort": "title"})).json()
    assert (found["total"], found["next_cursor"]) == (1, None)
    assert found["items"][0]["id"] == page_id
    assert "clean_markdown" not in found["items"][0]
    assert (await ada.get("/api/pages/", params={"q": "zeppelin"})).json()["items"] == []


BAD_LISTINGS: Any = ["sort=size", "status=odd", "limit=0", "limit=201", "cursor=odd"]


async def test_a_bad_listing_is_named(ada: httpx.AsyncClient) -> None:
    for query in BAD_LISTINGS:
        answer = await ada.get(f"/api/pages/?{query}")
        assert (answer.status_code, answer.json()["field"]) == (400, query.partition("=")[0])


UNKNOWN_PAGES: Any = ["999", "0", "-1", "x", "1.5", str(2**63), "9" * 400]


async def test_an_unknown_page_is_not_found(owner: httpx.AsyncClient) -> None:
    for page in UNKNOWN_PAGES:
        for method in ("GET", "DELETE"):
            answer = await owner.request(method, f"/api/pages/{page}/")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_only_an_owner_deletes_pages(
    owner: httpx.AsyncClient, ada: httpx.AsyncClient, brain: SmallBrain, page_id: int
) -> None:
    assert (await ada.delete(f"/api/pages/{page_id}/")).status_code == 403
    answer = await owner.delete(f"/api/pages/{page_id}/")
    assert (answer.status_code, answer.content) == (204, b"")
    with pytest.raises(NotFound):
        await brain.knowledge.get_page(page_id)
    found = (await ada.post("/api/search/", json={"query": "ferry"})).json()
    assert found["hits"] == []


@pytest.mark.parametrize("mode", ["hybrid", "lexical", "semantic"])
async def test_search_finds_passages_of_the_page(
    ada: httpx.AsyncClient, brain: SmallBrain, page_id: int, mode: str
) -> None:
    body = {"query": "when does the ferry leave", "mode": mode}
    hit = (await ada.post("/api/search/", json=body)).json()["hits"][0]
    page = await brain.knowledge.get_page(page_id)
    assert page.clean_markdown[hit["start"] : hit["end"]] == hit["text"]
    assert {"page_id", "chunk_id", "title", "url", "score"} <= set(hit)
    assert "explain" not in hit


async def test_search_filters_and_explains(ada: httpx.AsyncClient, page_id: int) -> None:
    body: dict[str, Any] = {"query": "ferry", "explain": True, "filters": {"page_ids": [page_id]}}
    hits = (await ada.post("/api/search/", json=body)).json()["hits"]
    assert {"lexical_rank", "semantic_rank", "cosine", "explain"} <= set(hits[0])
    body["filters"] = {"site": "b.example"}
    assert (await ada.post("/api/search/", json=body)).json()["hits"] == []
    body["filters"] = {"fetched_after": "2099-01-01T00:00:00Z"}
    assert (await ada.post("/api/search/", json=body)).json()["hits"] == []


BAD_SEARCHES: list[tuple[dict[str, Any], str]] = [
    ({}, "query"),
    ({"query": " "}, "query"),
    ({"query": "x", "mode": "psychic"}, "mode"),
    ({"query": "x", "limit": 51}, "limit"),
    ({"query": "x", "filters": {"min_quality": 2}}, "filters.min_quality"),
    ({"query": "x", "filters": {"fetched_after": "2026-01-01T00:00:00"}}, "filters"),
    ({"query": "x", "filters": {"owner": "me"}}, "filters.owner"),
    ({"query": "x", "filters": None}, "filters"),
]


async def test_a_bad_search_is_named(ada: httpx.AsyncClient) -> None:
    for body, field in BAD_SEARCHES:
        answer = await ada.post("/api/search/", json=body)
        assert (answer.status_code, answer.json()["field"]) == (400, field), body


async def test_an_overlong_query_is_too_large(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/search/", json={"query": "x " * 5000})
    assert (answer.status_code, answer.json()["field"]) == (413, "query")
