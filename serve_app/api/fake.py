"""A whole brain in one process, for tests of the door and of its clients.

The ledger, the knowledge and the door are the real ones, in memory; the model echoes and the embedder hashes. Only the
work itself is a script: what `ScriptedWorker` does is said by the words of the question.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from serve_app.api.app import create_api
from serve_app.api.services import Services
from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import BadRequest
from serve_app.domain.people import Principal
from serve_app.domain.tasks import Assignment, WorkerEvent
from serve_app.inference.echo import EchoModel
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase
from serve_app.settings import Settings
from serve_app.tasks import MemoryTaskStore, TaskEngine

SOURCE = {
    "n": 1,
    "title": "Ferries",
    "url": "https://a.example/ferries",
    "quote": "The ferry leaves at nine.",
    "score": 0.9,
}


class ScriptedWorker:
    """Answers any task in three pieces. Words in its arguments change that: `wait` holds it until `release`, `fail`
    ends it with an error."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.release = asyncio.Event()
        self.seen: list[Assignment] = []

    async def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        self.seen.append(assignment)
        self.begun.set()
        words = json.dumps(dict(assignment.args))
        if "wait" in words:
            yield [WorkerEvent("task_update", {"progress": 25, "message": "Searching."})]
            await self.release.wait()
        if "fail" in words:
            raise BadRequest("The script says to fail.")
        yield [WorkerEvent("agent_routed", {"selected_agent": "qa", "confidence": 0.8})]
        yield [WorkerEvent("sources", {"sources": [SOURCE]})]
        yield [
            WorkerEvent("token", {"text": "At **nine**"}),
            WorkerEvent("token", {"text": " [1]."}),
        ]
        yield [WorkerEvent("result", _result(assignment))]


def _result(assignment: Assignment) -> Mapping[str, Any]:
    if assignment.kind.startswith("add_"):
        return {"pages": [1]}
    return {
        "response": "At **nine** [1].",
        "model_used": "echo",
        "selected_agent": "qa",
        "context_used": True,
        "context_sources": 1,
        "sources": [SOURCE],
        "confidence_score": 0.8,
        "processed_async": True,
    }


class SocketClient:
    """A WebSocket client of an ASGI application in the same loop.

    `sent` holds what the server said and was not taken yet. While `taking` is clear, the server cannot get
    rid of anything, as with a client that has stopped reading.
    """

    def __init__(self, app: FastAPI, headers: Mapping[str, str], path: str = "/ws/agent/") -> None:
        self._app = app
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.taking = asyncio.Event()
        self.taking.set()
        raw = {"host": "localhost:8000", **headers}
        offered = [p.strip() for p in raw.get("sec-websocket-protocol", "").split(",") if p]
        self._scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "ws",
            "headers": [(k.encode(), v.encode()) for k, v in raw.items()],
            "subprotocols": offered,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        self._ended: asyncio.Task[None] | None = None

    async def open(self) -> dict[str, Any]:
        """Shake hands; the server's answer is an ASGI `accept` or `close`."""
        self._heard.put_nowait({"type": "websocket.connect"})
        self._ended = asyncio.ensure_future(self._app(self._scope, self._heard.get, self._send))
        answer: dict[str, Any] = await self.next()
        return answer

    async def _send(self, message: Any) -> None:
        await self.taking.wait()
        self.sent.put_nowait(message)

    async def next(self) -> Any:
        """The next ASGI message of the server."""
        return await asyncio.wait_for(self.sent.get(), 5)

    async def hear(self) -> dict[str, Any]:
        """The next message of the server, as JSON."""
        message = await self.next()
        told: dict[str, Any] = json.loads(message["text"])
        return told

    async def until(self, *kinds: str) -> list[dict[str, Any]]:
        """What the server says up to the first message of one of these types."""
        told = [await self.hear()]
        while told[-1]["type"] not in kinds:
            told.append(await self.hear())
        return told

    def say(self, message: Any) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        self._heard.put_nowait({"type": "websocket.receive", "text": text})

    def say_bytes(self, data: bytes) -> None:
        self._heard.put_nowait({"type": "websocket.receive", "bytes": data})

    async def close(self) -> None:
        """Hang up, and wait until the server has let go of everything."""
        self._heard.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await self.ended()

    async def ended(self) -> None:
        if self._ended is not None:
            await asyncio.wait_for(self._ended, 5)


@dataclass(slots=True)
class SmallBrain:
    """`owner` and `members` are tokens; `principals` whose they are."""

    app: FastAPI
    services: Services
    engine: TaskEngine
    knowledge: KnowledgeBase
    worker: ScriptedWorker
    owner: str
    members: dict[str, str] = field(default_factory=dict)
    principals: dict[str, Principal] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=lambda: {"ledger": "ok", "knowledge": "ok"})

    async def add_member(self, name: str) -> str:
        """A new member; answers their token."""
        owner = self.principals[self.owner]
        user = await self.engine.create_user(name, "member")
        _, token = await self.engine.create_token(owner, name, user.id)
        self.members[name] = token
        found = await self.engine.authenticate(token)
        if found is not None:
            self.principals[token] = found
        return token

    def socket(self, token: str | None = None, **headers: str) -> SocketClient:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["authorization"] = f"Bearer {token}"
        return SocketClient(self.app, given)


@asynccontextmanager
async def small_brain(home: Path, **parts: Any) -> AsyncIterator[SmallBrain]:
    """A brain that keeps its secret under `home` and all else in memory. `parts` are settings."""
    settings = Settings(home=home, **parts)
    clock, worker, embedder = SystemClock(), ScriptedWorker(), HashEmbedder()
    knowledge = KnowledgeBase(None, embedder, clock)
    workers = {"orchestrator": worker, "crawler": worker, "knowledge": worker}
    engine = TaskEngine(MemoryTaskStore(), workers, clock, settings)
    health: dict[str, Any] = {"ledger": "ok", "knowledge": "ok"}

    async def ask_health() -> Mapping[str, Any]:
        return health

    services = Services(engine, knowledge, EchoModel(settings.llm), embedder, settings, ask_health)
    await knowledge.open()
    await engine.start()
    try:
        token = settings.owner_token_path.read_text().strip()
        brain = SmallBrain(create_api(services), services, engine, knowledge, worker, token)
        brain.health = health
        found = await engine.authenticate(token)
        if found is not None:
            brain.principals[token] = found
        yield brain
    finally:
        worker.release.set()
        await engine.stop(0)
        await knowledge.close()
