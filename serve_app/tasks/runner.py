"""One attempt at a task: hand it to its worker, log what the worker tells, settle how it ends."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from serve_app.domain.errors import (
    BrainError,
    ConfigError,
    DeadlineExceeded,
    WorkerLost,
)
from serve_app.domain.ports import Clock, Worker
from serve_app.domain.tasks import Assignment, Task, TaskKind, WorkerEvent
from serve_app.settings import TaskSettings
from serve_app.tasks import policy, progress, states
from serve_app.tasks.conversations import Conversations
from serve_app.tasks.journal import Entry, Happening, Journal, Step, told
from serve_app.tasks.wire import plain, status_object

log = logging.getLogger(__name__)

STALLED_AFTER = 15.0  # seconds without news
MAX_EVENT_BYTES = 1_000_000
MAX_RESULT_BYTES = 4_000_000
_TELLING = frozenset({"task_update", "agent_routed", "sources", "token", "knowledge_expanded"})
_dice = secrets.SystemRandom()


class Stop(Enum):
    """Why an attempt is ended from outside."""

    CANCEL = auto()
    DEADLINE = auto()
    SHUTDOWN = auto()


@dataclass(frozen=True, slots=True)
class Tools:
    """What every attempt works with. `close_within`: seconds a worker has to let go when told to."""

    journal: Journal
    conversations: Conversations
    workers: Mapping[str, Worker]
    clock: Clock
    settings: TaskSettings
    close_within: float = 4.0


class Attempt:
    """Runs once. `entry.task` is queued before, and queued again or over after."""

    def __init__(self, entry: Entry, kind: TaskKind, tools: Tools) -> None:
        self._entry = entry
        self._kind = kind
        self._tools = tools
        self._number = entry.task.attempt + 1
        self._stop: Stop | None = None
        self._stopped = asyncio.Event()
        self._last_news = tools.clock.now()

    def stop(self, reason: Stop) -> None:
        """End the attempt. The first reason stands."""
        if self._stop is None:
            self._stop = reason
            self._stopped.set()

    async def run(self) -> None:
        """Raises StaleAttempt when another has taken the task over."""
        clock, journal = self._tools.clock, self._tools.journal
        started = await journal.settle(
            self._entry, lambda task: told(states.start(task, clock.now()))
        )
        self._last_news = clock.now()
        watch = asyncio.create_task(self._watch(started))
        try:
            outcome = await self._work(started)
        finally:
            watch.cancel()
        await journal.settle(self._entry, lambda task: self._conclude(task, outcome))

    async def _work(self, task: Task) -> Mapping[str, Any] | BrainError:
        """The result, or why there is none."""
        work = asyncio.create_task(self._consume(task))
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not work.done():
            work.cancel()
            done, _ = await asyncio.wait({work}, timeout=self._tools.close_within)
            if not done:
                # It can do no harm: the fence refuses whatever it still tells.
                work.add_done_callback(_note_late)
                log.error("The worker of task %s did not let go in time; left alone", task.id)
                return WorkerLost("The worker did not let go in time.")
        try:
            return work.result()
        except asyncio.CancelledError:
            return WorkerLost("The work was interrupted.")
        except BrainError as error:
            return error
        except Exception as error:  # supervision: a worker's fault must not end the engine
            log.exception("Task %s met an unexpected error", task.id)
            return BrainError(f"Something unexpected went wrong ({type(error).__name__}).")

    async def _consume(self, task: Task) -> Mapping[str, Any]:
        worker = self._tools.workers.get(self._kind.worker)
        if worker is None:
            raise ConfigError(f"This brain has no worker named {self._kind.worker!r}.")
        batches = worker.run(await self._assignment(task))
        try:
            async for batch in batches:
                result = await self._log(batch)
                if result is not None:
                    return result
        finally:
            await self._close(batches)
        raise BrainError("The work ended without a result.")

    async def _close(self, batches: AsyncIterator[Sequence[WorkerEvent]]) -> None:
        """Close a generator that was left early; other iterators have nothing to close."""
        close = getattr(batches, "aclose", None)
        if close is None:
            return
        try:
            async with asyncio.timeout(self._tools.close_within):
                await close()
        except Exception:  # supervision: how a worker tidies up does not change what it has given
            log.exception("The worker of task %s could not tidy up", self._entry.task.id)

    async def _assignment(self, task: Task) -> Assignment:
        return Assignment(
            task_id=task.id,
            attempt=task.attempt,
            kind=task.kind,
            args=task.args,
            user_id=task.user_id,
            conversation_id=task.conversation_id,
            history=await self._tools.conversations.history(task),
            soft_deadline=policy.soft_deadline(self._kind, task.started_at or task.created_at),
        )

    async def _log(self, batch: Sequence[WorkerEvent]) -> Mapping[str, Any] | None:
        """Write a batch down; the result when it is in there."""
        self._last_news = self._tools.clock.now()
        telling: list[WorkerEvent] = []
        result: Mapping[str, Any] | None = None
        for event in batch:
            if event.type == "result":
                result = plain(event.data, "result", MAX_RESULT_BYTES)
                break
            if event.type not in _TELLING:
                raise BrainError(f"A worker told of {event.type!r}, which is no event of a task.")
            telling.append(WorkerEvent(event.type, plain(event.data, "event", MAX_EVENT_BYTES)))
        if telling:
            await self._tools.journal.change(self._entry, lambda task: self._tell(task, telling))
        return result

    def _tell(self, task: Task, telling: Sequence[WorkerEvent]) -> Step:
        events: list[Happening] = []
        if task.detail == "stalled":
            events.append(("task_update", status_object(states.hear(task, self._number))))
        task = states.hear(task, self._number)
        for event in telling:
            if event.type == "task_update":
                task = progress.advance(task, event.data)
                events.append(("task_update", status_object(task)))
            else:
                events.append((event.type, event.data))
        return Step(task, tuple(events))

    async def _watch(self, task: Task) -> None:
        """Say when nothing is heard of the worker, and end the attempt at its hard limit."""
        clock, quiet = self._tools.clock, timedelta(seconds=STALLED_AFTER)
        limit = policy.hard_deadline(self._kind, task.started_at or task.created_at)
        while True:
            silent_at = self._last_news + quiet
            if silent_at <= clock.now():
                silent_at = clock.now() + quiet
            wake = silent_at if limit is None else min(silent_at, limit)
            await clock.sleep((wake - clock.now()).total_seconds())
            now = clock.now()
            if limit is not None and now >= limit:
                self.stop(Stop.DEADLINE)
                return
            if now - self._last_news >= quiet:
                await self._mark_stalled()

    async def _mark_stalled(self) -> None:
        if self._entry.task.detail is not None:
            return
        try:
            await self._tools.journal.change(self._entry, self._stalled)
        except BrainError as error:
            log.warning("Could not mark task %s as stalled: %s", self._entry.task.id, error)

    def _stalled(self, task: Task) -> Step:
        return told(states.stall(task, self._number))

    def _conclude(self, task: Task, outcome: Mapping[str, Any] | BrainError) -> Step:
        """The last step of the attempt. A result that was there in time beats any stop."""
        now = self._tools.clock.now()
        ends = (now, now + timedelta(seconds=self._tools.settings.result_ttl))
        states.check_running(task, self._number)
        if not isinstance(outcome, BrainError):
            return self._completed(task, outcome, ends)
        if task.cancel_requested:
            return cancelled(task, ends)
        if self._stop is Stop.SHUTDOWN:
            return told(states.release(task, self._number, lost=False))
        if self._stop is Stop.DEADLINE:
            outcome = DeadlineExceeded(
                f"The task was ended at its limit of {self._kind.hard_limit:g} seconds."
            )
        verdict = policy.after_error(
            task,
            self._kind,
            outcome,
            now=now,
            base=self._tools.settings.retry_base,
            jitter=_dice.random(),
        )
        if isinstance(verdict, policy.Again):
            again = states.run_again(task, self._number, outcome, at=verdict.at, lost=verdict.lost)
            return told(again)
        failed = states.fail(task, self._number, verdict.error, ends)
        return Step(failed, (("task_failed", states.error_body(verdict.error)),))

    def _completed(
        self, task: Task, result: Mapping[str, Any], ends: tuple[datetime, datetime]
    ) -> Step:
        started = task.started_at or task.created_at
        full = {
            "processing_time": round((ends[0] - started).total_seconds(), 3),
            **result,
            "task_id": task.id,
            "user_id": task.user_id,
            "conversation_id": task.conversation_id,
        }
        done = states.complete(task, self._number, full, ends)
        also = self._tools.conversations.answer(done, full, ends[0])
        return Step(done, (("task_completed", {"result": full}),), also)


def cancelled(task: Task, ends: tuple[datetime, datetime]) -> Step:
    """The step that ends a task by cancelling it."""
    over = states.cancel(task, ends)
    return Step(over, (("task_cancelled", dict(over.error or {})),))


def _note_late(work: asyncio.Task[Mapping[str, Any]]) -> None:
    """A worker that was left alone has ended after all."""
    error = None if work.cancelled() else work.exception()
    log.warning("A worker that was left alone has ended (%r)", error)
