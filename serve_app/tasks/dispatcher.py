"""The tasks that are not over, and the loop that starts them as places come free."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime

from serve_app.domain.errors import BrainError
from serve_app.domain.tasks import Task, TaskKind, TaskStatus
from serve_app.tasks.dispatch import Place, plan, waiting_reason
from serve_app.tasks.journal import Entry
from serve_app.tasks.kinds import Queue
from serve_app.tasks.runner import Attempt, Stop, Tools

log = logging.getLogger(__name__)


class Dispatcher:
    """Holds every queued and running task; `wake` when something may start."""

    def __init__(
        self, queues: Mapping[str, Queue], kinds: Mapping[str, TaskKind], tools: Tools
    ) -> None:
        self._queues = queues
        self._kinds = kinds
        self._tools = tools
        self.limits = {name: queue.limit for name, queue in queues.items()}
        self._waiting: dict[str, dict[str, Entry]] = {name: {} for name in queues}
        self._running: dict[str, dict[str, Entry]] = {name: {} for name in queues}
        self._attempts: dict[str, Attempt] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._draining = False

    # what there is

    def find(self, task_id: str) -> Entry | None:
        for places in (*self._waiting.values(), *self._running.values()):
            if entry := places.get(task_id):
                return entry
        return None

    def children(self, task_id: str) -> list[Entry]:
        """Unfinished tasks that this one is the parent of."""
        everyone = (*self._waiting.values(), *self._running.values())
        return [e for places in everyone for e in places.values() if e.task.parent_id == task_id]

    def waiting_count(self) -> int:
        return sum(len(entries) for entries in self._waiting.values())

    def place(self, queue: str) -> Place:
        return Place(
            priority=self._queues[queue].priority,
            limit=self.limits[queue],
            running=len(self._running[queue]),
            waiting=_Tasks(self._waiting[queue]),
        )

    def position(self, task_id: str) -> int | None:
        """From 1, among those that wait in its queue."""
        for entries in self._waiting.values():
            if task_id in entries:
                return list(entries).index(task_id) + 1
        return None

    def reason(self, task: Task, now: datetime) -> str | None:
        """Why a task that is held as waiting does."""
        return waiting_reason(task, self.place(task.queue), now)

    def waiting(self, queue: str) -> list[Task]:
        return [entry.task for entry in self._waiting[queue].values()]

    # what changes

    def add(self, entry: Entry) -> None:
        """A queued task takes its place at the end of its queue."""
        self._waiting[entry.task.queue][entry.task.id] = entry
        self._wake.set()

    def drop(self, entry: Entry) -> None:
        """A task that ended while it waited."""
        self._waiting[entry.task.queue].pop(entry.task.id, None)

    def stop(self, task_id: str) -> None:
        """End the attempt that runs, if one does."""
        if attempt := self._attempts.get(task_id):
            attempt.stop(Stop.CANCEL)

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Start what may start, for ever."""
        while True:
            self._wake.clear()
            next_due = self._start_due()
            await self._wait(next_due)

    def _start_due(self) -> datetime | None:
        if self._draining:
            return None
        decided = plan({name: self.place(name) for name in self._queues}, self._tools.clock.now())
        for task in decided.start:
            entry = self._waiting[task.queue].pop(task.id)
            self._running[task.queue][task.id] = entry
            attempt = self._attempts[task.id] = Attempt(entry, self._kinds[task.kind], self._tools)
            run = asyncio.create_task(self._run(entry, attempt))
            self._runs.add(run)
            run.add_done_callback(self._runs.discard)
        return decided.next_due

    async def _wait(self, until: datetime | None) -> None:
        if until is None:
            await self._wake.wait()
            return
        seconds = (until - self._tools.clock.now()).total_seconds()
        wake = asyncio.create_task(self._wake.wait())
        alarm = asyncio.ensure_future(self._tools.clock.sleep(seconds))
        try:
            await asyncio.wait({wake, alarm}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wake.cancel()
            alarm.cancel()

    async def _run(self, entry: Entry, attempt: Attempt) -> None:
        try:
            await attempt.run()
        except BrainError as error:
            log.warning("An attempt at task %s was left: %s", entry.task.id, error)
        except Exception:  # supervision: one broken attempt must not end the others
            log.exception("An attempt at task %s broke", entry.task.id)
        else:
            if entry.task.status is TaskStatus.QUEUED:
                self.add(entry)
        finally:
            # By hand it may have been started again already: then the place is that attempt's.
            if self._attempts.get(entry.task.id) is attempt:
                del self._attempts[entry.task.id]
                del self._running[entry.task.queue][entry.task.id]
            self._wake.set()

    async def drain(self, seconds: float) -> None:
        """Start nothing more, give what runs `seconds`, then have it go back to its queue."""
        self._draining = True
        if self._runs:
            await asyncio.wait(self._runs, timeout=seconds)
        for attempt in self._attempts.values():
            attempt.stop(Stop.SHUTDOWN)
        if self._runs:
            await asyncio.wait(self._runs, timeout=2 * self._tools.close_within)
        for run in list(self._runs):  # the ledger's medium is away: the next start finds them
            run.cancel()


class _Tasks:
    """The tasks of some entries, looked at one by one: a queue may be long and little of it needed."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[Task]:
        return (entry.task for entry in self._entries.values())
