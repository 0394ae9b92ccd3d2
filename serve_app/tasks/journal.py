"""The one way a task changes: decide, write, and only then tell.

The store has a change before anybody sees it, so a number that was seen is never given again. Changes of
one task run one after another, and go through to their end even when their caller is cancelled: what is
held in memory always follows what is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from serve_app.domain.errors import Unavailable
from serve_app.domain.ports import Clock
from serve_app.domain.tasks import Task, TaskEvent
from serve_app.tasks.feed import Feed
from serve_app.tasks.store import AppendEvents, Change, InsertTask, SaveTask, TaskStore
from serve_app.tasks.wire import status_object

log = logging.getLogger(__name__)
T = TypeVar("T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0

Happening = tuple[str, Mapping[str, Any]]  # an event's type and data


@dataclass(frozen=True, slots=True)
class Step:
    """A decided change: the task after it, what is told of it, and what else is written with it."""

    task: Task
    events: tuple[Happening, ...]
    also: tuple[Change, ...] = ()


@dataclass(slots=True, eq=False)
class Entry:
    """A task that is not over, as held in memory."""

    task: Task
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


def told(task: Task, *also: Change) -> Step:
    """A step that says where the task stands now."""
    return Step(task, (("task_update", status_object(task)),), also)


def new_id(now: datetime) -> str:
    """Sortable by time, and not to be guessed."""
    return f"{int(now.timestamp() * 1000):012x}{secrets.token_hex(10)}"


class Journal:
    """Writes steps and publishes their events."""

    def __init__(self, store: TaskStore, feed: Feed, clock: Clock) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._going: set[asyncio.Task[Any]] = set()

    async def insert(
        self, task: Task, events: Sequence[Happening], also: Sequence[Change] = ()
    ) -> Entry:
        """A new task, on disk when this returns. Raises Conflict when its idempotency key is taken."""
        logged = self._number(task, events)
        task = replace(task, last_seq=len(logged))
        await self._store.apply(*also, InsertTask(task), AppendEvents(logged))
        self._feed.publish(logged)
        return Entry(task)

    async def change(self, entry: Entry, decide: Callable[[Task], Step]) -> Task:
        """Apply `decide` to the task as it stands. Raises what `decide` raises, and StaleAttempt,
        Conflict or Unavailable from the store; then nothing has changed."""
        return await self.through(self._change(entry, decide))

    async def _change(self, entry: Entry, decide: Callable[[Task], Step]) -> Task:
        async with entry.lock:
            before = entry.task
            step = decide(before)
            logged = self._number(replace(step.task, last_seq=before.last_seq), step.events)
            after = replace(step.task, last_seq=before.last_seq + len(logged))
            await self._store.apply(
                SaveTask(after, before.status, before.attempt), AppendEvents(logged), *step.also
            )
            entry.task = after
            self._feed.publish(logged)
            return after

    async def settle(self, entry: Entry, decide: Callable[[Task], Step]) -> Task:
        """As `change`, for what must not be lost: tried until the medium takes it, or the caller is cancelled."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self.change(entry, decide)
            except Unavailable:
                log.exception("The ledger could not write task %s; trying again", entry.task.id)
            await self._clock.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    async def through(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end even when the caller is cancelled."""
        going = asyncio.create_task(work)
        self._going.add(going)
        going.add_done_callback(self._going.discard)
        return await asyncio.shield(going)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._going:
            await asyncio.wait(self._going)

    def _number(self, task: Task, events: Sequence[Happening]) -> tuple[TaskEvent, ...]:
        now = self._clock.now()
        return tuple(
            TaskEvent(
                task_id=task.id,
                seq=task.last_seq + n,
                attempt=task.attempt,
                type=kind,
                data=data,
                at=now,
                conversation_id=task.conversation_id,
            )
            for n, (kind, data) in enumerate(events, 1)
        )
