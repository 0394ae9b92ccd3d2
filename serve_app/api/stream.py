"""The WebSocket `/ws/agent/` (contract section 5): one socket, many tasks.

Each subscription is a task of its own that pulls events from the ledger no faster than the client takes them, so a
slow client costs one event of memory a subscription and holds up nobody. A client that takes nothing for
`SEND_PATIENCE` is let go; it comes back with `subscribe` and `after`, and misses nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from serve_app.api import schemas, wire, work
from serve_app.api.errors import validation_error
from serve_app.api.follow import follow
from serve_app.api.limits import Permits
from serve_app.api.security import Door, Gate, origin_allowed, socket_token
from serve_app.api.services import Brain, Services
from serve_app.api.work import Work
from serve_app.domain.errors import BadRequest, BrainError, Overloaded, Unauthenticated
from serve_app.domain.people import Principal
from serve_app.domain.tasks import TaskEvent
from serve_app.settings import LimitSettings

Model = TypeVar("Model", bound=BaseModel)

log = logging.getLogger(__name__)
router = APIRouter()

MAX_SUBSCRIPTIONS = 64
SEND_PATIENCE = 20.0  # seconds for the client to take one message
TOKEN_CHECK = 30.0  # seconds; a deleted token closes its sockets
CLOSE_PATIENCE = 2.0  # seconds

UNAUTHENTICATED, INTERNAL_ERROR, TRY_AGAIN, POLICY = 4401, 1011, 1013, 1008

STARTS: Mapping[str, tuple[type[schemas.Action], Callable[[Any, LimitSettings], Work]]] = {
    "start_chat": (schemas.StartChat, work.socket_chat),
    "start_research": (schemas.StartResearch, work.research),
    "analyze_content": (schemas.AnalyzeContent, work.analysis),
}
ON_TASK: Mapping[str, type[schemas.OnTask]] = {
    "check_task": schemas.OnTask,
    "cancel_task": schemas.OnTask,
    "subscribe": schemas.Subscribe,
}


@router.websocket("/ws/agent/")
async def agent_socket(socket: WebSocket, brain: Brain, gate: Door, permits: Permits) -> None:
    host = socket.headers.get("host", "")
    if not origin_allowed(socket.headers.get("origin"), host, brain.settings.serve):
        await socket.close(POLICY)
        return
    token, subprotocol = socket_token(socket.headers)
    await socket.accept(subprotocol)
    try:
        who = await gate.admit(token)
        with permits.hold(who.token_id):
            await _Session(socket, brain, gate, who, token or "").run()
    except Unauthenticated:
        await socket.close(UNAUTHENTICATED)
    except BrainError as error:  # too many sockets, or the ledger is away
        await socket.close(TRY_AGAIN, error.message[:120])


class _Session:
    def __init__(
        self, socket: WebSocket, brain: Services, gate: Gate, who: Principal, token: str
    ) -> None:
        self._socket = socket
        self._brain = brain
        self._gate = gate
        self._who = who
        self._token = token
        self._sending = asyncio.Lock()
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the client goes, its token goes, or it stops taking what it is sent."""
        helpers = [asyncio.create_task(self._read()), asyncio.create_task(self._watch_token())]
        try:
            code = await self._ending
            with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(CLOSE_PATIENCE):
                    await self._socket.close(code)
        finally:
            running = [*helpers, *self._subscriptions.values()]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _end(self, code: int) -> None:
        if not self._ending.done():
            self._ending.set_result(code)

    # what the client says

    async def _read(self) -> None:
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._answer(message.get("text"))
        except Unauthenticated:
            self._end(UNAUTHENTICATED)
        except WebSocketDisconnect:
            log.debug("a socket closed while it was answered")
        except Exception:
            log.exception("a socket failed")
            self._end(INTERNAL_ERROR)
        finally:
            self._end(1000)

    async def _answer(self, text: str | None) -> None:
        ref = None
        try:
            message = self._parse(text)
            ref = _ref(message)
            await self._gate.admit(self._token)
            await self._act(message)
        except Unauthenticated:
            raise
        except BrainError as error:
            await self._say_error(error, ref=ref)

    def _parse(self, text: str | None) -> dict[str, Any]:
        bound = self._brain.settings.limits.body_bytes
        if text is None or len(text) > bound:
            raise BadRequest(f"A message is JSON text of at most {bound:,} characters.")
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise BadRequest("This message is not valid JSON.") from None
        if not isinstance(message, dict):
            raise BadRequest("A message is a JSON object with an 'action'.")
        return message

    async def _act(self, message: dict[str, Any]) -> None:
        action = message.pop("action", None)
        if not isinstance(action, str) or (action not in STARTS and action not in ON_TASK):
            known = ", ".join([*STARTS, *ON_TASK])
            raise BadRequest(f"'action' must be one of: {known}.", field="action")
        if action in STARTS:
            await self._start(action, message)
        elif action == "subscribe":
            await self._subscribe(_read_as(schemas.Subscribe, message))
        else:
            await self._check(action, _read_as(ON_TASK[action], message))

    async def _start(self, action: str, message: dict[str, Any]) -> None:
        model, plan = STARTS[action]
        body = _read_as(model, message)
        self._make_room(None)
        asked = plan(body, self._brain.settings.limits)
        key = getattr(body, "idempotency_key", None)
        task = await work.submit(self._brain, self._who, asked, key)
        events = follow(self._brain.ledger, task.id, self._who)
        # The first event is told before the next action is read: so answers come in the order of the questions.
        first = await anext(events, None)
        begun = {"type": "task_started"} if first is None else wire.event(first)
        await self._say(_with_ref({**work.accepted_body(task, asked.message), **begun}, body.ref))
        self._open(task.id, events)

    async def _check(self, action: str, body: schemas.OnTask) -> None:
        ledger = self._brain.ledger
        change = ledger.cancel if action == "cancel_task" else ledger.get
        task = await change(body.task_id, self._who)
        status = {"type": "task_status", **await wire.status_now(ledger, task)}
        await self._say(_with_ref(status, body.ref))

    async def _subscribe(self, body: schemas.Subscribe) -> None:
        await self._brain.ledger.get(body.task_id, self._who)
        self._make_room(body.task_id)
        events = follow(self._brain.ledger, body.task_id, self._who, body.after)
        self._open(body.task_id, events)

    # what the brain says

    def _make_room(self, task_id: str | None) -> None:
        if task_id not in self._subscriptions and len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise Overloaded(f"A socket follows at most {MAX_SUBSCRIPTIONS} tasks at once.")

    def _open(self, task_id: str, events: AsyncGenerator[TaskEvent]) -> None:
        former = self._subscriptions.pop(task_id, None)
        if former is not None:
            former.cancel()
        self._subscriptions[task_id] = asyncio.create_task(self._forward(task_id, events))

    async def _forward(self, task_id: str, events: AsyncGenerator[TaskEvent]) -> None:
        try:
            try:
                async with aclosing(events):
                    async for event in events:
                        await self._say(wire.event(event))
            except BrainError as error:
                await self._say_error(error, task_id=task_id)
        except WebSocketDisconnect:
            self._end(1000)
        except Exception:
            log.exception("following task %s failed", task_id)
            self._end(INTERNAL_ERROR)
        finally:
            if self._subscriptions.get(task_id) is asyncio.current_task():
                del self._subscriptions[task_id]

    async def _watch_token(self) -> None:
        while True:
            await asyncio.sleep(TOKEN_CHECK)
            try:
                await self._gate.principal(self._token)
            except Unauthenticated:
                self._end(UNAUTHENTICATED)
                return
            except BrainError as error:
                log.warning("a socket's token could not be checked just now: %s", error)

    async def _say_error(self, error: BrainError, **where: Any) -> None:
        told = {"type": "error", "message": error.message, "code": error.code, "field": error.field}
        await self._say({k: v for k, v in {**told, **where}.items() if v is not None})

    async def _say(self, message: Mapping[str, Any]) -> None:
        """One message. A client that does not take it in time is let go."""
        text = json.dumps(message, ensure_ascii=False)
        async with self._sending:
            if self._socket.client_state is not WebSocketState.CONNECTED:
                raise WebSocketDisconnect
            try:
                async with asyncio.timeout(SEND_PATIENCE):
                    await self._socket.send_text(text)
            except TimeoutError:
                self._end(TRY_AGAIN)
                raise WebSocketDisconnect(TRY_AGAIN) from None


def _read_as(model: type[Model], message: dict[str, Any]) -> Model:
    try:
        return model.model_validate(message)
    except ValidationError as error:
        problems = [{**p, "loc": ("body", *p["loc"])} for p in error.errors()]
        raise validation_error(problems) from None


def _ref(message: Mapping[str, Any]) -> str | None:
    ref = message.get("ref")
    return ref if isinstance(ref, str) and len(ref) <= schemas.MAX_REF else None


def _with_ref(message: dict[str, Any], ref: str | None) -> dict[str, Any]:
    return message if ref is None else {**message, "ref": ref}
