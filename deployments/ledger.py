"""The ledger as the API sees it: the detached TaskManager actor behind the `Ledger` port."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.actor import ActorHandle

from deployments.errors import to_brain_error
from deployments.event_hub import EventHub
from serve_app.domain.errors import Unavailable, WorkerLost
from serve_app.domain.people import Conversation, Principal, TokenInfo, User
from serve_app.domain.tasks import Schedule, Task, TaskEvent, TaskSpec, TaskStatus

MANAGER = "TaskManager"
NAMESPACE = "omeruta"
PATIENCE_SECONDS = 20.0  # how long a call waits for a manager that is being restarted
RETRY_SECONDS = 0.2
# Calls that would do a thing twice if they were repeated after their answer was lost.
NOT_REPEATED = frozenset({"create_user", "create_token", "run_schedule", "retry"})


class _ManagerLink:
    """Calls the actor, finding it again by name when it was restarted or replaced."""

    def __init__(self) -> None:
        self._actor: ActorHandle[Any] | None = None

    def _find(self) -> ActorHandle[Any]:
        if self._actor is None:
            try:
                self._actor = ray.get_actor(MANAGER, NAMESPACE)
            except ValueError as error:
                raise WorkerLost("The task manager is being replaced.") from error
        return self._actor

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Repeated while the manager is away: reads are safe, and a submit carries its idempotency key."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await self._find().call.remote(method, args, kwargs)
            except Exception as error:  # every foreign error is mapped here, none is dropped
                mapped = to_brain_error(error, "The task manager")
                if not isinstance(mapped, WorkerLost):
                    raise mapped from error
                self._actor = None
                if time.monotonic() > give_up or method in NOT_REPEATED:
                    raise Unavailable(
                        "The task manager does not answer. Nothing that was accepted is lost.",
                        retry_after=5,
                    ) from error
            await asyncio.sleep(RETRY_SECONDS)

    async def feed(self, subscriber: str) -> AsyncIterator[Sequence[TaskEvent]]:
        try:
            stream: Any = self._find().feed.options(num_returns="streaming").remote(subscriber)
            async for reference in stream:
                yield await reference
        except Exception as error:  # as above
            self._actor = None
            raise to_brain_error(error, "The task manager") from error

    async def subscribe(self, subscriber: str, task_id: str, after: int) -> int:
        start: int = await self.call("subscribe", subscriber, task_id, after)
        return start

    async def unsubscribe(self, subscriber: str, task_id: str) -> None:
        await self.call("unsubscribe", subscriber, task_id)


class RemoteLedger:
    """`Ledger` over the actor. One for each replica: it holds one stream of events for all that ask here."""

    def __init__(self) -> None:
        self._link = _ManagerLink()
        self._hub = EventHub(self._link, uuid.uuid4().hex)

    async def close(self) -> None:
        await self._hub.close()

    async def submit(self, spec: TaskSpec) -> Task:
        if spec.idempotency_key is None:
            # So that a call repeated because the manager went away does not make a second task.
            spec = replace(spec, idempotency_key=f"auto:{uuid.uuid4().hex}")
        task: Task = await self._link.call("submit", spec)
        return task

    async def get(self, task_id: str, who: Principal) -> Task:
        task: Task = await self._link.call("get", task_id, who)
        return task

    async def queue_position(self, task_id: str) -> int | None:
        position: int | None = await self._link.call("queue_position", task_id)
        return position

    async def list_tasks(
        self,
        who: Principal,
        *,
        status: TaskStatus | None = None,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[Task], str | None]:
        found: tuple[list[Task], str | None] = await self._link.call(
            "list_tasks", who, status=status, queue=queue, limit=limit, cursor=cursor
        )
        return found

    async def cancel(self, task_id: str, who: Principal) -> Task:
        task: Task = await self._link.call("cancel", task_id, who)
        return task

    async def retry(self, task_id: str, who: Principal) -> Task:
        task: Task = await self._link.call("retry", task_id, who)
        return task

    async def events(
        self, task_id: str, who: Principal, after: int = 0
    ) -> AsyncIterator[TaskEvent]:
        while not _told(await self.get(task_id, who), after):
            async for event in self._hub.events(task_id, after):
                after = event.seq
                yield event

    async def queues(self) -> Mapping[str, Any]:
        queues: Mapping[str, Any] = await self._link.call("queues")
        return queues

    async def schedules(self) -> list[Schedule]:
        schedules: list[Schedule] = await self._link.call("schedules")
        return schedules

    async def run_schedule(self, name: str, who: Principal) -> Task:
        task: Task = await self._link.call("run_schedule", name, who)
        return task

    async def update_schedule(
        self, name: str, *, cron: str | None = None, enabled: bool | None = None
    ) -> Schedule:
        schedule: Schedule = await self._link.call(
            "update_schedule", name, cron=cron, enabled=enabled
        )
        return schedule

    async def authenticate(self, token: str) -> Principal | None:
        principal: Principal | None = await self._link.call("authenticate", token)
        return principal

    async def users(self) -> list[User]:
        users: list[User] = await self._link.call("users")
        return users

    async def create_user(self, name: str, role: str) -> User:
        user: User = await self._link.call("create_user", name, role)
        return user

    async def delete_user(self, user_id: str) -> None:
        await self._link.call("delete_user", user_id)

    async def tokens(self, who: Principal) -> list[TokenInfo]:
        tokens: list[TokenInfo] = await self._link.call("tokens", who)
        return tokens

    async def create_token(
        self, who: Principal, name: str, user_id: str | None = None
    ) -> tuple[TokenInfo, str]:
        created: tuple[TokenInfo, str] = await self._link.call("create_token", who, name, user_id)
        return created

    async def delete_token(self, who: Principal, token_id: str) -> None:
        await self._link.call("delete_token", who, token_id)

    async def conversations(
        self, who: Principal, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Conversation], str | None]:
        found: tuple[list[Conversation], str | None] = await self._link.call(
            "conversations", who, limit=limit, cursor=cursor
        )
        return found

    async def conversation(self, conversation_id: str, who: Principal) -> Conversation:
        conversation: Conversation = await self._link.call("conversation", conversation_id, who)
        return conversation

    async def rename_conversation(
        self, conversation_id: str, who: Principal, title: str
    ) -> Conversation:
        conversation: Conversation = await self._link.call(
            "rename_conversation", conversation_id, who, title
        )
        return conversation

    async def delete_conversation(self, conversation_id: str, who: Principal) -> None:
        await self._link.call("delete_conversation", conversation_id, who)


def _told(task: Task, seq: int) -> bool:
    """Whether `seq` was the last word. A task that was retried by hand has an earlier end in its log."""
    return task.status.is_final and seq >= task.last_seq
