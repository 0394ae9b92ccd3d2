"""How far a task is, from what its worker tells: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from serve_app.domain.tasks import Task


def advance(task: Task, data: Mapping[str, Any]) -> Task:
    """The task after a `task_update` (`progress`, `message`, `counts`: any of them, or none).

    Progress is a whole number, never falls within an attempt, and stays below 100 until the result is
    there. Without a percentage it comes from the counts.
    """
    counts = {str(name): int(n) for name, n in (data.get("counts") or {}).items()} or task.counts
    told = data.get("progress")
    percent = from_counts(counts) if told is None else int(told)
    return replace(
        task,
        progress=max(task.progress, min(99, percent)),
        message=str(data.get("message", task.message)),
        counts=counts,
    )


def from_counts(counts: Mapping[str, int]) -> int:
    """Percent done. `done` of `total` where a worker counts so; else what is settled of what was found.

    A crawl settles an address when its page is stored or it failed; a stored page still has to be
    embedded, so that counts as half.
    """
    if total := counts.get("total", 0):
        return 100 * min(counts.get("done", 0), total) // total
    found = counts.get("found", 0)
    if not found:
        return 0
    failed, stored = counts.get("failed", 0), counts.get("stored", 0)
    embedded = min(counts.get("embedded", 0), stored)
    return min(100, (200 * failed + 100 * stored + 100 * embedded) // (2 * found))
