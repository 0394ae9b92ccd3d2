"""Contract sections 2 to 4: questions in, tasks and results out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve_app.api.fake import SmallBrain, small_brain
from serve_app.settings import TaskSettings

SUBMITS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "chat_async",
        {"message": " When? "},
        "chat",
        {"message": "When?", "use_context": True},
    ),
    (
        "multiagent_async",
        {"query": "When?"},
        "multiagent",
        {"query": "When?", "agent_type": "auto"},
    ),
    (
        "research_topic",
        {"topic": "ferries"},
        "research",
        {"topic": "ferries", "expand_knowledge": True, "max_sources": 5},
    ),
    (
        "analyze_content",
        {"urls": ["https://a.example/x"]},
        "analyze",
        {"urls": ["https://a.example/x"], "analysis_type": "comparison"},
    ),
    ("expand_knowledge", {"topic": "ferries"}, "expand", {"topic": "ferries", "max_urls": 5}),
]


async def final_status(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    for _ in range(200):
        status: dict[str, Any] = (await client.get(f"/api/agents/async/status/{task_id}/")).json()
        if status["status"] in ("completed", "failed", "cancelled"):
            return status
        await asyncio.sleep(0.01)
    raise AssertionError(f"never finished: {status}")


@pytest.mark.parametrize(("name", "body", "kind", "args"), SUBMITS)
async def test_a_submit_answers_at_once_with_a_task(
    ada: httpx.AsyncClient,
    brain: SmallBrain,
    name: str,
    body: dict[str, Any],
    kind: str,
    args: dict[str, Any],
) -> None:
    answer = await ada.post(f"/api/agents/async/{name}/", json=body)
    told = answer.json()
    assert answer.status_code == 202
    assert told["status"] == "processing"
    assert told["message"]
    assert told["check_status_url"] == f"/api/agents/async/status/{told['task_id']}/"
    status = await final_status(ada, told["task_id"])
    assert (status["status"], status["progress"], status["kind"]) == ("completed", 100, kind)
    assert status["result"]["task_id"] == told["task_id"]
    assert status["result"]["response_html"] == "<p>At <strong>nine</strong> [1].</p>\n"
    assert brain.worker.seen[-1].args == args


async def test_the_status_of_a_waiting_task_has_its_place(
    ada: httpx.AsyncClient, brain: SmallBrain
) -> None:
    await brain.engine.set_queue_limit("ai_high_priority", 0)
    ids = []
    for _ in range(2):
        answer = await ada.post("/api/agents/async/chat_async/", json={"message": "hi"})
        ids.append(answer.json()["task_id"])
    status = (await ada.get(f"/api/agents/async/status/{ids[1]}/")).json()
    assert status["status"] == "queued"
    assert status["position"] == 2
    assert status["result"] is None


async def test_chat_waits_for_the_result(ada: httpx.AsyncClient, brain: SmallBrain) -> None:
    answer = await ada.post(
        "/api/agents/tinyllama/chat/", json={"message": "When?", "max_tokens": 20}
    )
    assert answer.status_code == 200
    result = answer.json()
    assert result["response"] == "At **nine** [1]."
    assert result["processed_async"] is False
    assert result["sources"][0]["n"] == 1
    assert brain.worker.seen[-1].args["max_tokens"] == 20


async def test_a_failed_chat_answers_with_the_tasks_error(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/agents/tinyllama/chat/", json={"message": "please fail"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "The script says to fail.", "code": "bad_request"}


async def test_a_cancelled_chat_says_so(ada: httpx.AsyncClient, brain: SmallBrain) -> None:
    asked = asyncio.ensure_future(
        ada.post("/api/agents/tinyllama/chat/", json={"message": "please wait"})
    )
    await brain.worker.begun.wait()
    task_id = brain.worker.seen[0].task_id
    cancelled = await ada.post(f"/api/tasks/{task_id}/cancel/")
    assert cancelled.status_code == 200
    answer = await asked
    assert (answer.status_code, answer.json()["code"]) == (409, "cancelled")


async def test_a_chat_that_waits_too_long_says_where_to_ask(
    tmp_path: Path,
) -> None:
    async with small_brain(tmp_path, tasks=TaskSettings(hard_limit=0.1)) as brain:
        await brain.engine.set_queue_limit("ai_high_priority", 0)
        headers = {"Authorization": f"Bearer {brain.owner}"}
        transport = httpx.ASGITransport(brain.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as client:
            answer = await client.post("/api/agents/tinyllama/chat/", json={"message": "hi"})
            assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
            address = answer.json()["error"].rpartition(" ")[2].rstrip(".")
            assert (await client.get(address)).json()["status"] == "queued"


async def test_a_caller_who_hangs_up_loses_nothing(
    ada: httpx.AsyncClient, brain: SmallBrain
) -> None:
    asked = asyncio.ensure_future(
        ada.post("/api/agents/tinyllama/chat/", json={"message": "please wait"})
    )
    await brain.worker.begun.wait()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    brain.worker.release.set()
    status = await final_status(ada, brain.worker.seen[0].task_id)
    assert status["status"] == "completed"


@pytest.mark.parametrize("url", ["/api/agents/async/chat_async/", "/api/agents/tinyllama/chat/"])
async def test_the_same_key_answers_with_the_same_task(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, url: str
) -> None:
    headers = {"Idempotency-Key": "k1"}
    body = {"message": "hi"}
    first = (await ada.post(url, json=body, headers=headers)).json()["task_id"]
    again = (await ada.post(url, json=body, headers=headers)).json()["task_id"]
    other = (await bob.post(url, json=body, headers=headers)).json()["task_id"]
    assert first == again != other


async def test_a_conversation_goes_on(ada: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    url = "/api/agents/tinyllama/chat/"
    talk = (await ada.post(url, json={"message": "one"})).json()["conversation_id"]
    again = await ada.post(url, json={"message": "two", "conversation_id": talk})
    assert again.json()["conversation_id"] == talk
    foreign = await bob.post(url, json={"message": "three", "conversation_id": talk})
    unknown = await bob.post(url, json={"message": "three", "conversation_id": "none"})
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json() == unknown.json()


BAD: list[tuple[str, Any, str]] = [
    ("tinyllama/chat", {}, "message"),
    ("tinyllama/chat", {"message": "x", "max_tokens": 0}, "max_tokens"),
    ("tinyllama/chat", {"message": "x", "max_tokens": "many"}, "max_tokens"),
    ("async/chat_async", {}, "message"),
    ("async/chat_async", {"message": ""}, "message"),
    ("async/chat_async", {"message": " \n\t "}, "message"),
    ("async/chat_async", {"message": None}, "message"),
    ("async/chat_async", {"message": 5}, "message"),
    ("async/chat_async", {"message": ["x"]}, "message"),
    ("async/chat_async", {"message": "x", "more": 1}, "more"),
    ("async/chat_async", {"message": "x", "conversation_id": "../x"}, "conversation_id"),
    ("async/chat_async", {"message": "x", "use_context": "perhaps"}, "use_context"),
    ("async/multiagent_async", {"message": "x"}, "query"),
    ("async/multiagent_async", {"query": "x", "agent_type": "spy"}, "agent_type"),
    ("async/research_topic", {"topic": ""}, "topic"),
    ("async/research_topic", {"topic": "x", "max_sources": 1000}, "max_sources"),
    ("async/analyze_content", {}, "urls"),
    ("async/analyze_content", {"urls": []}, "urls"),
    ("async/analyze_content", {"urls": "https://a.example"}, "urls"),
    ("async/analyze_content", {"urls": ["https://a.example"] * 21}, "urls"),
    ("async/analyze_content", {"urls": ["ftp://a.example"]}, "urls.0"),
    ("async/analyze_content", {"urls": ["https://a.example", ""]}, "urls.1"),
    ("async/analyze_content", {"urls": ["https://["]}, "urls.0"),
    (
        "async/analyze_content",
        {"urls": ["https://a.example"], "analysis_type": "x"},
        "analysis_type",
    ),
    ("async/expand_knowledge", {"topic": " "}, "topic"),
    ("async/expand_knowledge", {"topic": "x", "max_urls": -1}, "max_urls"),
]


async def test_a_bad_body_is_named(ada: httpx.AsyncClient, brain: SmallBrain) -> None:
    for path, body, field in BAD:
        answer = await ada.post(f"/api/agents/{path}/", json=body)
        told = answer.json()
        assert answer.status_code == 400, (path, body)
        assert (told["field"], told["code"]) == (field, "bad_request"), (path, body)
        assert f"'{field}'" in told["error"]
    assert not brain.worker.seen


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("async/chat_async", "message"),
        ("async/multiagent_async", "query"),
        ("async/research_topic", "topic"),
        ("async/expand_knowledge", "topic"),
    ],
)
async def test_an_overlong_text_is_too_large(ada: httpx.AsyncClient, path: str, field: str) -> None:
    answer = await ada.post(f"/api/agents/{path}/", json={field: "x" * 8001})
    assert answer.status_code == 413
    assert answer.json()["field"] == field
