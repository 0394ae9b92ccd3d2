"""Every route and every socket action × {no token, a wrong one, a member and somebody else's object}.

The routes are taken from the application itself: one that has no case here fails the first test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, WebSocketRoute

from serve_app.api import stream
from serve_app.api.fake import SmallBrain, small_brain
from serve_app.domain.knowledge import PageDraft, WriteKey

OPEN, SHARED, PRIVATE, OWNER = "open", "shared", "private", "owner"


@dataclass(frozen=True)
class Case:
    """`kind`: open to all; shared by all users; private to one's own objects; for owners only."""

    kind: str
    body: Any = None
    file: bool = False


CASES: dict[str, Case] = {
    "GET /": Case(OPEN),
    "GET /healthz": Case(OPEN),
    "GET /readyz": Case(OPEN),
    "GET /docs": Case(OPEN),
    "GET /docs/reference.css": Case(OPEN),
    "GET /openapi.json": Case(OPEN),
    "POST /api/auth/login/": Case(OPEN, {"token": "wrong"}),
    "POST /api/agents/tinyllama/chat/": Case(SHARED, {"message": "x"}),
    "POST /api/agents/async/chat_async/": Case(SHARED, {"message": "x"}),
    "POST /api/agents/async/multiagent_async/": Case(SHARED, {"query": "x"}),
    "POST /api/agents/async/research_topic/": Case(SHARED, {"topic": "x"}),
    "POST /api/agents/async/analyze_content/": Case(SHARED, {"urls": ["https://a.example"]}),
    "POST /api/agents/async/expand_knowledge/": Case(SHARED, {"topic": "x"}),
    "GET /api/agents/async/status/{task_id}/": Case(PRIVATE),
    "GET /api/tasks/": Case(SHARED),
    "GET /api/tasks/{task_id}/": Case(PRIVATE),
    "POST /api/tasks/{task_id}/cancel/": Case(PRIVATE),
    "POST /api/tasks/{task_id}/retry/": Case(PRIVATE),
    "GET /api/tasks/{task_id}/events": Case(PRIVATE),
    "POST /api/crawls/": Case(SHARED, {"url": "https://a.example"}),
    "POST /api/pages/": Case(SHARED, {"url": "https://a.example"}),
    "GET /api/pages/": Case(SHARED),
    "GET /api/pages/{page_id}/": Case(SHARED),
    "DELETE /api/pages/{page_id}/": Case(OWNER),
    "POST /api/files/": Case(SHARED, file=True),
    "POST /api/search/": Case(SHARED, {"query": "x"}),
    "GET /api/export/": Case(SHARED),
    "POST /api/import/": Case(OWNER),
    "GET /api/conversations/": Case(SHARED),
    "GET /api/conversations/{conversation_id}/": Case(PRIVATE),
    "PATCH /api/conversations/{conversation_id}/": Case(PRIVATE, {"title": "x"}),
    "DELETE /api/conversations/{conversation_id}/": Case(PRIVATE),
    "GET /api/schedules/": Case(SHARED),
    "POST /api/schedules/{name}/run/": Case(OWNER),
    "PATCH /api/schedules/{name}/": Case(OWNER, {"enabled": True}),
    "GET /api/stats/": Case(SHARED),
    "GET /api/auth/tokens/": Case(SHARED),
    "POST /api/auth/tokens/": Case(SHARED, {"name": "x"}),
    "DELETE /api/auth/tokens/{token_id}/": Case(PRIVATE),
    "GET /api/auth/users/": Case(OWNER),
    "POST /api/auth/users/": Case(OWNER, {"name": "x"}),
    "DELETE /api/auth/users/{user_id}/": Case(OWNER),
}
ACTIONS: dict[
    str, tuple[bool, dict[str, Any]]
] = {  # action -> (names a task, the rest of the message)
    "start_chat": (False, {"message": "x"}),
    "start_research": (False, {"topic": "x"}),
    "analyze_content": (False, {"urls": ["https://a.example"]}),
    "check_task": (True, {}),
    "cancel_task": (True, {}),
    "subscribe": (True, {}),
}
# Submits that can name a conversation: another door to somebody else's object.
INTO_CONVERSATIONS = [
    ("/api/agents/tinyllama/chat/", {"message": "x"}),
    ("/api/agents/async/chat_async/", {"message": "x"}),
    ("/api/agents/async/multiagent_async/", {"query": "x"}),
]


