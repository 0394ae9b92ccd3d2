"""Tasks as the ledger, the workers and the API speak of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class TaskStatus(StrEnum):
    """The five states of contract section 3."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class TaskKind:
    """What the ledger needs to know of a kind of work. `worker` names the port that runs it.

    `soft_limit` and `hard_limit` are seconds, None for parents of bounded batches (crawls).
    """

    name: str
    queue: str
    worker: str
    soft_limit: float | None = 300.0
    hard_limit: float | None = 600.0
    max_retries: int = 3


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task as submitted. `args` is JSON and small: bulk data travels beside the ledger, never through it."""

    kind: str
    args: Mapping[str, Any]
    user_id: str
    conversation_id: str | None = None
    idempotency_key: str | None = None
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the ledger."""

    id: str
    kind: str
    args: Mapping[str, Any]
    user_id: str
    queue: str
    status: TaskStatus
    created_at: datetime
    conversation_id: str | None = None
    parent_id: str | None = None
    idempotency_key: str | None = None
    attempt: int = 0  # 0 until first started; every start is a new attempt
    failures: int = 0  # attempts that ended by an error of their own
    losses: int = 0  # attempts whose worker went away
    not_before: datetime | None = None  # a queued task waits until then
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None  # when the result may be dropped
    expired: bool = False
    cancel_requested: bool = False
    progress: int = 0
    message: str = ""
    detail: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None  # {"error": sentence, "code": short name}
    last_seq: int = 0  # number of the last event logged


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at a task, as handed to a worker. (task_id, attempt) is the fence of every write it makes."""

    task_id: str
    attempt: int
    kind: str
    args: Mapping[str, Any]
    user_id: str
    conversation_id: str | None = None
    history: tuple[tuple[str, str], ...] = ()  # earlier turns, oldest first: (role, text)
    soft_deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """What a worker tells while it works. The ledger adds number, task, attempt and conversation.

    type                 data
    task_update          any of progress (0..100), message, counts {phase: n}
    agent_routed         selected_agent, confidence, reason
    sources              sources: list as in contract section 4
    token                text
    knowledge_expanded   expansion_info
    result               the result object; exactly one, and the last
    """

    type: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """A worker's event, or a change of state, as logged: `seq` counts 1, 2, 3 … within the task."""

    task_id: str
    seq: int
    attempt: int
    type: str
    data: Mapping[str, Any]
    at: datetime
    conversation_id: str | None = None

    @property
    def is_last(self) -> bool:
        return self.type in ("task_completed", "task_failed", "task_cancelled")

    def wire(self) -> dict[str, Any]:
        """The form of contract section 5."""
        return {
            "type": self.type,
            "task_id": self.task_id,
            "conversation_id": self.conversation_id,
            "attempt": self.attempt,
            "seq": self.seq,
            **self.data,
        }


@dataclass(frozen=True, slots=True)
class Schedule:
    """Periodic work. `cron` is a five-field expression read in UTC."""

    name: str
    cron: str
    kind: str
    args: Mapping[str, Any]
    description: str
    enabled: bool = True
    last_fired_at: datetime | None = None
    next_fire_at: datetime | None = None
    last_task_id: str | None = None
