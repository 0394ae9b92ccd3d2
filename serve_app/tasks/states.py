"""The legal moves of a task, as pure functions from the task before to the task after.

queued -> processing -> completed | failed | cancelled
queued -> cancelled;  processing -> queued (again);  failed | cancelled -> queued (by hand)

A move that is not legal raises Conflict; one by an attempt that has been replaced raises StaleAttempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from serve_app.domain.errors import BrainError, Conflict, StaleAttempt, TaskCancelled
from serve_app.domain.tasks import Task, TaskStatus


def start(task: Task, now: datetime) -> Task:
    """A new attempt begins. Progress and counts start again; the numbers of its events go on."""
    _require(task, TaskStatus.QUEUED, to="started")
    return replace(
        task,
        status=TaskStatus.PROCESSING,
        attempt=task.attempt + 1,
        started_at=now,
        not_before=None,
        progress=0,
        counts={},
        message="Starting.",
        detail=None,
        error=None,
    )


def complete(
    task: Task, attempt: int, result: Mapping[str, Any], ends: tuple[datetime, datetime]
) -> Task:
    """The attempt has its result. `ends`: when it finished, and when the result may be dropped."""
    check_running(task, attempt)
    return replace(
        task,
        status=TaskStatus.COMPLETED,
        finished_at=ends[0],
        expires_at=ends[1],
        progress=100,
        message="Ready.",
        detail=None,
        result=result,
    )


def fail(task: Task, attempt: int, error: BrainError, ends: tuple[datetime, datetime]) -> Task:
    """The attempt failed and no other follows. `ends` as in `complete`."""
    check_running(task, attempt)
    return replace(
        task,
        status=TaskStatus.FAILED,
        finished_at=ends[0],
        expires_at=ends[1],
        message=error.message,
        detail=None,
        error=error_body(error),
    )


def run_again(task: Task, attempt: int, error: BrainError, *, at: datetime, lost: bool) -> Task:
    """Back to the queue until `at`. `lost`: not by an error of its own, its worker went away."""
    check_running(task, attempt)
    return replace(
        task,
        status=TaskStatus.QUEUED,
        failures=task.failures + (not lost),
        losses=task.losses + lost,
        not_before=at,
        message=f"Waiting to try again. {error.message}",
        detail="retry_at",
        error=error_body(error),
    )


def release(task: Task, attempt: int, *, lost: bool) -> Task:
    """Back to the queue at once: the ledger itself went away (`lost`) or is being stopped in order."""
    check_running(task, attempt)
    return replace(
        task,
        status=TaskStatus.QUEUED,
        losses=task.losses + lost,
        message="Waiting to go on after a restart.",
        detail=None,
    )


def hear(task: Task, attempt: int) -> Task:
    """The worker has told something: a stall is over."""
    check_running(task, attempt)
    return replace(task, detail=None) if task.detail == "stalled" else task


def stall(task: Task, attempt: int) -> Task:
    """Nothing has been heard of the worker for a while."""
    check_running(task, attempt)
    return replace(task, detail="stalled")


def request_cancel(task: Task) -> Task:
    """Note on disk that a running task is to end, so that a restart ends it too."""
    _require(task, TaskStatus.PROCESSING, to="cancelled")
    return replace(task, cancel_requested=True, message="Stopping.", detail="cancelling")


def cancel(task: Task, ends: tuple[datetime, datetime]) -> Task:
    """End a queued or running task. `ends` as in `complete`."""
    _require(task, TaskStatus.QUEUED, TaskStatus.PROCESSING, to="cancelled")
    error = TaskCancelled("The task was cancelled.")
    return replace(
        task,
        status=TaskStatus.CANCELLED,
        finished_at=ends[0],
        expires_at=ends[1],
        cancel_requested=True,
        not_before=None,
        message=error.message,
        detail=None,
        error=error_body(error),
    )


def retry(task: Task) -> Task:
    """By hand: a failed or cancelled task gets a fresh set of tries."""
    _require(task, TaskStatus.FAILED, TaskStatus.CANCELLED, to="tried again")
    return replace(
        task,
        status=TaskStatus.QUEUED,
        failures=0,
        losses=0,
        not_before=None,
        finished_at=None,
        expires_at=None,
        expired=False,
        cancel_requested=False,
        progress=0,
        counts={},
        message="Waiting to be tried again.",
        detail=None,
        error=None,
    )


def expire(task: Task, now: datetime) -> Task:
    """What is shown of a task whose result has had its time."""
    if task.expires_at is None or task.expires_at > now:
        return task
    return replace(task, result=None, expired=True)


def check_running(task: Task, attempt: int) -> None:
    """Raise StaleAttempt unless `attempt` is the one that runs."""
    if task.status is not TaskStatus.PROCESSING or task.attempt != attempt:
        raise StaleAttempt(f"Attempt {attempt} of task {task.id} has been replaced or has ended.")


def error_body(error: BrainError) -> Mapping[str, Any]:
    """An error as kept with its task."""
    return {"error": error.message, "code": error.code}


def _require(task: Task, *allowed: TaskStatus, to: str) -> None:
    if task.status not in allowed:
        raise Conflict(f"The task is {task.status.value} and cannot be {to}.")