@pytest.fixture
async def brain(tmp_path: Path) -> AsyncIterator[SmallBrain]:
    async with small_brain(tmp_path) as running:
        await running.add_member("ada")
        await running.add_member("bob")
        yield running


def routes(brain: SmallBrain) -> set[str]:
    """Every "METHOD /path" of the application, its mounts and sockets apart."""
    found = set()
    for context in iter_route_contexts(brain.app.routes):
        if isinstance(context.original_route, Mount | WebSocketRoute):
            continue
        for method in (context.methods or set()) - {"HEAD", "OPTIONS"}:
            found.add(f"{method} {context.path}")
    return found


def test_every_route_has_a_case(brain: SmallBrain) -> None:
    assert routes(brain) == set(CASES)


def test_what_is_mounted_is_the_pages_files_and_the_one_socket(brain: SmallBrain) -> None:
    others = [
        context.path
        for context in iter_route_contexts(brain.app.routes)
        if isinstance(context.original_route, Mount | WebSocketRoute)
    ]
    assert sorted(str(path) for path in others) == ["/static", "/ws/agent/"]


def test_every_action_has_a_case() -> None:
    assert set(ACTIONS) == {*stream.STARTS, *stream.ON_TASK}


class Caller:
    """Sends each case with given headers, with ids of the given objects put into its path."""

    def __init__(self, brain: SmallBrain, ids: dict[str, str]) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(brain.app), base_url="http://localhost:8000"
        )
        self._ids = ids

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, route: str, headers: dict[str, str], query: str = "") -> httpx.Response:
        method, _, path = route.partition(" ")
        case = CASES[route]
        extra: dict[str, Any] = {} if case.body is None else {"json": case.body}
        if case.file:
            extra["files"] = {"file": ("a.txt", b"x")}
        address = path.format(**self._ids) + query
        return await self._client.request(method, address, headers=headers, **extra)


async def bobs_things(brain: SmallBrain) -> dict[str, str]:
    """Ids of objects that exist and are bob's (or nobody's in particular)."""
    bob = brain.members["bob"]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(brain.app),
        base_url="http://localhost:8000",
        headers={"Authorization": f"Bearer {bob}"},
    ) as client:
        told = (await client.post("/api/agents/tinyllama/chat/", json={"message": "hi"})).json()
    draft = PageDraft("https://a.example", "https://a.example", "T", "Some words.")
    stored = await brain.knowledge.store_pages(WriteKey("t", 1, "s"), [draft])
    schedules = await brain.engine.schedules()
    who = brain.principals[bob]
    return {
        "task_id": told["task_id"],
        "conversation_id": told["conversation_id"],
        "token_id": who.token_id,
        "user_id": who.user_id,
        "page_id": str(stored[0].page_id),
        "name": schedules[0].name,
    }


UNKNOWN = {
    "task_id": "unknown",
    "conversation_id": "unknown",
    "token_id": "unknown",
    "user_id": "unknown",
    "page_id": "999999",
    "name": "unknown",
}


async def test_without_a_valid_token_every_door_is_closed(brain: SmallBrain) -> None:
    ids = await bobs_things(brain)
    token = brain.members["ada"]
    who = brain.principals[token]
    _, deleted = await brain.engine.create_token(who, "old")
    found = await brain.engine.authenticate(deleted)
    assert found is not None
    await brain.engine.delete_token(who, found.token_id)
    keys: list[tuple[dict[str, str], str]] = [
        ({}, ""),
        ({"Authorization": ""}, ""),
        ({"Authorization": "Bearer"}, ""),
        ({"Authorization": "Bearer wrong"}, ""),
        ({"Authorization": f"Bearer {deleted}"}, ""),
        ({"Authorization": f"Bearer {token}x"}, ""),
        ({"Authorization": f"Basic {token}"}, ""),
        ({"Authorization": token}, ""),
        ({"X-Api-Key": token}, ""),
        ({"Cookie": f"token={token}"}, ""),
        ({"Sec-WebSocket-Protocol": f"bearer, {token}"}, ""),
        ({}, f"?token={token}&access_token={token}"),
    ]
    async with Caller(brain, ids) as caller:
        for route, case in CASES.items():
            for headers, query in keys:
                answer = await caller.send(route, headers, query)
                if case.kind == OPEN and not route.endswith("/login/"):
                    assert answer.status_code == 200, route
                else:
                    assert answer.status_code == 401, (route, headers)
                    assert answer.json()["code"] == "unauthenticated"
    assert len(brain.worker.seen) == 1  # the task that bob asked for himself


