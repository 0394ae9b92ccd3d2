"""Upkeep of the knowledge base as tasks: `embed_pending`, `assess_quality` and `clean_up`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from serve_app.domain.errors import BadRequest
from serve_app.domain.knowledge import WorkReport
from serve_app.domain.ports import Knowledge
from serve_app.domain.tasks import Assignment, WorkerEvent

_STEP = 10  # pages between two reports of progress
_MAX_LIMIT = 10_000


class KnowledgeWorker:
    """Runs one attempt in small steps, so that a person sees how far it is. Every step is kept."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    async def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        """Kinds `embed_pending` (args `limit` = 50, `crawl_id`?) `assess_quality` (`limit` = 100)
        and `clean_up`."""
        if assignment.kind == "clean_up":
            yield [_result(await self._knowledge.clean_up())]
            return
        args = assignment.args
        step: Callable[[int], Awaitable[WorkReport]]
        if assignment.kind == "embed_pending":
            step = partial(self._knowledge.embed_pending, crawl_id=args.get("crawl_id"))
            limit, doing = _limit(args, 50), "Embedding pages"
        elif assignment.kind == "assess_quality":
            step, limit, doing = (
                self._knowledge.assess_quality,
                _limit(args, 100),
                "Assessing pages",
            )
        else:
            raise BadRequest(f"The knowledge worker does not know the kind {assignment.kind!r}.")
        async for events in _in_steps(step, limit, doing):
            yield events


async def _in_steps(
    step: Callable[[int], Awaitable[WorkReport]], limit: int, doing: str
) -> AsyncIterator[Sequence[WorkerEvent]]:
    yield [WorkerEvent("task_update", {"progress": 0, "message": f"{doing}."})]
    counts: dict[str, int] = {}
    remaining, asked = 0, 0
    while asked < limit:
        size = min(_STEP, limit - asked)
        report = await step(size)
        asked += size
        for name, n in report.counts.items():
            counts[name] = counts.get(name, 0) + n
        remaining = report.remaining
        due = min(limit, counts.get("pages", 0) + remaining)
        progress = min(99, 100 * counts.get("pages", 0) // due) if due else 99
        message = f"{doing}: {counts.get('pages', 0)} of {due}."
        yield [WorkerEvent("task_update", _update(progress, message, counts))]
        if remaining <= 0 or not any(report.counts.values()):
            break
    yield [_result(WorkReport(counts, remaining))]


def _result(report: WorkReport) -> WorkerEvent:
    counts = dict(report.counts)
    return WorkerEvent(
        "result",
        {
            "response": _summary(counts, report.remaining),
            "counts": counts,
            "remaining": report.remaining,
        },
    )


def _update(progress: int, message: str, counts: Mapping[str, int]) -> dict[str, Any]:
    return {"progress": progress, "message": message, "counts": dict(counts)}


def _summary(counts: Mapping[str, int], remaining: int) -> str:
    done = ", ".join(f"{n} {name}" for name, n in counts.items()) or "nothing"
    return f"Done: {done}. Pages left: {remaining}."


def _limit(args: Mapping[str, Any], default: int) -> int:
    limit = args.get("limit", default)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= _MAX_LIMIT:
        raise BadRequest(f"limit is a whole number from 1 to {_MAX_LIMIT}.", field="limit")
    return limit
