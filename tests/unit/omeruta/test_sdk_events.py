from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from omeruta import Brain, BrainError, NotFound, NotReachable, ServerError, StillRunning
from omeruta.events import RECONNECTS, ServerSentEvent, follow, parse_sse, split_lines
from omeruta.transport import Transport

UPDATE = {"type": "task_update", "progress": 25, "message": "Searching"}
DONE = {"type": "task_completed", "result": {"response": "ok"}}


def story(*texts: str) -> list[dict[str, Any]]:
    return [UPDATE, *({"type": "token", "text": text} for text in texts), DONE]


def test_lines_end_at_cr_lf_or_both_and_nowhere_else() -> None:
    chunks = [b"a\r", b"\nb\rc\nd\xe2\x80\xa8e\xc3", b"\xa9\x0bf\n", b"rest"]
    assert list(split_lines(chunks)) == ["a", "b", "c", "d\u2028eé\x0bf"]


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(ServerError, match="too large"):
        list(split_lines(b"x" * 1_000_000 for _ in range(10)))


def test_messages_are_read_as_the_standard_says() -> None:
    lines = [
        ": a comment", "",
        "id: 7", "event: token", 'data: {"a":', "data: 1}", "",
        "data:no space", "",
        "event: never sent", "",
        "data: unfinished",
    ]  # fmt: skip
    assert list(parse_sse(lines)) == [
        ServerSentEvent('{"a":\n1}', "token", "7"),
        ServerSentEvent("no space", "message", "7"),
    ]


@pytest.mark.parametrize("clean_cuts", [False, True])
def test_a_broken_stream_goes_on_where_it_was(
    stand_in: Any, no_pauses: list[float], clean_cuts: bool
) -> None:
    stand_in.task("t1", story("one ", "two ", "three\u2028"))
    stand_in.breaks, stand_in.clean_cuts = [2, 0, 1], clean_cuts
    with Brain(stand_in.url, "token") as brain:
        events = list(brain.events("t1"))
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert "".join(event.text for event in events) == "one two three\u2028"
    asked = [s.headers["Last-Event-ID"] for s in stand_in.seen]
    assert asked == ["0", "2", "2", "3"]


def test_events_that_come_twice_are_told_once(stand_in: Any, no_pauses: list[float]) -> None:
    stand_in.task("t1", story("a"))
    stand_in.events["t1"].insert(2, stand_in.events["t1"][0])
    with Brain(stand_in.url, "token") as brain:
        assert [event.seq for event in brain.events("t1")] == [1, 2, 3]


def test_an_event_carries_what_its_type_brings(stand_in: Any) -> None:
    quote = {"n": 1, "title": "T", "url": "http://x.test/", "quote": "q", "score": 0.5}
    stand_in.task("t1", [{"type": "sources", "sources": [quote]}, DONE])
    with Brain(stand_in.url, "token") as brain:
        first, last = brain.events("t1")
    assert first.sources[0].quote == "q"
    assert (first.task_id, first.attempt, first.conversation_id) == ("t1", 1, "c1")
    assert last.is_last
    assert last.data["result"] == {"response": "ok"}


def test_following_can_start_after_a_number(stand_in: Any) -> None:
    stand_in.task("t1", story("a", "b"))
    with Brain(stand_in.url, "token") as brain:
        assert [event.seq for event in brain.events("t1", after=2)] == [3, 4]


def status(state: str, seq: int, **more: Any) -> dict[str, Any]:
    return {"task_id": "t1", "status": state, "progress": 0, "attempt": 1, "last_seq": seq, **more}


def test_without_a_stream_the_status_is_polled(stand_in: Any, no_pauses: list[float]) -> None:
    stand_in.streams = False
    path = ("GET", "/api/tasks/t1/")
    stand_in.on(*path, status("queued", 1))
    stand_in.on(*path, status("queued", 1))
    stand_in.on(*path, status("processing", 3, progress=40, message="Reading"))
    stand_in.on(*path, status("completed", 9, progress=100, result={"response": "ok"}))
    with Brain(stand_in.url, "token") as brain:
        events = list(brain.events("t1"))
    assert [(e.type, e.seq) for e in events] == [
        ("task_update", 1),
        ("task_update", 3),
        ("task_completed", 9),
    ]
    assert events[-1].data["result"] == {"response": "ok"}
    assert len(no_pauses) == 3
    assert all(0.9 <= pause <= 3.3 for pause in no_pauses)


