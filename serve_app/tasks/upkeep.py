"""What the ledger does by itself: fire schedules, and drop what has had its time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from serve_app.domain.errors import BrainError, Conflict, NotFound
from serve_app.domain.ports import Clock, Worker
from serve_app.domain.tasks import Assignment, Schedule, Task, TaskSpec, WorkerEvent
from serve_app.settings import TaskSettings
from serve_app.tasks import schedule as cron
from serve_app.tasks.store import (
    Change,
    DeleteTasks,
    ExpireResults,
    Fire,
    ForgetFirings,
    SaveSchedule,
    ScheduleRow,
    TaskStore,
)

log = logging.getLogger(__name__)

SYSTEM_USER = "system"  # whose tasks the schedules make; no user has this id
_LONGEST_SLEEP = 60.0
_BATCH = 200

# Makes a task together with further changes: (spec, changes for its id) -> task
Enqueue = Callable[[TaskSpec, Callable[[str], Sequence[Change]]], Awaitable[Task]]


class Scheduler:
    """Fires each schedule once per due time: the claim on the firing is written with the task.

    Firings missed while the brain was off are made up for by one.
    """

    def __init__(self, store: TaskStore, clock: Clock, enqueue: Enqueue) -> None:
        self._store = store
        self._clock = clock
        self._enqueue = enqueue
        self._rows: dict[str, ScheduleRow] = {}
        self._changing = asyncio.Lock()
        self._changed = asyncio.Event()

    async def load(self) -> None:
        """Read the schedules; a new brain gets the default ones."""
        self._rows = {row.schedule.name: row for row in await self._store.schedules()}
        for default in cron.default_schedules():
            if default.name not in self._rows:
                await self._save(ScheduleRow(default, since=self._clock.now()))

    async def run(self) -> None:
        """Fire what is due, for ever."""
        while True:
            self._changed.clear()
            await self.fire_due()
            await self._sleep()

    async def fire_due(self) -> None:
        now = self._clock.now()
        for row in list(self._rows.values()):
            at = cron.due(row.schedule.cron, row.since, now) if row.schedule.enabled else None
            if at is None:
                continue
            try:
                await self._fire(row, at)
            except BrainError as error:  # tried again at the next round: nothing was claimed
                log.warning("Schedule %s could not fire: %s", row.schedule.name, error)

    async def _fire(self, row: ScheduleRow, at: datetime) -> None:
        settled = replace(row, since=at, schedule=replace(row.schedule, last_fired_at=at))

        def claim(task_id: str) -> Sequence[Change]:
            nonlocal settled
            named = replace(settled.schedule, last_task_id=task_id)
            settled = replace(settled, schedule=named)
            return (Fire(named.name, at), SaveSchedule(settled))

        async with self._changing:
            if self._rows[row.schedule.name] is not row:
                return  # edited meanwhile: the next round looks again
            try:
                await self._enqueue(_spec(row.schedule, SYSTEM_USER), claim)
            except Conflict:
                log.info("Schedule %s has fired for %s already", row.schedule.name, at)
                await self._save(replace(row, since=at))
            else:
                self._rows[row.schedule.name] = settled

    async def _sleep(self) -> None:
        now = self._clock.now()
        upcoming = [
            cron.next_after(row.schedule.cron, max(row.since, now))
            for row in self._rows.values()
            if row.schedule.enabled
        ]
        seconds = min((at - now).total_seconds() for at in upcoming) if upcoming else _LONGEST_SLEEP
        alarm = asyncio.ensure_future(self._clock.sleep(min(seconds, _LONGEST_SLEEP)))
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({alarm, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()
            changed.cancel()

    def list(self) -> list[Schedule]:
        return [self._shown(row) for _, row in sorted(self._rows.items())]

    async def run_now(self, name: str, user_id: str) -> Task:
        """By hand; the due times stay as they are."""
        async with self._changing:
            row = self._row(name)
            task = await self._enqueue(_spec(row.schedule, user_id), lambda task_id: ())
            await self._save(replace(row, schedule=replace(row.schedule, last_task_id=task.id)))
            return task

    async def update(self, name: str, cron_line: str | None, enabled: bool | None) -> Schedule:
        """What was missed while it was off, or by the old line, is not made up for."""
        async with self._changing:
            row = self._row(name)
            if cron_line is not None:
                cron.check_cron(cron_line)
            edited = replace(
                row.schedule,
                cron=row.schedule.cron if cron_line is None else cron_line,
                enabled=row.schedule.enabled if enabled is None else enabled,
            )
            await self._save(ScheduleRow(edited, since=max(row.since, self._clock.now())))
            self._changed.set()
            return self._shown(self._rows[name])

    def _row(self, name: str) -> ScheduleRow:
        if name not in self._rows:
            raise NotFound(f"There is no schedule named {name}.")
        return self._rows[name]

    async def _save(self, row: ScheduleRow) -> None:
        await self._store.apply(SaveSchedule(row))
        self._rows[row.schedule.name] = row

    def _shown(self, row: ScheduleRow) -> Schedule:
        if not row.schedule.enabled:
            return row.schedule
        return replace(row.schedule, next_fire_at=cron.next_after(row.schedule.cron, row.since))


class CleanUp:
    """The worker of `clean_up`: the ledger's own, then that of the optional worker `maintenance`."""

    def __init__(
        self, store: TaskStore, clock: Clock, settings: TaskSettings, more: Worker | None
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._more = more

    async def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        counts = {"expired": 0, "deleted": 0}
        async for name, number in self._drop():
            counts[name] += number
            yield [WorkerEvent("task_update", {"message": "Cleaning up.", "counts": dict(counts)})]
        result: dict[str, object] = {"counts": counts}
        if self._more is not None:
            async for batch in self._more.run(assignment):
                result.update(*(event.data for event in batch if event.type == "result"))
                yield [event for event in batch if event.type != "result"]
        yield [WorkerEvent("result", {**result, "counts": _merged(result, counts)})]

    async def _drop(self) -> AsyncIterator[tuple[str, int]]:
        now = self._clock.now()
        while ids := await self._store.expirable(now, _BATCH):
            await self._store.apply(ExpireResults(tuple(ids)))
            yield "expired", len(ids)
        before = now - timedelta(seconds=self._settings.history_ttl)
        while ids := await self._store.finished_before(before, _BATCH):
            await self._store.apply(DeleteTasks(tuple(ids)))
            yield "deleted", len(ids)
        await self._store.apply(ForgetFirings(before))


def _merged(result: Mapping[str, object], counts: Mapping[str, int]) -> dict[str, object]:
    more = result.get("counts")
    return {**(more if isinstance(more, Mapping) else {}), **counts}


def _spec(schedule: Schedule, user_id: str) -> TaskSpec:
    return TaskSpec(kind=schedule.kind, args=schedule.args, user_id=user_id)
