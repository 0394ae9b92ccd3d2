"""Following a task: its events through the ledger's restarts, heartbeats between them, and waiting for its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from serve_app.api.services import Services
from serve_app.domain.errors import BrainError, DeadlineExceeded, TaskCancelled, Unavailable
from serve_app.domain.people import Principal
from serve_app.domain.ports import Ledger
from serve_app.domain.streams import closing
from serve_app.domain.tasks import Task, TaskEvent, TaskStatus

HEARTBEAT = 15.0  # seconds of silence before a sign of life; proxies close quiet connections
RETRIES = 12  # in a row, without an event in between: about 45 s
FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0  # seconds


async def follow(
    ledger: Ledger, task_id: str, who: Principal, after: int = 0
) -> AsyncGenerator[TaskEvent]:
    """The events after `after` to the last one, each once and in order, also when the ledger restarts meanwhile.

    Raises NotFound, and Unavailable when the ledger stays away.
    """
    failures = 0
    while True:
        try:
            async with closing(ledger.events(task_id, who, after)) as events:
                async for event in events:
                    failures, after = 0, event.seq
                    yield event
            return
        except Unavailable:
            failures += 1
            if failures > RETRIES:
                raise
            await asyncio.sleep(min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1)))


async def with_heartbeat(
    events: AsyncGenerator[TaskEvent], seconds: float = HEARTBEAT
) -> AsyncGenerator[TaskEvent | None]:
    """The events, and None after each `seconds` without one. Closes `events`."""
    coming = asyncio.ensure_future(_pull(events))
    try:
        while True:
            await asyncio.wait({coming}, timeout=seconds)
            if not coming.done():
                yield None
                continue
            event = coming.result()
            if event is None:
                return
            coming = asyncio.ensure_future(_pull(events))
            yield event
    finally:
        coming.cancel()
        await asyncio.wait({coming})
        if not coming.cancelled():
            coming.exception()  # fetched, or asyncio would complain of an error nobody looked at
        await events.aclose()


async def _pull(events: AsyncIterator[TaskEvent]) -> TaskEvent | None:
    return await anext(events, None)


async def finished(services: Services, task_id: str, who: Principal) -> Task:
    """Wait for the task's end, at most as long as a task may take. The task goes on whoever stops waiting.

    Raises the task's own error when it failed, TaskCancelled, or DeadlineExceeded.
    """
    try:
        async with asyncio.timeout(services.settings.tasks.hard_limit):
            async with closing(follow(services.ledger, task_id, who)) as events:
                async for event in events:
                    if event.is_last:
                        break
    except TimeoutError:
        raise DeadlineExceeded(
            "The answer is not ready yet. The work goes on: ask for its status at "
            f"/api/agents/async/status/{task_id}/."
        ) from None
    task = await services.ledger.get(task_id, who)
    if task.status is TaskStatus.CANCELLED:
        raise TaskCancelled("The task was cancelled before it had an answer.")
    if task.status is TaskStatus.FAILED:
        raise failure(task)
    return task


def failure(task: Task) -> BrainError:
    """A failed task's stored error, with the HTTP status that its code has in the error tree."""
    told = task.error or {}
    error = BrainError(str(told.get("error", "The task failed.")))
    error.code = str(told.get("code", BrainError.code))
    error.status = _STATUS.get(error.code, BrainError.status)
    return error


def _statuses(kind: type[BrainError]) -> dict[str, int]:
    found = {kind.code: kind.status}
    for child in kind.__subclasses__():
        found |= _statuses(child)
    return found


_STATUS = _statuses(BrainError)
