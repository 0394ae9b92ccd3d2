"""Which of the waiting tasks start now: a pure decision.

A queue starts first come first served up to its limit. Between queues the higher priority goes first, and
every `AGING` seconds of waiting count as one step of priority, so that old work is not overtaken for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from serve_app.domain.tasks import Task

AGING = 60.0  # seconds of waiting that weigh as much as one step of priority


@dataclass(frozen=True, slots=True)
class Place:
    """A queue as it stands: what waits in it in order of arrival, how many run, how many may."""

    priority: int
    limit: int
    running: int
    waiting: Iterable[Task]


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks to start, in this order, and the next time at which a delayed one is due."""

    start: tuple[Task, ...]
    next_due: datetime | None


def plan(places: Mapping[str, Place], now: datetime) -> Plan:
    """Fill the free places. Costs only what is started or delayed, however long the queues are."""
    start: list[tuple[float, datetime, Task]] = []
    dues: list[datetime] = []
    for place in places.values():
        free = place.limit - place.running
        if free <= 0:
            continue
        for task in place.waiting:
            if task.not_before is not None and task.not_before > now:
                dues.append(task.not_before)
                continue
            start.append((-_weight(place.priority, task, now), task.created_at, task))
            free -= 1
            if free == 0:
                break
    start.sort(key=lambda entry: entry[:2])
    return Plan(tuple(task for _, _, task in start), min(dues, default=None))


def waiting_reason(task: Task, place: Place, now: datetime) -> str | None:
    """Why a queued task waits: `retry_at`, `limit_reached`, or None when it is about to start."""
    if task.not_before is not None and task.not_before > now:
        return "retry_at"
    return "limit_reached" if place.running >= place.limit else None


def _weight(priority: int, task: Task, now: datetime) -> float:
    return priority + (now - task.created_at).total_seconds() / AGING
