"""The task engine: the `Ledger` port on a `TaskStore`, in one asyncio loop.

An accepted task is on disk before its id is returned; it runs at least once; its result and its end are
written together, by the attempt that is current and by no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from serve_app.domain.errors import BadRequest, BrainError, NotFound
from serve_app.domain.people import Conversation, Principal, TokenInfo, User
from serve_app.domain.ports import Clock, Worker
from serve_app.domain.tasks import Schedule, Task, TaskEvent, TaskSpec, TaskStatus
from serve_app.settings import Settings
from serve_app.tasks import states
from serve_app.tasks.conversations import Conversations
from serve_app.tasks.desk import Desk
from serve_app.tasks.dispatcher import Dispatcher
from serve_app.tasks.feed import Feed
from serve_app.tasks.journal import Entry, Journal, told
from serve_app.tasks.kinds import kinds, queues
from serve_app.tasks.people import People
from serve_app.tasks.runner import Tools, cancelled
from serve_app.tasks.store import SaveLimit, TaskStore
from serve_app.tasks.upkeep import CleanUp, Scheduler
from serve_app.tasks.wire import iso

log = logging.getLogger(__name__)

_FLUSH_EVERY = 60.0
_PAUSE = 1.0


class TaskEngine:
    """Give it a store and the workers by name; `start` before, `stop` after.

    Workers: `orchestrator`, `crawler`, `knowledge`, and optionally `maintenance` (runs with clean_up).
    """

    def __init__(
        self, store: TaskStore, workers: Mapping[str, Worker], clock: Clock, settings: Settings
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._queues = queues(settings.llm.slots)
        self._feed = Feed(store.events)
        self._journal = Journal(store, self._feed, clock)
        self._talks = Conversations(store)
        self._people = People(store, clock)
        ledger = CleanUp(store, clock, settings.tasks, workers.get("maintenance"))
        tools = Tools(
            journal=self._journal,
            conversations=self._talks,
            workers={**workers, "ledger": ledger},
            clock=clock,
            settings=settings.tasks,
        )
        known = kinds(settings.tasks)
        self._dispatcher = Dispatcher(self._queues, known, tools)
        self._desk = Desk(store, self._dispatcher, known, tools, settings)
        self._scheduler = Scheduler(store, clock, self._desk.enqueue)
        self._loops: list[asyncio.Task[None]] = []

    # life

    async def start(self) -> None:
        """Open the store, take up what an earlier life left, and begin to run.

        Raises ConfigError when another process holds the store or the secret is not fit.
        """
        await self._store.open()
        try:
            await self._take_up()
        except BaseException:
            await self._store.close()
            raise
        loops = (self._dispatcher.run, self._scheduler.run, self._flush_uses)
        self._loops = [asyncio.create_task(_supervised(loop, self._clock)) for loop in loops]

    async def _take_up(self) -> None:
        await self._people.bootstrap(self._settings)
        limits = await self._store.limits()
        self._dispatcher.limits.update({q: n for q, n in limits.items() if q in self._queues})
        for task in await self._store.unfinished():
            await self._recover(Entry(task))
        await self._scheduler.load()

    async def _recover(self, entry: Entry) -> None:
        """What ran when the last owner ended goes back to its queue, or ends if that was wanted."""
        task = entry.task
        if task.status is TaskStatus.PROCESSING:
            if task.cancel_requested:
                await self._journal.change(entry, lambda t: cancelled(t, self._desk.ends()))
                return
            await self._journal.change(
                entry, lambda t: told(states.release(t, t.attempt, lost=True))
            )
        self._dispatcher.add(entry)

    async def stop(self, drain: float) -> None:
        """Start nothing more, let what runs finish within `drain` seconds, and close the store."""
        await self._dispatcher.drain(drain)
        for loop in self._loops:
            loop.cancel()
        if self._loops:
            await asyncio.wait(self._loops)
        await self._journal.close()
        with suppress(BrainError):  # only when tokens were last used
            await self._people.flush_uses()
        self._feed.close()
        await self._store.close()

    async def _flush_uses(self) -> None:
        while True:
            await self._clock.sleep(_FLUSH_EVERY)
            await self._people.flush_uses()

    # tasks

    async def submit(self, spec: TaskSpec) -> Task:
        return await self._desk.submit(spec)

    async def get(self, task_id: str, who: Principal) -> Task:
        return await self._desk.get(task_id, who)

    async def queue_position(self, task_id: str) -> int | None:
        return self._dispatcher.position(task_id)

    async def list_tasks(
        self,
        who: Principal,
        *,
        status: TaskStatus | None = None,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[Task], str | None]:
        return await self._desk.list_tasks(
            who, status=status, queue=queue, limit=limit, cursor=cursor
        )

    async def cancel(self, task_id: str, who: Principal) -> Task:
        return await self._desk.cancel(task_id, who)

    async def retry(self, task_id: str, who: Principal) -> Task:
        return await self._desk.retry(task_id, who)

    # events

    async def events(
        self, task_id: str, who: Principal, after: int = 0
    ) -> AsyncIterator[TaskEvent]:
        task = await self.get(task_id, who)
        async for event in self._feed.follow(task_id, min(after, task.last_seq)):
            yield event

    def feed(self, subscriber_id: str) -> AsyncIterator[list[TaskEvent]]:
        """One stream of the events of all tasks that this subscriber follows.

        Every stream opened needs a new id: its subscriptions end with it.
        """
        return self._feed.stream(subscriber_id)

    async def subscribe(self, subscriber_id: str, task_id: str, after: int = 0) -> int:
        """Put a task's events after `after` into the stream, then follow it to its end.

        Answers the number after which they come: higher than `after` where the log's beginning was dropped
        with an expired result, so that the reader takes it for no gap.
        May come before the stream is opened. Who may see the task is for the caller to ask (`get`).
        """
        entry = self._dispatcher.find(task_id)
        task = entry.task if entry else await self._store.task(task_id)
        if task is None:
            raise NotFound("There is no such task.")
        page = await self._store.events(task_id, after, 1)
        start = page.events[0].seq - 1 if page.events else min(after, task.last_seq)
        self._feed.subscriber(subscriber_id).follow(task_id, start)
        return start

    async def unsubscribe(self, subscriber_id: str, task_id: str) -> None:
        self._feed.leave(subscriber_id, task_id)

    # queues and schedules

    async def queues(self) -> Mapping[str, Any]:
        """Per queue: priority, limit, waiting, running, and since when the oldest has waited."""
        shown: dict[str, Any] = {}
        for name in self._queues:
            waiting = self._dispatcher.waiting(name)
            place = self._dispatcher.place(name)
            shown[name] = {
                "priority": place.priority,
                "limit": place.limit,
                "waiting": len(waiting),
                "running": place.running,
                "oldest": iso(min((task.created_at for task in waiting), default=None)),
            }
        return shown

    async def set_queue_limit(self, queue: str, limit: int) -> None:
        """How many tasks of a queue run at once, from now on; 0 holds it."""
        if queue not in self._queues:
            raise NotFound(f"There is no queue named {queue}.")
        if limit < 0:
            raise BadRequest("A limit cannot be negative.", field="limit")
        await self._store.apply(SaveLimit(queue, limit))
        self._dispatcher.limits[queue] = limit
        self._dispatcher.wake()

    async def schedules(self) -> list[Schedule]:
        return self._scheduler.list()

    async def run_schedule(self, name: str, who: Principal) -> Task:
        return await self._journal.through(self._scheduler.run_now(name, who.user_id))

    async def update_schedule(
        self, name: str, *, cron: str | None = None, enabled: bool | None = None
    ) -> Schedule:
        return await self._journal.through(self._scheduler.update(name, cron, enabled))

    # people

    async def authenticate(self, token: str) -> Principal | None:
        return await self._people.authenticate(token)

    async def users(self) -> list[User]:
        return await self._people.users()

    async def create_user(self, name: str, role: str) -> User:
        return await self._journal.through(self._people.create_user(name, role))

    async def delete_user(self, user_id: str) -> None:
        await self._journal.through(self._people.delete_user(user_id))

    async def tokens(self, who: Principal) -> list[TokenInfo]:
        return await self._people.tokens(who)

    async def create_token(
        self, who: Principal, name: str, user_id: str | None = None
    ) -> tuple[TokenInfo, str]:
        return await self._journal.through(self._people.create_token(who, name, user_id))

    async def delete_token(self, who: Principal, token_id: str) -> None:
        await self._journal.through(self._people.delete_token(who, token_id))

    # conversations

    async def conversations(
        self, who: Principal, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Conversation], str | None]:
        return await self._talks.list(who, limit, cursor)

    async def conversation(self, conversation_id: str, who: Principal) -> Conversation:
        return await self._talks.get(conversation_id, who)

    async def rename_conversation(
        self, conversation_id: str, who: Principal, title: str
    ) -> Conversation:
        return await self._talks.rename(conversation_id, who, title)

    async def delete_conversation(self, conversation_id: str, who: Principal) -> None:
        await self._talks.delete(conversation_id, who)


async def _supervised(loop: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Keep a loop that never ends by itself going."""
    while True:
        try:
            await loop()
        except Exception:  # supervision: without its loops the engine would silently stand still
            log.exception("A loop of the task engine broke and is started again")
            await clock.sleep(_PAUSE)
