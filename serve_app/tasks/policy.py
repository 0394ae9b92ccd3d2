"""What follows when an attempt ends without a result, and how long it may take: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from serve_app.domain.errors import (
    AddressForbidden,
    BadRequest,
    BrainError,
    ConfigError,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    ModelError,
    NotFound,
    Overloaded,
    StaleAttempt,
    TaskCancelled,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from serve_app.domain.tasks import Task, TaskKind

# A further attempt would meet the same: the request, the set-up or the caller must change first.
# A task that ran into its hard limit belongs here: it would hold its place as long again.
FINAL_ERRORS = (
    AddressForbidden,
    BadRequest,
    ConfigError,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    ModelError,
    NotFound,
    TaskCancelled,
    TooLarge,
    Unauthenticated,
)
MAX_LOSSES = 100  # some 15 minutes of a part that is away; what is restarting comes back sooner
_LOSS_DELAY, _LOSS_DELAY_CAP = 0.5, 10.0
_RETRY_DELAY_CAP = 3600.0
_JITTER = 0.25


@dataclass(frozen=True, slots=True)
class Again:
    """Run again at `at`. `lost`: it counts as a lost worker, not as a failure of the task."""

    at: datetime
    lost: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; `error` is what the person reads."""

    error: BrainError


def after_error(
    task: Task, kind: TaskKind, error: BrainError, *, now: datetime, base: float, jitter: float
) -> Again | GiveUp:
    """Decide by the attempts that `task` has behind it, this one not yet counted.

    An error of its own waits `base` seconds, then twice as long each time, with up to a quarter added by
    `jitter` (0..1). A part that is away is no error of the task: it runs again almost at once. So does an
    attempt that another store holds for replaced though the ledger does not: the next one has a higher number.
    """
    if isinstance(error, (Unavailable, Overloaded, StaleAttempt)):
        if task.losses >= MAX_LOSSES:
            return GiveUp(
                BrainError(
                    f"The task was given up after its worker was away {task.losses + 1} times. "
                    f"The last reason: {error.message}"
                )
            )
        delay = min(_LOSS_DELAY_CAP, _LOSS_DELAY * 2**task.losses)
        return Again(now + timedelta(seconds=max(delay, error.retry_after or 0.0)), lost=True)
    if isinstance(error, FINAL_ERRORS) or task.failures >= kind.max_retries:
        return GiveUp(error)
    delay = min(_RETRY_DELAY_CAP, base * 2**task.failures) * (1 + _JITTER * jitter)
    return Again(now + timedelta(seconds=delay), lost=False)


def soft_deadline(kind: TaskKind, started: datetime) -> datetime | None:
    """When the task should tidy up and report what it has."""
    return _after(started, kind.soft_limit)


def hard_deadline(kind: TaskKind, started: datetime) -> datetime | None:
    """When the task is ended."""
    return _after(started, kind.hard_limit)


def _after(started: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else started + timedelta(seconds=seconds)
