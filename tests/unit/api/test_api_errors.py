"""Contract section 10: one shape for every error, limits, and no input that makes a 500."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.api.errors import INTERNAL, error_response
from serve_app.api.fake import SmallBrain, small_brain
from serve_app.domain.errors import BadRequest, Overloaded, Unavailable
from serve_app.settings import LimitSettings, ServeSettings


async def test_unknown_addresses_and_methods(ada: httpx.AsyncClient) -> None:
    for path in ("/api/nothing/", "/api/agents/async/chat_async", "/api/tasks/x/y/z"):
        answer = await ada.post(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = await ada.put("/api/search/")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_an_unknown_address_says_nothing_without_a_token(nobody: httpx.AsyncClient) -> None:
    for path in ("/api/nothing/", "/wp-admin", "/api/tasks/"):
        answer = await nobody.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


UNREADABLE: Any = [
    (b"{", "application/json", "not valid JSON"),
    (b"[" * 100_000, "application/json", "could not be read"),
    (b'{"message": ' + b"1" * 5000 + b"}", "application/json", "could not be read"),
    (b'{"message": "\xff"}', "application/json", "could not be read"),
    (b"[]", "application/json", "must be a JSON object"),
    (b"null", "application/json", "must be a JSON object"),
    (b"", "application/json", "must be a JSON object"),
    (b'{"message": "x"}', "text/plain", "must be a JSON object"),
    (b"message=x", "application/x-www-form-urlencoded", "must be a JSON object"),
    (b'{"message": "\\ud800"}', "application/json", "'message'"),
]


async def test_unreadable_bodies(ada: httpx.AsyncClient) -> None:
    for body, kind, sentence in UNREADABLE:
        answer = await ada.post(
            "/api/agents/async/chat_async/", content=body, headers={"Content-Type": kind}
        )
        assert answer.status_code == 400
        assert sentence in answer.json()["error"]


async def test_the_unexpected_is_logged_and_not_told(
    ada: httpx.AsyncClient,
    brain: SmallBrain,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(brain.knowledge, "search", broken)
    with caplog.at_level(logging.ERROR, "serve_app.api.errors"):
        answer = await ada.post("/api/search/", json={"query": "x"})
    assert answer.status_code == 500
    assert answer.json() == {"error": INTERNAL, "code": "internal"}
    assert "a secret detail" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_unavailable_part_says_when_to_come_back(
    ada: httpx.AsyncClient, brain: SmallBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise Unavailable("The knowledge is starting.", retry_after=2.5)

    monkeypatch.setattr(brain.knowledge, "search", away)
    answer = await ada.post("/api/search/", json={"query": "x"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert answer.json() == {"error": "The knowledge is starting.", "code": "unavailable"}


async def test_a_stream_that_breaks_is_cut_off(
    ada: httpx.AsyncClient, brain: SmallBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> AsyncIterator[list[Any]]:
        yield []
        raise Unavailable("The knowledge went away.")

    monkeypatch.setattr(brain.knowledge, "export", broken)
    with pytest.raises(RuntimeError, match="already started"):
        await ada.get("/api/export/")


def test_the_other_shape() -> None:
    error = BadRequest("'model' is missing.", field="model")
    told = json.loads(bytes(error_response(error, "/v1/chat/completions").body))
    assert told == {
        "error": {
            "message": "'model' is missing.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "bad_request",
        }
    }
    busy = error_response(Overloaded("Busy."), "/v1/embeddings")
    assert busy.headers["retry-after"] == "1"


async def chunks(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 1000):
        yield b" " * 1000


async def test_bodies_are_bounded_whatever_they_declare(tmp_path: Path) -> None:
    limits = LimitSettings(body_bytes=2000, upload_bytes=5000, import_bytes=5000)
    async with small_brain(tmp_path, limits=limits) as brain:
        transport = httpx.ASGITransport(brain.app)
        headers = {"Authorization": f"Bearer {brain.owner}", "Content-Type": "application/json"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as client:
            for path in ("/api/search/", "/api/import/"):
                declared = await client.post(path, content=b" " * 6000)
                counted = await client.post(path, content=chunks(100_000))
                for answer in (declared, counted):
                    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
            lying = await client.post(
                "/api/search/", content=chunks(9000), headers={"Content-Length": "10"}
            )
            assert lying.status_code == 413
            huge = await client.post("/api/search/", headers={"Content-Length": "9" * 30})
            assert huge.status_code == 413
            del client.headers["Content-Type"]
            fits = await client.post("/api/files/", files={"file": ("a.txt", b"x" * 5000)})
            assert fits.status_code == 202
            over = await client.post("/api/files/", files={"file": ("a.txt", b"x" * 5001)})
            assert (over.status_code, over.json()["field"]) == (413, "file")
            flood = await client.post("/api/files/", files={"file": ("a.txt", b"x" * 100_000)})
            assert flood.status_code == 413


async def test_requests_are_bounded_per_token(tmp_path: Path) -> None:
    limits = LimitSettings(requests_per_minute=3)
    async with small_brain(tmp_path, limits=limits) as brain:
        member = await brain.add_member("ada")
        transport = httpx.ASGITransport(brain.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            mine = {"Authorization": f"Bearer {brain.owner}"}
            theirs = {"Authorization": f"Bearer {member}"}
            for _ in range(3):
                assert (await client.get("/api/tasks/", headers=mine)).status_code == 200
            refused = await client.get("/api/tasks/", headers=mine)
            assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
            assert 1 <= int(refused.headers["retry-after"]) <= 20
            assert (await client.get("/api/tasks/", headers=theirs)).status_code == 200
            assert (await client.get("/healthz")).status_code == 200


async def test_foreign_hosts_are_refused(nobody: httpx.AsyncClient, brain: SmallBrain) -> None:
    for path in ("/", "/api/tasks/", "/docs", "/static/app.js"):
        answer = await nobody.get(path, headers={"Host": "evil.example"})
        assert (answer.status_code, answer.json()["field"]) == (400, "host")
    probe = await nobody.get("/healthz", headers={"Host": "10.1.2.3:30000"})
    assert probe.status_code == 200


async def test_listed_origins_may_call(tmp_path: Path) -> None:
    serve = ServeSettings(allowed_origins=("https://other.example",))
    async with small_brain(tmp_path, serve=serve) as brain:
        transport = httpx.ASGITransport(brain.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = {
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            }
            for origin, allowed in (
                ("https://other.example", True),
                ("https://evil.example", False),
            ):
                answer = await client.options("/api/search/", headers={"Origin": origin, **asked})
                assert ("access-control-allow-origin" in answer.headers) is allowed
            refused = await client.get("/api/tasks/", headers={"Origin": "https://other.example"})
            assert refused.status_code == 401
            assert refused.headers["access-control-allow-origin"] == "https://other.example"


async def test_by_default_no_other_origin_may_call(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.get("/healthz", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in answer.headers


POSTS = [
    "/api/agents/tinyllama/chat/",
    "/api/agents/async/chat_async/",
    "/api/agents/async/multiagent_async/",
    "/api/agents/async/research_topic/",
    "/api/agents/async/analyze_content/",
    "/api/agents/async/expand_knowledge/",
    "/api/crawls/",
    "/api/pages/",
    "/api/files/",
    "/api/search/",
    "/api/import/",
    "/api/auth/login/",
    "/api/auth/tokens/",
    "/api/auth/users/",
]
WORDS = (
    "message query topic urls url title text items filters name role token user_id mode limit "
    "max_pages include conversation_id odd"
)
NAMES = st.sampled_from(WORDS.split())
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["https://a.example", "http://[", "\x00", "auto", "hybrid", "1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.sampled_from(POSTS), body=st.dictionaries(NAMES, JSON, max_size=6) | JSON)
async def test_no_json_makes_a_500(owner: httpx.AsyncClient, path: str, body: Any) -> None:
    text = json.dumps(body).encode()
    answer = await owner.post(path, content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert {"error", "code"} <= set(answer.json())


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    path=st.sampled_from(["/api/pages/", "/api/tasks/", "/api/conversations/", "/api/pages/1/"]),
    name=st.sampled_from(["q", "site", "status", "sort", "limit", "cursor", "queue"]),
    value=st.text(max_size=30) | st.integers().map(str),
)
async def test_no_query_makes_a_500(
    owner: httpx.AsyncClient, path: str, name: str, value: str
) -> None:
    answer = await owner.get(path, params={name: value.encode("utf-8", "replace")})
    assert answer.status_code < 500, answer.text


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    place=st.sampled_from(
        ["/api/tasks/{}/", "/api/tasks/{}/events", "/api/conversations/{}/", "/api/pages/{}/"]
    ),
    name=st.text(min_size=1, max_size=30),
)
async def test_no_id_makes_a_500(owner: httpx.AsyncClient, place: str, name: str) -> None:
    raw = "".join(f"%{byte:02x}" for byte in name.encode("utf-8", "replace"))
    answer = await owner.get(place.format(raw))
    assert answer.status_code in (200, 307, 400, 404), answer.text
