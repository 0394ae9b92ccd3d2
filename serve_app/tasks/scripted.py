"""A worker that plays a script: the fake beside the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from serve_app.domain.tasks import Assignment, WorkerEvent

# A batch to tell, an error to raise, or an event to wait for.
ScriptStep = Sequence[WorkerEvent] | Exception | asyncio.Event


class ScriptedWorker:
    """Attempt n plays the n-th script, the last one from then on. Remembers what it was given."""

    def __init__(self, *scripts: Sequence[ScriptStep]) -> None:
        self._scripts = scripts
        self.assignments: list[Assignment] = []
        self.running = 0
        self.most_running = 0

    async def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        self.assignments.append(assignment)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for step in self._scripts[min(assignment.attempt, len(self._scripts)) - 1]:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.running -= 1


def update(**data: Any) -> Sequence[WorkerEvent]:
    """One `task_update`."""
    return [WorkerEvent("task_update", data)]


def tokens(*texts: str) -> Sequence[WorkerEvent]:
    return [WorkerEvent("token", {"text": text}) for text in texts]


def result(data: Mapping[str, Any] | None = None) -> Sequence[WorkerEvent]:
    return [WorkerEvent("result", data if data is not None else {"response": "Done."})]
