"""Contract section 5: the WebSocket, action by action and event by event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from serve_app.api import stream
from serve_app.api.fake import SmallBrain, SocketClient, small_brain
from serve_app.domain.errors import Unavailable
from serve_app.domain.tasks import TaskEvent
from serve_app.settings import LimitSettings


@pytest.fixture
async def socket(brain: SmallBrain) -> AsyncIterator[SocketClient]:
    client = brain.socket(brain.members["ada"])
    assert (await client.open())["type"] == "websocket.accept"
    yield client
    await client.close()


async def closed_with(client: SocketClient) -> int:
    """The close code that follows an accepted handshake."""
    assert (await client.open())["type"] == "websocket.accept"
    message = await client.next()
    await client.ended()
    assert message["type"] == "websocket.close", message
    return int(message["code"])


async def test_the_subprotocol_pair_lets_a_browser_in(brain: SmallBrain) -> None:
    pair = f"bearer, {brain.members['ada']}"
    client = brain.socket(sec_websocket_protocol=pair, origin="http://localhost:8000")
    answer = await client.open()
    assert (answer["type"], answer["subprotocol"]) == ("websocket.accept", "bearer")
    await client.close()


@pytest.mark.parametrize("pair", ["", "bearer", "bearer, wrong", "bearer, a, b", "chat"])
async def test_without_a_valid_token_nothing_is_said_but_4401(brain: SmallBrain, pair: str) -> None:
    headers = {"sec_websocket_protocol": pair} if pair else {}
    client = brain.socket(**headers)
    assert await closed_with(client) == 4401
    assert client.sent.empty()


async def test_another_sites_page_is_not_let_in(brain: SmallBrain) -> None:
    client = brain.socket(brain.members["ada"], origin="https://evil.example")
    assert (await client.open())["type"] == "websocket.close"
    await client.ended()


async def test_a_foreign_host_name_is_not_let_in(brain: SmallBrain) -> None:
    client = brain.socket(brain.members["ada"], host="evil.example")
    assert (await client.open())["type"] == "websocket.close"
    await client.ended()


async def test_a_chat_from_start_to_end(socket: SocketClient) -> None:
    socket.say({"action": "start_chat", "message": "When?", "ref": "r1"})
    told = await socket.until("task_completed")
    assert [m["type"] for m in told] == [
        "task_started",
        "task_update",
        "agent_routed",
        "sources",
        "token",
        "token",
        "task_completed",
    ]
    assert told[0]["ref"] == "r1"
    assert told[0]["message"]
    assert [m["seq"] for m in told] == list(range(1, len(told) + 1))
    assert len({(m["task_id"], m["conversation_id"]) for m in told}) == 1
    assert {m["attempt"] for m in told[1:]} == {1}
    assert told[1]["status"] == "processing"
    assert (told[2]["selected_agent"], told[2]["confidence"]) == ("qa", 0.8)
    assert told[3]["sources"][0]["quote"]
    assert "".join(m["text"] for m in told[4:6]) == told[6]["result"]["response"]
    assert "<strong>" in told[6]["result"]["response_html"]


@pytest.mark.parametrize(
    ("message", "kind", "args"),
    [
        (
            {"action": "start_chat", "message": "hi", "agent_type": "general"},
            "multiagent",
            {"query": "hi", "agent_type": "general", "use_context": True},
        ),
        (
            {"action": "start_research", "topic": "ferries", "max_sources": 2},
            "research",
            {"topic": "ferries", "expand_knowledge": True, "max_sources": 2},
        ),
        (
            {
                "action": "analyze_content",
                "urls": ["https://a.example"],
                "analysis_type": "summary",
            },
            "analyze",
            {"urls": ["https://a.example"], "analysis_type": "summary"},
        ),
    ],
)
async def test_each_start_is_its_kind_of_task(
    socket: SocketClient, brain: SmallBrain, message: Any, kind: str, args: dict[str, Any]
) -> None:
    socket.say(message)
    await socket.until("task_completed")
    assert (brain.worker.seen[0].kind, dict(brain.worker.seen[0].args)) == (kind, args)


async def test_many_tasks_share_a_socket(socket: SocketClient) -> None:
    for n in range(5):
        socket.say({"action": "start_chat", "message": f"q{n}", "ref": str(n)})
    told: list[dict[str, Any]] = []
    while sum(m["type"] == "task_completed" for m in told) < 5:
        told.append(await socket.hear())
    starts = [m for m in told if m["type"] == "task_started"]
    assert [m["ref"] for m in starts] == ["0", "1", "2", "3", "4"]
    for start in starts:
        mine = [m["seq"] for m in told if m["task_id"] == start["task_id"]]
        assert mine == list(range(1, len(mine) + 1))


async def test_the_same_key_goes_on_with_the_same_task(socket: SocketClient) -> None:
    message = {"action": "start_chat", "message": "hi", "idempotency_key": "k"}
    socket.say(message)
    first = await socket.until("task_completed")
    socket.say(message)
    again = await socket.until("task_completed")
    assert [m["seq"] for m in again] == [m["seq"] for m in first]
    assert again[0]["task_id"] == first[0]["task_id"]


async def test_checking_and_cancelling(socket: SocketClient) -> None:
    socket.say({"action": "start_chat", "message": "please wait"})
    told = await socket.until("task_update")
    task_id = told[0]["task_id"]
    socket.say({"action": "check_task", "task_id": task_id, "ref": "c"})
    status = (await socket.until("task_status"))[-1]
    assert (status["status"], status["task_id"], status["ref"]) == ("processing", task_id, "c")
    socket.say({"action": "cancel_task", "task_id": task_id})
    ends = {(await socket.until("task_status", "task_cancelled"))[-1]["type"] for _ in range(2)}
    assert ends == {"task_status", "task_cancelled"}


async def test_a_failure_is_told_in_words(socket: SocketClient) -> None:
    socket.say({"action": "start_chat", "message": "please fail"})
    last = (await socket.until("task_failed"))[-1]
    assert last["error"] == "The script says to fail."


async def test_a_lost_connection_loses_no_event(brain: SmallBrain) -> None:
    first = brain.socket(brain.members["ada"])
    await first.open()
    first.say({"action": "start_chat", "message": "please wait"})
    seen = [await first.hear() for _ in range(3)]
    await first.close()
    brain.worker.release.set()
    second = brain.socket(brain.members["ada"])
    await second.open()
    task_id = seen[0]["task_id"]
    second.say({"action": "subscribe", "task_id": task_id, "after": seen[-1]["seq"]})
    rest = await second.until("task_completed")
    numbers = [m["seq"] for m in seen + rest]
    assert numbers == list(range(1, len(numbers) + 1))
    second.say({"action": "subscribe", "task_id": task_id})
    assert [m["seq"] for m in await second.until("task_completed")] == numbers
    await second.close()


@pytest.mark.parametrize("action", ["check_task", "cancel_task", "subscribe"])
async def test_a_foreign_task_is_unknown(
    socket: SocketClient, brain: SmallBrain, action: str
) -> None:
    bob = brain.socket(brain.members["bob"])
    await bob.open()
    bob.say({"action": "start_chat", "message": "please wait"})
    foreign = (await bob.hear())["task_id"]
    answers = []
    for task_id in (foreign, "unknown"):
        socket.say({"action": action, "task_id": task_id})
        answers.append(await socket.hear())
    assert answers[0] == answers[1]
    assert (answers[0]["type"], answers[0]["code"]) == ("error", "not_found")
    await bob.close()


BAD: list[tuple[Any, str | None]] = [
    ("not json", None),
    ("", None),
    ("[" * 100_000, None),
    ("[]", None),
    ("null", None),
    ({}, "action"),
    ({"action": "dance"}, "action"),
    ({"action": ["start_chat"]}, "action"),
    ({"action": "start_chat"}, "message"),
    ({"action": "start_chat", "message": " "}, "message"),
    ({"action": "start_chat", "message": "x" * 9000}, "message"),
    ({"action": "start_chat", "message": "x", "max_tokens": 3}, "max_tokens"),
    ({"action": "start_chat", "message": "x", "agent_type": "spy"}, "agent_type"),
    ({"action": "start_chat", "message": "x", "ref": 5}, "ref"),
    ({"action": "start_research", "topic": None}, "topic"),
    ({"action": "analyze_content", "urls": ["x"]}, "urls.0"),
    ({"action": "check_task"}, "task_id"),
    ({"action": "subscribe", "task_id": "x", "after": -1}, "after"),
    ({"action": "subscribe", "task_id": "x", "after": 1e300}, "after"),
    ("x" * 1_000_001, None),
]


async def test_a_bad_message_leaves_the_socket_open(socket: SocketClient) -> None:
    for message, field in BAD:
        socket.say(message)
        told = await socket.hear()
        shown = str(message)[:80]
        assert told["type"] == "error", shown
        assert told["message"], shown
        assert told.get("field") == field, shown
    socket.say({"action": "start_chat", "message": "hi"})
    await socket.until("task_completed")


async def test_bytes_are_a_bad_message(socket: SocketClient) -> None:
    socket.say_bytes(b"\x00\x01")
    assert (await socket.hear())["type"] == "error"


async def test_an_error_names_the_ref_it_answers(socket: SocketClient) -> None:
    socket.say({"action": "start_chat", "ref": "r9"})
    told = await socket.hear()
    assert (told["ref"], told["field"]) == ("r9", "message")


async def test_a_socket_follows_a_bounded_number_of_tasks(
    socket: SocketClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_SUBSCRIPTIONS", 1)
    socket.say({"action": "start_chat", "message": "please wait"})
    await socket.until("task_update")
    socket.say({"action": "start_chat", "message": "more"})
    assert (await socket.until("error"))[-1]["code"] == "overloaded"


async def test_messages_are_bounded_in_number(tmp_path: Path) -> None:
    limits = LimitSettings(requests_per_minute=3)
    async with small_brain(tmp_path, limits=limits) as brain:
        client = brain.socket(brain.owner)
        await client.open()
        for _ in range(3):
            client.say({"action": "check_task", "task_id": "x"})
        codes = [(await client.hear())["code"] for _ in range(3)]
        assert codes == ["not_found", "not_found", "overloaded"]
        await client.close()


async def test_a_client_that_takes_nothing_is_let_go_and_holds_up_nobody(
    brain: SmallBrain, socket: SocketClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SEND_PATIENCE", 0.1)
    monkeypatch.setattr(stream, "CLOSE_PATIENCE", 0.1)
    slow = brain.socket(brain.members["bob"])
    await slow.open()
    slow.taking.clear()
    slow.say({"action": "start_chat", "message": "hi"})
    socket.say({"action": "start_chat", "message": "hi"})
    await socket.until("task_completed")
    await slow.ended()
    socket.say({"action": "start_chat", "message": "again"})
    await socket.until("task_completed")


async def test_a_deleted_token_closes_its_sockets(
    brain: SmallBrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "TOKEN_CHECK", 0.02)
    token = brain.members["bob"]
    client = brain.socket(token)
    await client.open()
    who = brain.principals[token]
    await brain.engine.delete_token(who, who.token_id)
    brain.app.state.gate.forget()
    message = await client.next()
    assert (message["type"], message["code"]) == ("websocket.close", 4401)
    await client.ended()


async def test_a_deleted_token_is_noticed_at_the_next_action(brain: SmallBrain) -> None:
    token = brain.members["bob"]
    client = brain.socket(token)
    await client.open()
    who = brain.principals[token]
    await brain.engine.delete_token(who, who.token_id)
    brain.app.state.gate.forget()
    client.say({"action": "check_task", "task_id": "x"})
    assert (await client.next())["code"] == 4401
    await client.ended()


async def test_sockets_are_bounded_per_token(
    brain: SmallBrain, socket: SocketClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brain.app.state.permits, "_per_token", 1)
    assert await closed_with(brain.socket(brain.members["ada"])) == 1013
    bob = brain.socket(brain.members["bob"])
    await bob.open()
    await bob.close()


async def test_events_go_on_after_the_ledger_was_away(
    brain: SmallBrain, socket: SocketClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = brain.engine.events
    calls: list[int] = []

    async def flaky(task_id: str, who: Any, after: int = 0) -> AsyncIterator[TaskEvent]:
        calls.append(after)
        async for event in original(task_id, who, after):
            yield event
            if len(calls) < 3 and event.seq >= 2:
                raise Unavailable("The ledger is restarting.")

    monkeypatch.setattr(brain.engine, "events", flaky)
    monkeypatch.setattr("serve_app.api.follow.FIRST_DELAY", 0.01)
    socket.say({"action": "start_chat", "message": "hi"})
    told = await socket.until("task_completed")
    assert [m["seq"] for m in told] == list(range(1, len(told) + 1))
    assert calls == [0, 2, 3]


async def test_a_ledger_that_stays_away_is_told(
    brain: SmallBrain, socket: SocketClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(task_id: str, who: Any, after: int = 0) -> AsyncIterator[TaskEvent]:
        raise Unavailable("The ledger is away.")
        yield

    monkeypatch.setattr("serve_app.api.follow.RETRIES", 1)
    monkeypatch.setattr("serve_app.api.follow.FIRST_DELAY", 0.01)
    socket.say({"action": "start_chat", "message": "please wait"})
    task_id = (await socket.until("task_update"))[0]["task_id"]
    monkeypatch.setattr(brain.engine, "events", away)
    socket.say({"action": "subscribe", "task_id": task_id})
    told = (await socket.until("error"))[-1]
    assert (told["code"], told["task_id"]) == ("unavailable", task_id)


@pytest.mark.parametrize("place", ["events", "get"])
async def test_a_fault_inside_closes_the_socket_with_its_trace_logged(
    brain: SmallBrain,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    client = brain.socket(brain.members["ada"])
    await client.open()
    client.say({"action": "start_chat", "message": "please wait"})
    task_id = (await client.until("task_update"))[0]["task_id"]
    while not client.sent.empty():
        await client.hear()
    monkeypatch.setattr(brain.engine, place, broken)
    with caplog.at_level(logging.ERROR, "serve_app.api.stream"):
        client.say({"action": "subscribe", "task_id": task_id})
        message = await client.next()
        while message["type"] == "websocket.send":
            message = await client.next()
    assert message["code"] == 1011
    assert "ZeroDivisionError" in caplog.text
    await client.ended()


async def test_hanging_up_leaves_nothing_behind(brain: SmallBrain) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(5):
        client = brain.socket(brain.members["ada"])
        await client.open()
        client.say({"action": "start_chat", "message": "please wait"})
        await client.hear()
        await client.close()
    who = brain.principals[brain.owner]
    running, _ = await brain.engine.list_tasks(who)
    brain.worker.release.set()
    for task in running:
        async for event in brain.engine.events(task.id, who):
            if event.is_last:
                break
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) <= before
