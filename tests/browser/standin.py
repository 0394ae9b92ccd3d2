"""A brain that is played: it serves the web page and answers the contract's calls from a script.

What it tells is chosen by words in the question: `slow`, `fail`, `refuse`, `drop` (the socket is cut in the
middle of the answer), `attack` (everything it says is hostile), else a plain answer. It keeps every event by
number, so subscribing with `after` behaves like the real thing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from tests.browser import script

WEB = Path(__file__).parents[2] / "serve_app" / "api" / "web"
TOKEN = "test-token_0123456789"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
FINAL = {"task_completed": "completed", "task_failed": "failed", "task_cancelled": "cancelled"}


def ago(**span: float) -> str:
    return (datetime.now(UTC) - timedelta(**span)).isoformat().replace("+00:00", "Z")


@dataclass
class PlayedTask:
    """One task: its script still to come, its events so far, its state."""

    id: str
    kind: str
    queue: str
    conversation_id: str | None
    steps: Sequence[script.Step]
    attempt: int = 1
    events: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    runner: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        return self.state["status"] in FINAL.values()

    def tell(self, kind: str, **data: Any) -> None:
        seq = len(self.events) + 1
        names = {"task_id": self.id, "conversation_id": self.conversation_id}
        self.events.append({"type": kind, **names, "attempt": self.attempt, "seq": seq, **data})
        self.state["last_seq"] = seq
        if kind == "task_update":
            self.state.update(data)
        if kind in FINAL:
            self.state.update(data, status=FINAL[kind], finished_at=ago())
            if kind == "task_completed":
                self.state["progress"] = 100
        self.news.set()
        self.news = asyncio.Event()


class StandIn:
    """The played brain. `socket`: `on`, `refused` (the handshake is answered 503). `pace` scales every wait."""

    def __init__(self, *, pace: float = 1.0) -> None:
        self.pace = pace
        self.socket = "on"
        self.tasks: dict[str, PlayedTask] = {}
        self.talks: dict[str, dict[str, Any]] = {}
        self.pages = {page["id"]: page for page in script.pages(ago(hours=3))}
        self.sockets: set[web.WebSocketResponse] = set()
        self.subscriptions: list[tuple[str, int]] = []
        self.polls: list[str] = []
        self.posted: list[tuple[str, Any]] = []
        self.keys: dict[str, str] = {}
        self.failing_submits = 0
        self._ids = itertools.count(1)
        self.app = self._routes()
        self._runner = web.AppRunner(self.app, shutdown_timeout=0.2)
        self.url = ""

    async def __aenter__(self) -> StandIn:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drop_sockets()
        running = [task.runner for task in self.tasks.values() if task.runner]
        for runner in running:
            runner.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._runner.cleanup()

    async def drop_sockets(self) -> None:
        """Cut every WebSocket as a broken network does."""
        for socket in list(self.sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    def _routes(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=2**22)
        api = "/api/agents/async"
        for name in ("chat_async", "multiagent_async", "research_topic", "analyze_content"):
            app.router.add_post(f"{api}/{name}/", self._ask)
        app.router.add_get(f"{api}/status/{{id}}/", self._status)
        for path in ("/api/crawls/", "/api/pages/", "/api/files/"):
            app.router.add_post(path, self._read)
        app.router.add_post("/api/auth/login/", self._login)
        app.router.add_post("/api/search/", self._search)
        app.router.add_get("/api/pages/", self._list_pages)
        app.router.add_get("/api/pages/{id}/", self._page)
        app.router.add_delete("/api/pages/{id}/", self._delete_page)
        app.router.add_get("/api/tasks/", self._list_tasks)
        app.router.add_post("/api/tasks/{id}/cancel/", self._cancel)
        app.router.add_post("/api/tasks/{id}/retry/", self._retry)
        app.router.add_get("/api/conversations/", self._list_talks)
        app.router.add_get("/api/conversations/{id}/", self._talk)
        app.router.add_patch("/api/conversations/{id}/", self._rename)
        app.router.add_delete("/api/conversations/{id}/", self._delete_talk)
        app.router.add_get("/api/schedules/", self._schedules)
        app.router.add_post("/api/schedules/{name}/run/", self._read)
        app.router.add_get("/api/stats/", self._stats)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/ws/agent/", self._websocket)
        app.router.add_get("/", self._index)
        app.router.add_static("/static/", WEB)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/api/") and request.path != "/api/auth/login/":
            if request.headers.get("Authorization") != f"Bearer {TOKEN}":
                return problem(401, "This token is not known here; it may have been deleted.")
            if request.method != "GET":
                body = None
                if request.content_type == "application/json" and request.can_read_body:
                    body = await request.json()
                self.posted.append((request.path, body))
        response: web.StreamResponse = await handler(request)
        if not isinstance(response, web.WebSocketResponse):
            response.headers["Content-Security-Policy"] = POLICY
            response.headers["Cache-Control"] = "no-store"
        return response

    # work

    def start(
        self, kind: str, queue: str, steps: Sequence[script.Step], talk: str | None
    ) -> PlayedTask:
        task = PlayedTask(f"task-{next(self._ids)}", kind, queue, talk, steps)
        task.state = {
            "task_id": task.id, "kind": kind, "queue": queue, "conversation_id": talk,
            "status": "processing", "progress": 0, "message": "Starting", "counts": {},
            "attempt": 1, "created_at": ago(), "result": None, "error": None, "last_seq": 0,
        }  # fmt: skip
        self.tasks[task.id] = task
        task.runner = asyncio.create_task(self._play(task))
        return task

    async def _play(self, task: PlayedTask) -> None:
        for wait, kind, data in task.steps:
            await asyncio.sleep(wait * self.pace)
            if kind == "drop":
                await self.drop_sockets()
                continue
            if kind == "task_completed":
                data = {"result": {**data["result"], "task_id": task.id}}
            task.tell(kind, **data)
            if kind == "task_completed" and task.conversation_id in self.talks:
                self.remember(task.conversation_id, task.id, data["result"])

    def remember(self, talk: str, task_id: str, result: dict[str, Any]) -> None:
        extra = {k: v for k, v in result.items() if k not in ("response", "response_html")}
        html = result.get("response_html")
        entry = {"role": "assistant", "text": result["response"], "task_id": task_id}
        self.talks[talk]["messages"].append({**entry, "extra": extra, "html": html, "at": ago()})

    def talk(self, title: str, talk_id: str | None = None) -> dict[str, Any]:
        """The conversation, made when there is none."""
        key = talk_id or f"talk-{next(self._ids)}"
        if key not in self.talks:
            now = ago()
            made = {"id": key, "title": title, "updated_at": now, "created_at": now, "messages": []}
            self.talks = {key: made, **self.talks}
        return self.talks[key]

    async def _ask(self, request: web.Request) -> web.Response:
        body = await request.json()
        key = request.headers["Idempotency-Key"]
        if self.failing_submits > 0:
            self.failing_submits -= 1
            return problem(503, "The ledger is away for a moment.")
        if key in self.keys:
            task = self.tasks[self.keys[key]]
            return accepted(task)
        question = body.get("query") or body.get("message") or body.get("topic")
        question = question or "\n".join(body.get("urls", []))
        talk = self.talk(question, body.get("conversation_id"))
        kind = request.path.rstrip("/").rpartition("/")[2]
        task = self.start(
            "multiagent", "ai_high_priority", script.answer(kind, question), talk["id"]
        )
        message = {"role": "user", "text": question, "task_id": task.id, "extra": {}, "at": ago()}
        talk["messages"].append(message)
        self.keys[key] = task.id
        return accepted(task)

    async def _read(self, request: web.Request) -> web.Response:
        kind = {"crawls": "crawl", "pages": "add_pages", "files": "add_file"}.get(
            request.path.split("/")[2], "scheduled"
        )
        return accepted(self.start(kind, "crawling", script.crawl(), None))

    async def _cancel(self, request: web.Request) -> web.Response:
        task = self.tasks[request.match_info["id"]]
        if task.runner:
            task.runner.cancel()
        task.tell("task_cancelled", error="The task was cancelled.")
        return web.json_response(task.state)

    async def _retry(self, request: web.Request) -> web.Response:
        task = self.tasks[request.match_info["id"]]
        if not task.over:
            return problem(409, "The task is not over.")
        task.attempt += 1
        task.state.update(status="processing", progress=0, error=None, attempt=task.attempt)
        task.steps = script.answer("multiagent_async", "plain")
        task.runner = asyncio.create_task(self._play(task))
        return web.json_response(task.state)

    async def _status(self, request: web.Request) -> web.Response:
        task = self.tasks.get(request.match_info["id"])
        if task is None:
            return problem(404, "There is no such task.")
        self.polls.append(task.id)
        return web.json_response(task.state)

    # the socket

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if self.socket == "refused":
            return web.Response(status=503)
        socket = web.WebSocketResponse(protocols=["bearer"])
        await socket.prepare(request)
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if [part.strip() for part in offered.split(",")] != ["bearer", TOKEN]:
            await socket.close(code=4401)
            return socket
        self.sockets.add(socket)
        forwards: dict[str, asyncio.Task[None]] = {}
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._hear(socket, forwards, json.loads(message.data))
        finally:
            self.sockets.discard(socket)
            for forward in forwards.values():
                forward.cancel()
            await asyncio.gather(*forwards.values(), return_exceptions=True)
        return socket

    def _hear(
        self,
        socket: web.WebSocketResponse,
        forwards: dict[str, asyncio.Task[None]],
        said: dict[str, Any],
    ) -> None:
        if said["action"] != "subscribe":
            return
        task_id, after = said["task_id"], said.get("after", 0)
        self.subscriptions.append((task_id, after))
        if task_id in forwards:
            forwards[task_id].cancel()
        forwards[task_id] = asyncio.create_task(self._forward(socket, self.tasks[task_id], after))

    async def _forward(self, socket: web.WebSocketResponse, task: PlayedTask, after: int) -> None:
        while not socket.closed:
            news = task.news
            for event in task.events[after:]:
                after = event["seq"]
                await socket.send_json(event)
            await news.wait()

    # the rest

    async def _login(self, request: web.Request) -> web.Response:
        if (await request.json())["token"] != TOKEN:
            return problem(401, "This token is not known here.")
        user = {"id": "u1", "name": "Owner", "role": "owner"}
        return web.json_response({"user": user, "token_id": "t1"})

    async def _index(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(WEB / "index.html")

    async def _search(self, request: web.Request) -> web.Response:
        return web.json_response({"hits": script.hits(), "degraded": None})

    async def _list_pages(self, request: web.Request) -> web.Response:
        wanted = request.query.get("q", "").lower()
        found = [
            {k: v for k, v in page.items() if k not in ("clean_markdown", "html")}
            for page in self.pages.values()
            if wanted in page["title"].lower()
        ]
        return web.json_response({"items": found, "next_cursor": None, "total": len(found)})

    async def _page(self, request: web.Request) -> web.Response:
        page = self.pages.get(int(request.match_info["id"]))
        return web.json_response(page) if page else problem(404, "There is no such page.")

    async def _delete_page(self, request: web.Request) -> web.Response:
        del self.pages[int(request.match_info["id"])]
        return web.Response(status=204)

    async def _list_tasks(self, request: web.Request) -> web.Response:
        wanted, queue = request.query.get("status"), request.query.get("queue")
        found = [
            task.state
            for task in reversed(self.tasks.values())
            if (not wanted or task.state["status"] == wanted) and (not queue or task.queue == queue)
        ]
        return web.json_response({"items": found, "next_cursor": None})

    async def _list_talks(self, request: web.Request) -> web.Response:
        found = [{k: v for k, v in talk.items() if k != "messages"} for talk in self.talks.values()]
        return web.json_response({"items": found, "next_cursor": None})

    async def _talk(self, request: web.Request) -> web.Response:
        talk = self.talks.get(request.match_info["id"])
        return web.json_response(talk) if talk else problem(404, "There is no such conversation.")

    async def _rename(self, request: web.Request) -> web.Response:
        talk = self.talks[request.match_info["id"]]
        talk["title"] = (await request.json())["title"]
        return web.json_response(talk)

    async def _delete_talk(self, request: web.Request) -> web.Response:
        del self.talks[request.match_info["id"]]
        return web.Response(status=204)

    async def _schedules(self, request: web.Request) -> web.Response:
        return web.json_response({"items": script.schedules(ago(minutes=12), ago(minutes=-18))})

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response(script.STATS)

    async def _ready(self, request: web.Request) -> web.Response:
        parts = {"llm": "ok", "embedder": "ok", "knowledge": "ok", "crawler": "ok", "tasks": "ok"}
        return web.json_response({"status": "ready", "parts": parts})


def problem(status: int, sentence: str) -> web.Response:
    codes = {401: "unauthenticated", 404: "not_found", 409: "conflict", 503: "unavailable"}
    return web.json_response({"error": sentence, "code": codes[status]}, status=status)


def accepted(task: PlayedTask) -> web.Response:
    body = {
        "task_id": task.id,
        "status": "processing",
        "message": "Your question is being answered.",
        "check_status_url": f"/api/agents/async/status/{task.id}/",
        "conversation_id": task.conversation_id,
    }
    return web.json_response(body, status=202)
