"""What agents yield while they work, and the batches the ledger gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serve_app.domain.streams import closing
from serve_app.domain.tasks import WorkerEvent

LINGER = 0.05  # seconds that pieces of text wait for company
MAX_BATCH = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent ends with. The orchestrator adds what is the task's own (ids, time, agent).

    `response` equals the sum of the `token` events before it. `confidence` is 0..1: for questions and
    research the calibrated chance that the quotes hold the answer (docs/decisions/0005), for an
    analysis the share of its pages that could be read, and 0 where nothing stands behind the reply.
    """

    response: str
    confidence: float
    sources: Sequence[Mapping[str, Any]] = ()
    model_used: str = "none"  # the model whose words are in the response
    expansion_info: Mapping[str, Any] | None = None
    quality_assessment: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


Step = WorkerEvent | Answer


def update(
    progress: int | None = None, message: str | None = None, counts: Mapping[str, int] | None = None
) -> WorkerEvent:
    given = {"progress": progress, "message": message, "counts": counts}
    return WorkerEvent("task_update", {k: v for k, v in given.items() if v is not None})


def token(text: str) -> WorkerEvent:
    return WorkerEvent("token", {"text": text})


def sources(entries: Sequence[Mapping[str, Any]]) -> WorkerEvent:
    return WorkerEvent("sources", {"sources": list(entries)})


async def in_batches(events: AsyncIterator[WorkerEvent]) -> AsyncIterator[list[WorkerEvent]]:
    """Batches of what is there, in order. Text lingers 50 ms for more; everything else goes at once.

    Messages between processes cost more than what is in them. An error of `events` is raised after
    what came before it was handed on.
    """
    async with closing(events):
        upcoming = _next(events)
        try:
            while (event := await upcoming) is not None:
                batch = [event]
                upcoming = _next(events)
                while len(batch) < MAX_BATCH and await _ready(upcoming, event):
                    if upcoming.exception() or (event := upcoming.result()) is None:
                        break
                    batch.append(event)
                    upcoming = _next(events)
                yield batch
        finally:
            upcoming.cancel()
            await asyncio.wait({upcoming})
            if not upcoming.cancelled():
                upcoming.exception()  # seen: whoever stopped reading does not want it


def _next(events: AsyncIterator[WorkerEvent]) -> asyncio.Task[WorkerEvent | None]:
    return asyncio.ensure_future(_pull(events))


async def _pull(events: AsyncIterator[WorkerEvent]) -> WorkerEvent | None:
    return await anext(events, None)


async def _ready(upcoming: asyncio.Task[WorkerEvent | None], last: WorkerEvent) -> bool:
    done, _ = await asyncio.wait({upcoming}, timeout=LINGER if last.type == "token" else 0)
    return bool(done)
