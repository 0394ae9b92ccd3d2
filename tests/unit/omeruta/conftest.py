"""A stand-in brain on loopback: fixed answers, and event streams that break where a test says so."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from omeruta.transport import Transport

Reply = tuple[int, Any]


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class StandIn:
    """`answers`: (method, path without query) -> replies in turn, the last one for ever.

    `events`: task id -> events, each with its `seq`. `breaks`: after how many events each successive
    connection to an event stream is cut; connections after those run to the end.
    """

    url: str = ""
    answers: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    clean_cuts: bool = False  # cut streams end politely instead of breaking off
    streams: bool = True
    seen: list[Seen] = field(default_factory=list)

    def on(self, method: str, path: str, body: Any = None, status: int = 200) -> None:
        self.answers.setdefault((method, path), []).append((status, body))

    def task(self, task_id: str, events: list[dict[str, Any]]) -> None:
        """Events without `seq`, `task_id` and `attempt` get them."""
        self.events[task_id] = [
            {"task_id": task_id, "attempt": 1, "conversation_id": "c1", "seq": n, **event}
            for n, event in enumerate(events, 1)
        ]

    def calls(self, method: str, path: str) -> list[Seen]:
        return [s for s in self.seen if (s.method, s.path.partition("?")[0]) == (method, path)]

    def reply(self, method: str, path: str) -> Reply:
        replies = self.answers.get((method, path))
        if not replies:
            return 404, {"error": f"There is nothing at {path}.", "code": "not_found"}
        return replies.pop(0) if len(replies) > 1 else replies[0]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that hung up
            super().handle_error(request, client_address)


def _handler(brain: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            brain.seen.append(Seen(self.command, self.path, dict(self.headers), body))
            path = self.path.partition("?")[0]
            if path.endswith("/events") and brain.streams:
                self._stream(path.split("/")[-2])
                return
            status, answer = brain.reply(self.command, path)
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _stream(self, task_id: str) -> None:
            cut = brain.breaks.pop(0) if brain.breaks else None
            after = int(self.headers.get("Last-Event-ID") or 0)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            left = [e for e in brain.events[task_id] if e["seq"] > after]
            for event in left[:cut]:
                data = json.dumps(event, ensure_ascii=False)
                self._chunk(
                    f"id: {event['seq']}\nevent: {event['type']}\ndata: {data}\n\n".encode()
                )
            if cut is None or brain.clean_cuts:
                self._chunk(b"")
            self.close_connection = True

        def _chunk(self, content: bytes) -> None:
            self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

        do_GET = do_POST = do_DELETE = do_PATCH = _serve

        def log_message(self, *args: object) -> None:
            return

    return Handler


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    brain = StandIn()
    server = _Server(("127.0.0.1", 0), _handler(brain))
    server.daemon_threads = True
    brain.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield brain
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No test meets a brain or token of the machine it runs on."""
    monkeypatch.delenv("OMERUTA_URL", raising=False)
    monkeypatch.delenv("OMERUTA_TOKEN", raising=False)
    monkeypatch.setenv("OMERUTA_HOME", str(tmp_path / "home"))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses of the client pass at once and are noted."""
    pauses: list[float] = []
    monkeypatch.setattr(Transport, "sleep", lambda self, seconds: pauses.append(seconds))
    return pauses
