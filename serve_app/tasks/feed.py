"""Who follows which task, and how events reach them: replay from the store, then live, no gap, no double.

A cursor is one subscriber's place in one task's log. While it keeps up, committed events are put into the
subscriber's buffer as they come. When the buffer is full, or an event does not follow the last one, the
cursor falls behind and goes on from the store at its own pace. So a slow reader costs a bounded buffer and
nobody's time, and replay after a reconnect is the same path as falling behind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from serve_app.domain.errors import Conflict, Overloaded
from serve_app.domain.tasks import TaskEvent
from serve_app.tasks.store import EventPage

BUFFER = 1000  # events a subscriber may have waiting before it reads from the store
PAGE = 500  # events in one read of the store
MAX_SUBSCRIBERS = 10_000
MAX_IDLE = 64  # subscribed to before their stream is opened; those that broke look the same
MAX_TASKS = 10_000  # that one subscriber follows

ReadPage = Callable[[str, int, int], Awaitable[EventPage]]


@dataclass(slots=True)
class _Cursor:
    task_id: str
    sent: int  # number of the last event handed over
    behind: bool = True
    missed: bool = False  # something was published while a page was being read


class Subscriber:
    """One stream of events of many tasks."""

    def __init__(self, read: ReadPage) -> None:
        self._read = read
        self._cursors: dict[str, _Cursor] = {}
        self._buffer: deque[TaskEvent] = deque()
        self._news = asyncio.Event()
        self.streaming = False
        self.closed = False

    def follow(self, task_id: str, after: int) -> None:
        """From the event after `after`. Called again it may bring events again, but skips none."""
        if task_id not in self._cursors and len(self._cursors) >= MAX_TASKS:
            raise Overloaded(f"One stream follows at most {MAX_TASKS} tasks.", retry_after=1.0)
        start = max(0, after)
        if known := self._cursors.get(task_id):
            waiting = (event.seq - 1 for event in self._buffer if event.task_id == task_id)
            start = min(start, next(waiting, known.sent))
        self._leave_buffer(task_id)
        self._cursors[task_id] = _Cursor(task_id, start)
        self._news.set()

    def leave(self, task_id: str) -> None:
        self._cursors.pop(task_id, None)
        self._leave_buffer(task_id)

    def _leave_buffer(self, task_id: str) -> None:
        self._buffer = deque(event for event in self._buffer if event.task_id != task_id)

    def follows(self, task_id: str) -> bool:
        return task_id in self._cursors

    def offer(self, event: TaskEvent) -> None:
        """An event was committed. Never waits."""
        cursor = self._cursors.get(event.task_id)
        if cursor is None or event.seq < cursor.sent:
            return
        if event.seq == cursor.sent:
            # Read from the store already, maybe before the task's row said that this was its end: look again.
            cursor.behind = cursor.behind or event.is_last
        elif cursor.behind:
            cursor.missed = True
        elif event.seq != cursor.sent + 1 or len(self._buffer) >= BUFFER:
            cursor.behind = True
        else:
            self._hand_over(cursor, event)
            if event.is_last:
                del self._cursors[event.task_id]
        self._news.set()

    def _hand_over(self, cursor: _Cursor, event: TaskEvent) -> None:
        self._buffer.append(event)
        cursor.sent = event.seq

    def close(self) -> None:
        self.closed = True
        self._news.set()

    async def next_batch(self) -> list[TaskEvent]:
        """What has come, waiting for it. Empty when closed, or when a task ended without more to say."""
        while not self.closed:
            cursor = next((c for c in self._cursors.values() if c.behind), None)
            if cursor is not None:
                await self._catch_up(cursor)
            elif not self._buffer:
                self._news.clear()
                await self._news.wait()
                continue
            if self._buffer or (cursor is not None and not self.follows(cursor.task_id)):
                break
        batch = list(self._buffer)
        self._buffer.clear()
        return batch

    async def _catch_up(self, cursor: _Cursor) -> None:
        cursor.missed = False
        page = await self._read(cursor.task_id, cursor.sent, PAGE)
        if self._cursors.get(cursor.task_id) is not cursor:  # left or moved meanwhile
            return
        for event in page.events:
            self._hand_over(cursor, event)
        if page.ended:
            del self._cursors[cursor.task_id]
        elif len(page.events) < PAGE and not cursor.missed:
            cursor.behind = False
        else:  # to the end of the row: a long replay does not hold up the others
            self._cursors[cursor.task_id] = self._cursors.pop(cursor.task_id)


class Feed:
    """All subscribers, and which of them follow a task."""

    def __init__(self, read: ReadPage) -> None:
        self._read = read
        self._subscribers: dict[str, Subscriber] = {}
        self._local: set[Subscriber] = set()
        self._closed = False

    def publish(self, events: Sequence[TaskEvent]) -> None:
        """Committed events of one task, in order."""
        if not events:
            return
        for subscriber in (*self._subscribers.values(), *self._local):
            if subscriber.follows(events[0].task_id):
                for event in events:
                    subscriber.offer(event)

    def subscriber(self, subscriber_id: str) -> Subscriber:
        """The stream of that id; made when it is not there."""
        known = self._subscribers.get(subscriber_id)
        if known is None:
            idle = [name for name, other in self._subscribers.items() if not other.streaming]
            if len(idle) >= MAX_IDLE:
                del self._subscribers[idle[0]]
            if len(self._subscribers) >= MAX_SUBSCRIBERS:
                raise Overloaded("Too many streams of events are open.", retry_after=5.0)
            known = self._subscribers[subscriber_id] = Subscriber(self._read)
            if self._closed:
                known.close()
        return known

    def leave(self, subscriber_id: str, task_id: str) -> None:
        if subscriber_id in self._subscribers:
            self._subscribers[subscriber_id].leave(task_id)

    async def stream(self, subscriber_id: str) -> AsyncIterator[list[TaskEvent]]:
        """Batches for one subscriber, until it goes away or the feed is closed."""
        subscriber = self.subscriber(subscriber_id)
        if subscriber.streaming:
            raise Conflict("This stream is open already; each stream needs an id of its own.")
        subscriber.streaming = True
        try:
            while not subscriber.closed:
                if batch := await subscriber.next_batch():
                    yield batch
        finally:
            del self._subscribers[subscriber_id]

    async def follow(self, task_id: str, after: int) -> AsyncIterator[TaskEvent]:
        """The events of one task, ending with its last."""
        subscriber = Subscriber(self._read)
        subscriber.follow(task_id, after)
        self._local.add(subscriber)
        try:
            more = not self._closed
            while more:
                batch = await subscriber.next_batch()
                more = subscriber.follows(task_id) and not subscriber.closed
                for event in batch:
                    yield event
        finally:
            self._local.discard(subscriber)

    def close(self) -> None:
        self._closed = True
        for subscriber in (*self._subscribers.values(), *self._local):
            subscriber.close()
