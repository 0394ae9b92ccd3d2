"""Contract sections 3 and 5: tasks listed, stopped, tried again, and their events as SSE."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from serve_app.api import tasks as tasks_api
from serve_app.api.fake import SmallBrain
from serve_app.api.limits import StreamPermits
from serve_app.domain.errors import Overloaded


async def ask(client: httpx.AsyncClient, message: str) -> str:
    answer = await client.post("/api/agents/async/chat_async/", json={"message": message})
    return str(answer.json()["task_id"])


async def ask_and_wait(client: httpx.AsyncClient, message: str = "hi") -> str:
    answer = await client.post("/api/agents/tinyllama/chat/", json={"message": message})
    return str(answer.json()["task_id"])


def parse(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    """(id, event, data) of each event in an SSE body."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


async def test_members_list_their_own_and_owners_all(
    owner: httpx.AsyncClient, ada: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    mine, other = await ask_and_wait(ada), await ask_and_wait(bob)
    assert [t["task_id"] for t in (await ada.get("/api/tasks/")).json()["items"]] == [mine]
    everything = (await owner.get("/api/tasks/")).json()
    assert {t["task_id"] for t in everything["items"]} == {mine, other}
    assert everything["next_cursor"] is None


async def test_lists_come_in_pages_and_by_status_and_queue(ada: httpx.AsyncClient) -> None:
    ids = {await ask_and_wait(ada) for _ in range(3)}
    first = (await ada.get("/api/tasks/", params={"limit": 2})).json()
    rest = (await ada.get("/api/tasks/", params={"cursor": first["next_cursor"]})).json()
    assert {t["task_id"] for t in first["items"] + rest["items"]} == ids
    queue = {"status": "completed", "queue": "ai_high_priority"}
    assert len((await ada.get("/api/tasks/", params=queue)).json()["items"]) == 3
    assert (await ada.get("/api/tasks/", params={"status": "failed"})).json()["items"] == []


BAD_QUERIES: Any = ["status=odd", "limit=0", "limit=1000", "limit=x", "cursor=%00%FF"]


async def test_a_bad_query_is_a_bad_request(ada: httpx.AsyncClient) -> None:
    for query in BAD_QUERIES:
        answer = await ada.get(f"/api/tasks/?{query}")
        assert answer.status_code == 400
        assert answer.json()["field"] == query.partition("=")[0]


async def test_cancel_then_retry(ada: httpx.AsyncClient, brain: SmallBrain) -> None:
    task_id = await ask(ada, "please wait")
    cancelled = await ada.post(f"/api/tasks/{task_id}/cancel/")
    assert cancelled.status_code == 200
    for _ in range(100):
        status = (await ada.get(f"/api/tasks/{task_id}/")).json()
        if status["status"] == "cancelled":
            break
        await asyncio.sleep(0.01)
    assert status["status"] == "cancelled"
    brain.worker.release.set()
    await brain.engine.set_queue_limit("ai_high_priority", 0)
    again = await ada.post(f"/api/tasks/{task_id}/retry/")
    assert again.status_code == 200
    assert (again.json()["status"], again.json()["position"]) == ("queued", 1)
    await brain.engine.set_queue_limit("ai_high_priority", 1)
    events = parse((await ada.get(f"/api/tasks/{task_id}/events")).text)
    assert events[-1][1] == "task_completed"


async def test_a_finished_task_is_not_tried_again(ada: httpx.AsyncClient) -> None:
    task_id = await ask_and_wait(ada)
    answer = await ada.post(f"/api/tasks/{task_id}/retry/")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_events_are_replayed_in_order(ada: httpx.AsyncClient) -> None:
    task_id = await ask_and_wait(ada)
    answer = await ada.get(f"/api/tasks/{task_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = parse(answer.text)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [kind for _, kind, _ in events] == [
        "task_started",
        "task_update",
        "agent_routed",
        "sources",
        "token",
        "token",
        "task_completed",
    ]
    for number, kind, data in events:
        assert (data["seq"], data["type"], data["task_id"]) == (number, kind, task_id)
        assert {"attempt", "conversation_id"} <= set(data)
    text = "".join(data["text"] for _, kind, data in events if kind == "token")
    assert text == events[-1][2]["result"]["response"]
    assert "response_html" in events[-1][2]["result"]


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [
        ("", "", 1),
        ("?after=3", "", 4),
        ("", "5", 6),
        ("?after=2", "4", 5),
        ("", "odd", 1),
        ("", "٣", 1),
    ],
)
async def test_events_go_on_from_where_the_client_was(
    ada: httpx.AsyncClient, query: str, header: str, first: int
) -> None:
    task_id = await ask_and_wait(ada)
    headers = [(b"last-event-id", header.encode())]
    events = parse((await ada.get(f"/api/tasks/{task_id}/events{query}", headers=headers)).text)
    assert events[0][0] == first


async def test_events_after_the_last_end_at_once(ada: httpx.AsyncClient) -> None:
    task_id = await ask_and_wait(ada)
    answer = await ada.get(f"/api/tasks/{task_id}/events", params={"after": 10**9})
    assert (answer.status_code, answer.text) == (200, "")


async def test_a_stream_too_many_is_a_429(
    ada: httpx.AsyncClient, brain: SmallBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brain.app.state.permits, "_per_token", 0)
    task_id = await ask(ada, "hi")
    answer = await ada.get(f"/api/tasks/{task_id}/events")
    assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
    assert answer.headers["retry-after"] == "5"


async def test_a_quiet_stream_shows_signs_of_life(
    ada: httpx.AsyncClient, brain: SmallBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def soon(events: Any) -> Any:
        return original(events, 0.01)

    original = tasks_api.with_heartbeat
    monkeypatch.setattr(tasks_api, "with_heartbeat", soon)
    task_id = await ask(ada, "please wait")
    who = brain.principals[brain.members["ada"]]
    permits = StreamPermits(per_token=1)
    stream = tasks_api._sse(brain.services, task_id, who, 0, permits)
    told = b""
    async for part in stream:
        told += part
        if part.startswith(b": "):
            with pytest.raises(Overloaded), permits.hold(who.token_id):
                pytest.fail("the stream holds no permit")
            brain.worker.release.set()
    assert b": still here\n\n" in told
    assert parse(told.decode())[-1][1] == "task_completed"
    with permits.hold(who.token_id):  # given back
        pass
