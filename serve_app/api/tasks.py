"""The ledger as people see it: list, watch, cancel and retry tasks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import JSONResponse, StreamingResponse

from serve_app.api import answers, wire
from serve_app.api.follow import follow, with_heartbeat
from serve_app.api.limits import Permits, StreamPermits
from serve_app.api.schemas import Cursor, PathId
from serve_app.api.security import Caller
from serve_app.api.services import Brain, Services
from serve_app.domain.people import Principal
from serve_app.domain.tasks import TaskStatus

router = APIRouter(prefix="/api/tasks", tags=["tasks"])

MAX_SEQ = 2**53


@router.get("/", response_model=answers.StatusList)
async def list_tasks(
    brain: Brain,
    who: Caller,
    status: TaskStatus | None = None,
    queue: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Cursor | None = None,
) -> JSONResponse:
    """Newest first. Members see their own, owners all."""
    found, following = await brain.ledger.list_tasks(
        who, status=status, queue=queue, limit=limit, cursor=cursor
    )
    return JSONResponse({"items": [wire.status(t) for t in found], "next_cursor": following})


@router.get("/{task_id}/", response_model=answers.Status)
async def get_task(task_id: PathId, brain: Brain, who: Caller) -> JSONResponse:
    """The same as `/api/agents/async/status/{task_id}/`."""
    task = await brain.ledger.get(task_id, who)
    return JSONResponse(await wire.status_now(brain.ledger, task))


@router.post("/{task_id}/cancel/", response_model=answers.Status)
async def cancel_task(task_id: PathId, brain: Brain, who: Caller) -> JSONResponse:
    """Cancel a task, queued or running."""
    return JSONResponse(wire.status(await brain.ledger.cancel(task_id, who)))


@router.post("/{task_id}/retry/", response_model=answers.Status)
async def retry_task(task_id: PathId, brain: Brain, who: Caller) -> JSONResponse:
    """Queue a failed or cancelled task again."""
    task = await brain.ledger.retry(task_id, who)
    return JSONResponse(await wire.status_now(brain.ledger, task))


@router.get(
    "/{task_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "the task's events"}},
)
async def task_events(
    task_id: PathId,
    brain: Brain,
    who: Caller,
    permits: Permits,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> StreamingResponse:
    """Server-sent events: what came after `after` (or `Last-Event-ID`), then what comes, to the task's end."""
    permits.check(who.token_id)  # here it can still be a 429; the stream itself holds the permit
    await brain.ledger.get(task_id, who)
    if last_event_id.isascii() and last_event_id.isdecimal():
        after = max(after, min(int(last_event_id), MAX_SEQ))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = _sse(brain, task_id, who, after, permits)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _sse(
    brain: Services, task_id: str, who: Principal, after: int, permits: StreamPermits
) -> AsyncIterator[bytes]:
    with permits.hold(who.token_id):
        async with aclosing(with_heartbeat(follow(brain.ledger, task_id, who, after))) as events:
            async for event in events:
                if event is None:
                    yield b": still here\n\n"
                    continue
                data = json.dumps(wire.event(event), ensure_ascii=False)
                yield f"id: {event.seq}\nevent: {event.type}\ndata: {data}\n\n".encode()
