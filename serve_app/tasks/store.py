"""The ledger's store: a port, and the changes and queries it understands.

A write is a list of `Change` values applied together or not at all, and on disk when `apply` returns. What
a change must find (`SaveTask.status`, a name that is still free) is checked in the same transaction, so two
writers can never both succeed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from serve_app.domain.errors import BadRequest, WorkerLost
from serve_app.domain.people import Conversation, Message, TokenInfo, User
from serve_app.domain.tasks import Schedule, Task, TaskEvent, TaskStatus

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class InsertTask:
    """Also takes its idempotency key. Conflict when the id or the key is there already."""

    task: Task


@dataclass(frozen=True, slots=True)
class SaveTask:
    """Write the task as it is now. StaleAttempt unless the row still has this status and attempt."""

    task: Task
    status: TaskStatus
    attempt: int


@dataclass(frozen=True, slots=True)
class AppendEvents:
    """Conflict when a number is taken."""

    events: tuple[TaskEvent, ...]


@dataclass(frozen=True, slots=True)
class ExpireResults:
    """Drop the results of these tasks, and their events but the last, which says that it expired.

    Tasks that run again meanwhile, by hand, are left alone; so in `DeleteTasks`.
    """

    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteTasks:
    """With their events and idempotency keys."""

    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SaveLimit:
    queue: str
    limit: int


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule, and the time up to which its firings are settled."""

    schedule: Schedule
    since: datetime


@dataclass(frozen=True, slots=True)
class SaveSchedule:
    row: ScheduleRow


@dataclass(frozen=True, slots=True)
class Fire:
    """Claim one firing. Conflict when it has been claimed."""

    name: str
    fire_at: datetime


@dataclass(frozen=True, slots=True)
class ForgetFirings:
    """Those before a time that every schedule is past."""

    before: datetime


@dataclass(frozen=True, slots=True)
class InsertUser:
    """Conflict when the name is taken."""

    user: User


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """With tokens and conversations."""

    user_id: str


@dataclass(frozen=True, slots=True)
class TokenRow:
    info: TokenInfo
    hash: str


@dataclass(frozen=True, slots=True)
class InsertToken:
    """Conflict when the user is not there."""

    row: TokenRow


@dataclass(frozen=True, slots=True)
class DeleteToken:
    token_id: str


@dataclass(frozen=True, slots=True)
class TouchTokens:
    """When tokens were last used, by id."""

    uses: Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class InsertConversation:
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class RenameConversation:
    conversation_id: str
    title: str


@dataclass(frozen=True, slots=True)
class DeleteConversation:
    """With its messages."""

    conversation_id: str


@dataclass(frozen=True, slots=True)
class AddMessage:
    """Nothing when the conversation has been deleted meanwhile."""

    conversation_id: str
    message: Message


Change = (
    InsertTask
    | SaveTask
    | AppendEvents
    | ExpireResults
    | DeleteTasks
    | SaveLimit
    | SaveSchedule
    | Fire
    | ForgetFirings
    | InsertUser
    | DeleteUser
    | InsertToken
    | DeleteToken
    | TouchTokens
    | InsertConversation
    | RenameConversation
    | DeleteConversation
    | AddMessage
)

Key = tuple[datetime, str]  # where a page of a listing ends: (time, id)


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Newest first, from `before` on (exclusive). Empty fields do not filter."""

    limit: int
    user_id: str | None = None
    status: TaskStatus | None = None
    queue: str | None = None
    before: Key | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after a number, in order. `ended`: the task is over and these reach its last event."""

    events: tuple[TaskEvent, ...]
    ended: bool


class TaskStore(Protocol):
    """Reads see every write that has returned. All raise Unavailable when the medium fails."""

    async def open(self) -> None:
        """Become the one owner. Raises ConfigError while another process is."""
        ...

    async def close(self) -> None: ...

    async def apply(self, *changes: Change) -> None:
        """All or nothing. Raises Conflict or StaleAttempt as the changes say."""
        ...

    async def task(self, task_id: str) -> Task | None: ...

    async def unfinished(self) -> list[Task]:
        """Queued and processing, oldest first."""
        ...

    async def tasks(self, query: TaskQuery) -> list[Task]: ...

    async def keyed_task(self, user_id: str, idempotency_key: str) -> Task | None: ...

    async def events(self, task_id: str, after: int, limit: int) -> EventPage: ...

    async def expirable(self, now: datetime, limit: int) -> list[str]:
        """Ids of tasks whose result has had its time."""
        ...

    async def finished_before(self, before: datetime, limit: int) -> list[str]: ...

    async def limits(self) -> dict[str, int]: ...

    async def schedules(self) -> list[ScheduleRow]:
        """By name."""
        ...

    async def users(self) -> list[User]:
        """Oldest first."""
        ...

    async def tokens(self) -> list[TokenRow]:
        """Oldest first."""
        ...

    async def conversations(
        self, user_id: str, limit: int, before: Key | None
    ) -> list[Conversation]:
        """Last used first, without messages."""
        ...

    async def conversation(self, conversation_id: str, limit: int) -> Conversation | None:
        """With its newest `limit` messages, oldest first."""
        ...

    async def turns_before(
        self, conversation_id: str, task_id: str, limit: int
    ) -> Sequence[Message]:
        """The newest `limit` messages older than those of this task, oldest first."""
        ...


def closed() -> WorkerLost:
    """What a call to a closed store raises: its next owner is about to take over, so callers look for that one."""
    return WorkerLost("The task ledger is closed.")


def microseconds(at: datetime) -> int:
    """Whole microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    return _EPOCH + value * _MICROSECOND


def cursor_of(key: Key) -> str:
    """A key as clients carry it."""
    text = f"{microseconds(key[0])}:{key[1]}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def key_of(cursor: str | None) -> Key | None:
    """Raises BadRequest for what is no cursor of ours."""
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, _, item = text.partition(":")
        return moment(int(at)), item
    except (binascii.Error, ValueError, OverflowError) as error:
        raise BadRequest("The cursor is not one that a listing gave.", field="cursor") from error