def test_a_stream_that_never_lasts_falls_back_to_polling(
    stand_in: Any, no_pauses: list[float]
) -> None:
    stand_in.task("t1", story("a"))
    stand_in.breaks = [0] * (RECONNECTS + 1)
    stand_in.on("GET", "/api/tasks/t1/", status("completed", 3, result={"response": "ok"}))
    with Brain(stand_in.url, "token") as brain:
        events = list(brain.events("t1"))
    assert [event.type for event in events] == ["task_completed"]
    assert len(stand_in.calls("GET", "/api/tasks/t1/events")) == RECONNECTS + 1
    assert max(no_pauses) <= 5.0


def test_an_unknown_task_is_not_found(stand_in: Any, no_pauses: list[float]) -> None:
    stand_in.streams = False
    with Brain(stand_in.url, "token") as brain, pytest.raises(NotFound):
        list(brain.events("nothing"))


def test_waiting_ends_in_time_and_names_the_task(stand_in: Any, no_pauses: list[float]) -> None:
    stand_in.streams = False
    stand_in.on("GET", "/api/tasks/t1/", status("processing", 1))
    with Brain(stand_in.url, "token") as brain, pytest.raises(StillRunning) as caught:
        list(brain.events("t1", timeout=0))
    assert caught.value.task_id == "t1"
    assert "omeruta tasks show t1" in str(caught.value)


def test_a_brain_that_stays_away_is_told(no_pauses: list[float]) -> None:
    with Brain("http://127.0.0.1:1", "token") as brain, pytest.raises(NotReachable):
        list(brain.events("t1"))
    assert len(no_pauses) == RECONNECTS + 1


def test_a_stopped_reader_closes_its_connection(stand_in: Any) -> None:
    stand_in.task("t1", story("a", "b", "c"))
    with Brain(stand_in.url, "token") as brain:
        events = brain.events("t1")
        assert next(events).seq == 1
        events.close()  # type: ignore[attr-defined]
        assert list(events) == []


def over_wire(turns: list[httpx.Response | Exception]) -> tuple[Transport, list[str]]:
    """A transport whose event stream answers with each turn once; the task's status is always there."""
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, json=status("processing", 1))
        turn = turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn

    return Transport("http://127.0.0.1", "t", transport=httpx.MockTransport(handler)), asked


def stream(*events: dict[str, Any]) -> httpx.Response:
    body = "".join(f"data: {json.dumps({'task_id': 't1', **event})}\n\n" for event in events)
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body)


def test_silence_is_asked_after_and_is_no_failure(no_pauses: list[float]) -> None:
    turns: list[httpx.Response | Exception] = [httpx.ReadTimeout("")] * (RECONNECTS + 5)
    http, asked = over_wire([*turns, stream({**DONE, "seq": 1})])
    assert [event.type for event in follow(http, "t1")] == ["task_completed"]
    assert asked.count("/api/tasks/t1/") == RECONNECTS + 5


def test_a_brain_that_restarts_is_waited_for(no_pauses: list[float]) -> None:
    away = httpx.Response(503, json={"error": "Starting."})
    busy = httpx.Response(429, json={"error": "Please slow down."})
    http, _ = over_wire([away, busy, stream({**DONE, "seq": 1})])
    assert [event.seq for event in follow(http, "t1")] == [1]
    assert no_pauses == [0.5, 1.0]


def test_a_proxy_without_a_replica_behind_it_is_asked_again(no_pauses: list[float]) -> None:
    http, _ = over_wire([httpx.Response(500, text="Internal"), stream({**DONE, "seq": 1})])
    assert [event.seq for event in follow(http, "t1")] == [1]
    assert len(no_pauses) == 1


@pytest.mark.parametrize("code", [401, 403, 500])
def test_a_refusal_is_raised_at_once(no_pauses: list[float], code: int) -> None:
    http, asked = over_wire([httpx.Response(code, json={"error": "No.", "code": "no"})])
    with pytest.raises(BrainError, match=r"No\."):
        list(follow(http, "t1"))
    assert len(asked) == 1


@pytest.mark.parametrize("body", ["data: {broken\n\n", "data: [1]\n\n"])
def test_an_event_that_cannot_be_read_is_told(no_pauses: list[float], body: str) -> None:
    garbled = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=body)
    http, _ = over_wire([garbled])
    with pytest.raises(ServerError, match="cannot be read"):
        list(follow(http, "t1"))


def test_what_is_no_event_stream_is_polled_instead(no_pauses: list[float]) -> None:
    http, _ = over_wire([httpx.Response(200, html="<p>a proxy's page</p>")])
    assert next(follow(http, "t1")).type == "task_update"
