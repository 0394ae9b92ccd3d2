"""One stream of events from the TaskManager for all the subscribers of a replica. Plain asyncio, no Ray.

A subscriber takes events strictly in order: it ignores what it has seen and asks for a replay when it sees a
gap. So it does not matter who else subscribed, when, or whether the stream broke in between.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from serve_app.domain.errors import BrainError, WorkerLost
from serve_app.domain.tasks import TaskEvent

log = logging.getLogger(__name__)

QUEUE_EVENTS = 512  # kept for a subscriber that does not read; what is over is replayed later
RECONNECT_SECONDS = 0.25


class EventSource(Protocol):
    """The manager's side: `feed` brings what was subscribed to, replays included."""

    def feed(self, subscriber: str) -> AsyncIterator[Sequence[TaskEvent]]: ...

    async def subscribe(self, subscriber: str, task_id: str, after: int) -> int:
        """The number after which the log goes on: higher than `after` where old events have been dropped."""
        ...

    async def unsubscribe(self, subscriber: str, task_id: str) -> None: ...


class _Subscription:
    def __init__(self, task_id: str, after: int) -> None:
        self.task_id = task_id
        self.seen = after  # put into the queue up to here
        self.queue: asyncio.Queue[TaskEvent | BrainError] = asyncio.Queue(QUEUE_EVENTS)
        self.behind = False

    def offer(self, event: TaskEvent) -> None:
        if event.seq <= self.seen:
            return
        if event.seq > self.seen + 1 or self.queue.full():
            self.behind = True
            return
        self.seen = event.seq
        self.queue.put_nowait(event)

    def fail(self, error: BrainError) -> None:
        """For its reader, after what has come already."""
        if self.queue.full():
            self.behind = True  # it asks again when it has read on
        else:
            self.queue.put_nowait(error)


class EventHub:
    def __init__(self, source: EventSource, name: str) -> None:
        self._source = source
        self._name = name  # of the stream that stands now
        self._subscriptions: dict[str, set[_Subscription]] = {}
        self._pump: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()

    async def events(self, task_id: str, after: int) -> AsyncIterator[TaskEvent]:
        """What came after `after`, then what comes, until the task's last event.

        Raises what the manager says against it (NotFound, Overloaded, Unavailable).
        """
        subscription = _Subscription(task_id, after)
        self._subscriptions.setdefault(task_id, set()).add(subscription)
        if self._pump is None:
            self._pump = asyncio.create_task(self._run())
        try:
            await self._connected.wait()
            await self._ask(subscription)
            while True:
                event = await self._next(subscription)
                yield event
                if event.is_last:
                    return
        finally:
            await self._leave(subscription)

    async def _next(self, subscription: _Subscription) -> TaskEvent:
        if subscription.behind and subscription.queue.empty():
            subscription.behind = False
            await self._ask(subscription)
        told = await subscription.queue.get()
        if isinstance(told, BrainError):
            raise told
        return told

    async def _ask(self, subscription: _Subscription) -> None:
        try:
            start = await self._source.subscribe(
                self._name, subscription.task_id, subscription.seen
            )
        except WorkerLost as error:
            # The stream is down too then; its next connection subscribes again.
            log.info("subscribing to %s waits: %s", subscription.task_id, error)
        except BrainError as error:
            subscription.fail(error)
        else:
            subscription.seen = max(subscription.seen, start)

    async def _leave(self, subscription: _Subscription) -> None:
        others = self._subscriptions.get(subscription.task_id, set())
        others.discard(subscription)
        if not others:
            self._subscriptions.pop(subscription.task_id, None)
            try:
                await self._source.unsubscribe(self._name, subscription.task_id)
            except BrainError as error:
                log.info("unsubscribing from %s failed: %s", subscription.task_id, error)

    async def _run(self) -> None:
        base = self._name
        for connection in itertools.count():
            # A name of its own for each connection: the manager may still hold the one that broke.
            self._name = f"{base}-{connection}"
            try:
                async for events in self._source.feed(self._name):
                    if not self._connected.is_set():
                        self._connected.set()
                        await self._resubscribe()
                    for event in events:
                        for subscription in self._subscriptions.get(event.task_id, ()):
                            subscription.offer(event)
                    self._wake_late()
            except Exception as error:  # noqa: BLE001 - supervision: every subscriber waits for it
                log.warning("the event stream broke and is opened again: %s", error)
            self._connected.clear()
            await asyncio.sleep(RECONNECT_SECONDS)

    def _wake_late(self) -> None:
        """A subscriber that saw a gap while its queue was empty sits in `get`: ask on its behalf."""
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                if subscription.behind and subscription.queue.empty():
                    subscription.behind = False
                    task = asyncio.create_task(self._ask(subscription))
                    self._asking.add(task)
                    task.add_done_callback(self._asking.discard)

    async def _resubscribe(self) -> None:
        for subscriptions in list(self._subscriptions.values()):
            for subscription in list(subscriptions):
                await self._ask(subscription)

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
