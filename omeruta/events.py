"""A task's events, in order and without a gap, over connections that break.

Server-sent events (WHATWG HTML, section 9.2) with `Last-Event-ID` on every reconnect; where they
cannot be had, the status is polled from 1 s, growing by a tenth to 3 s, with jitter.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from omeruta.errors import BrainError, NotReachable, Overloaded, ServerError, StillRunning
from omeruta.models import Event, Task
from omeruta.transport import Transport, passing

RECONNECTS = 8  # in a row without a new event; with the pauses below, half a minute
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
FIRST_POLL, POLL_GROWTH, LONGEST_POLL = 1.0, 1.1, 3.0
MAX_LINE = 8_000_000  # bytes
_NO_STREAM = (404, 405, 406, 501)


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    data: str
    event: str = "message"
    id: str = ""


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines ended by CR, LF or both. Not `str.splitlines`: that cuts JSON at U+2028 and its like."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        # A CR at the end of a chunk may be half of a CRLF: it waits for the next chunk.
        held = b"\r" if rest.endswith(b"\r") else b""
        whole = rest[: len(rest) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = whole.split(b"\n")
        rest += held
        if len(rest) > MAX_LINE:
            raise ServerError("The brain sent an event that is too large.")
        for line in lines:
            yield line.decode("utf-8", errors="replace")


def parse_sse(lines: Iterable[str]) -> Iterator[ServerSentEvent]:
    """Messages of an event stream. One without its closing blank line is dropped, as the standard asks."""
    data: list[str] = []
    kind, last_id = "message", ""
    for line in lines:
        if not line:
            if data:
                yield ServerSentEvent("\n".join(data), kind, last_id)
            data, kind = [], "message"
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id":
            last_id = value


def event_of(wire: Any, *, type_: str = "", seq: int = 0) -> Event:
    """An event from its JSON; `type_` and `seq` stand in where the JSON does not say."""
    if not isinstance(wire, dict):
        raise ServerError("The brain sent an event that cannot be read.")
    wire = {"type": type_, "seq": seq, **wire}
    known = ("type", "task_id", "seq", "attempt", "conversation_id")
    return Event.from_wire(wire, data={k: v for k, v in wire.items() if k not in known})


@dataclass(frozen=True, slots=True)
class _Deadline:
    task_id: str
    at: float | None  # on the monotonic clock

    def check(self) -> None:
        if self.at is not None and time.monotonic() >= self.at:
            raise StillRunning(
                f"Task {self.task_id} is not done yet. It goes on; look again with "
                f"`omeruta tasks show {self.task_id}`.",
                task_id=self.task_id,
                code="still_running",
            )


def follow(
    http: Transport, task_id: str, *, after: int = 0, timeout: float | None = None
) -> Iterator[Event]:
    """Every event after number `after`, until the task's last one.

    Raises StillRunning once `timeout` seconds have passed (looked at between events), NotReachable
    when the brain stays away, and the brain's own errors.
    """
    deadline = _Deadline(task_id, None if timeout is None else time.monotonic() + timeout)
    seen, broken = after, 0
    while broken <= RECONNECTS:
        try:
            for event in _connection(http, task_id, seen):
                if event.seq <= seen:
                    continue
                seen, broken = event.seq, 0
                yield event
                if event.is_last:
                    return
                deadline.check()
        except (NotReachable, Overloaded, ServerError) as error:
            if error.status in _NO_STREAM:
                break
            if error.code == "timeout":
                http.get(f"/api/tasks/{task_id}/")  # silent, but there? otherwise this raises
                broken -= 1
            elif not _may_pass(error):
                raise
        except BrainError as error:
            if error.status not in _NO_STREAM:
                raise
            break
        deadline.check()
        http.sleep(min(FIRST_PAUSE * 2**broken, LONGEST_PAUSE))
        broken += 1
    yield from _poll(http, task_id, deadline)


def _may_pass(error: BrainError) -> bool:
    return isinstance(error, (NotReachable, Overloaded)) or passing(error)


def _connection(http: Transport, task_id: str, after: int) -> Iterator[Event]:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    with http.stream("GET", f"/api/tasks/{task_id}/events", headers=headers) as response:
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise ServerError("There is no event stream.", status=501)
        for message in parse_sse(split_lines(response.iter_bytes())):
            try:
                wire = json.loads(message.data)
            except json.JSONDecodeError as error:
                raise ServerError("The brain sent an event that cannot be read.") from error
            number = int(message.id) if message.id.isdigit() else 0
            yield event_of(wire, type_=message.event, seq=number)


def _poll(http: Transport, task_id: str, deadline: _Deadline) -> Iterator[Event]:
    """The same story told by status alone: an update whenever something moved, and the end."""
    told: Task | None = None
    pause = FIRST_POLL
    while True:
        wire = http.get(f"/api/tasks/{task_id}/")
        task = Task.from_wire(wire)
        if task.is_final:
            yield event_of({**wire, "type": f"task_{task.status}", "seq": task.last_seq})
            return
        if task != told:
            yield event_of({**wire, "type": "task_update", "seq": task.last_seq})
            told = task
        deadline.check()
        http.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - spreads clients, guards nothing
        pause = min(pause * POLL_GROWTH, LONGEST_POLL)