async def test_a_member_meets_only_what_is_theirs(brain: SmallBrain) -> None:
    headers = {"Authorization": f"Bearer {brain.members['ada']}"}
    async with (
        Caller(brain, await bobs_things(brain)) as foreign,
        Caller(brain, UNKNOWN) as unknown,
    ):
        for route, case in CASES.items():
            answer = await foreign.send(route, headers)
            if case.kind == OWNER:
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), route
            elif case.kind == PRIVATE:
                assert answer.status_code == 404, route
                nothing = await unknown.send(route, headers)
                assert (nothing.status_code, nothing.json()) == (404, answer.json()), route
            elif case.kind == SHARED:
                assert 200 <= answer.status_code < 300, (route, answer.text)


async def test_lists_hold_only_what_is_theirs(brain: SmallBrain) -> None:
    ids = await bobs_things(brain)
    headers = {"Authorization": f"Bearer {brain.members['ada']}"}
    async with Caller(brain, ids) as caller:
        for route in ("GET /api/tasks/", "GET /api/conversations/", "GET /api/auth/tokens/"):
            told = (await caller.send(route, headers)).text
            for name in ("task_id", "conversation_id", "token_id", "user_id"):
                assert ids[name] not in told, route


async def test_owners_may_do_all_of_it(brain: SmallBrain) -> None:
    headers = {"Authorization": f"Bearer {brain.owner}"}
    async with Caller(brain, await bobs_things(brain)) as caller:
        for route in sorted(CASES, key=lambda r: r.startswith("DELETE")):  # the deleting ones last
            answer = await caller.send(route, headers)
            if not route.endswith("/login/"):
                assert answer.status_code not in (401, 403, 404), (route, answer.text)


@pytest.mark.parametrize(("path", "body"), INTO_CONVERSATIONS)
async def test_nobody_speaks_in_somebody_elses_conversation(
    brain: SmallBrain, path: str, body: dict[str, Any]
) -> None:
    ids = await bobs_things(brain)
    headers = {"Authorization": f"Bearer {brain.members['ada']}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(brain.app), base_url="http://localhost", headers=headers
    ) as client:
        answers = [
            await client.post(path, json={**body, "conversation_id": talk})
            for talk in (ids["conversation_id"], "unknown")
        ]
    assert [a.status_code for a in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize("action", ACTIONS)
async def test_no_action_without_a_token(brain: SmallBrain, action: str) -> None:
    ids = await bobs_things(brain)
    message = {"action": action, "task_id": ids["task_id"], **ACTIONS[action][1]}
    for token in (None, "wrong"):
        client = brain.socket(token)
        assert (await client.open())["type"] == "websocket.accept"
        client.say(message)
        closing = await client.next()
        assert (closing["type"], closing["code"]) == ("websocket.close", 4401)
        await client.ended()
        assert client.sent.empty()
    assert len(brain.worker.seen) == 1


@pytest.mark.parametrize("action", [name for name, (on_task, _) in ACTIONS.items() if on_task])
async def test_no_action_on_a_foreign_task(brain: SmallBrain, action: str) -> None:
    ids = await bobs_things(brain)
    client = brain.socket(brain.members["ada"])
    await client.open()
    told = []
    for task_id in (ids["task_id"], "unknown"):
        client.say({"action": action, "task_id": task_id, **ACTIONS[action][1]})
        told.append(await client.hear())
    await client.close()
    assert told[0] == told[1]
    assert (told[0]["type"], told[0]["code"]) == ("error", "not_found")


async def test_no_chat_in_a_foreign_conversation_over_the_socket(brain: SmallBrain) -> None:
    ids = await bobs_things(brain)
    client = brain.socket(brain.members["ada"])
    await client.open()
    client.say({"action": "start_chat", "message": "x", "conversation_id": ids["conversation_id"]})
    assert (await client.hear())["code"] == "not_found"
    await client.close()
