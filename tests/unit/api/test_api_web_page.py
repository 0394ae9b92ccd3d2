"""The page's files, the reference, and the headers on all that is answered."""

from __future__ import annotations

import re
from typing import Any

import httpx

from serve_app.api.fake import SmallBrain

HEADERS = {
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "x-frame-options",
    "cache-control",
}


PATHS: Any = [
    "/",
    "/static/none.js",
    "/docs",
    "/openapi.json",
    "/healthz",
    "/api/tasks/",
    "/nothing",
]


async def test_every_answer_carries_the_headers(nobody: httpx.AsyncClient) -> None:
    for path in PATHS:
        answer = await nobody.get(path)
        assert set(answer.headers) >= HEADERS
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


async def test_the_page_is_asked_for_again_but_not_sent_again(nobody: httpx.AsyncClient) -> None:
    first = await nobody.get("/")
    assert first.status_code == 200
    assert first.headers["content-type"].startswith("text/html")
    assert first.headers["cache-control"] == "no-cache"
    again = await nobody.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await nobody.head("/")).status_code == 200


ESCAPES: Any = [
    "/static/none.js",
    "/static/../app.py",
    "/static/%2e%2e/app.py",
    "/static/",
    "/static//etc/passwd",
]


async def test_only_the_pages_files_are_served(nobody: httpx.AsyncClient) -> None:
    for path in ESCAPES:
        answer = await nobody.get(path)
        assert answer.status_code in (401, 404)
        assert "error" in answer.json()


async def test_what_needs_a_token_is_not_kept_by_caches(ada: httpx.AsyncClient) -> None:
    assert (await ada.get("/api/tasks/")).headers["cache-control"] == "no-store"


async def test_the_reference_names_every_call(nobody: httpx.AsyncClient, brain: SmallBrain) -> None:
    spec = (await nobody.get("/openapi.json")).json()
    page = (await nobody.get("/docs")).text
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in page
            assert operation["tags"], path
            assert operation["summary"], path
            assert operation["description"], path
            assert "422" not in operation["responses"]
            open_to_all = path in ("/healthz", "/readyz", "/api/auth/login/")
            assert operation["security"] == ([] if open_to_all else [{"bearer": []}])
    for word in ("/ws/agent/", "start_chat", "agent_routed", "knowledge_expanded", "4401"):
        assert word in page


async def test_the_reference_runs_and_fetches_nothing(nobody: httpx.AsyncClient) -> None:
    page = (await nobody.get("/docs")).text
    assert "<script" not in page
    assert "style=" not in page
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == ["/docs/reference.css", "/openapi.json"]
    style = await nobody.get("/docs/reference.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "url(" not in style.text


async def test_the_reference_tells_what_a_call_takes_and_answers(nobody: httpx.AsyncClient) -> None:
    page = (await nobody.get("/docs")).text
    section = page.split("POST /api/agents/tinyllama/chat/")[1].split("</section>")[0]
    for word in (
        "message",
        "max_tokens",
        "default 300",
        "Answers 200",
        "confidence_score",
        "required",
    ):
        assert word in section
