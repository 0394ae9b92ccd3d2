"""Subscribers of one stream: in order, without a gap, whoever else subscribes and whatever breaks."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from deployments import event_hub
from deployments.event_hub import EventHub
from serve_app.domain.errors import NotFound, Unavailable, WorkerLost
from serve_app.domain.tasks import TaskEvent


def event(task_id: str, seq: int, last: int) -> TaskEvent:
    kind = "task_completed" if seq == last else "token"
    return TaskEvent(task_id, seq, 1, kind, {"text": str(seq)}, datetime.now(UTC))


class FakeManager:
    """A log for each task, a stream for each connection, and a switch that breaks all streams."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.logs: dict[str, list[TaskEvent]] = {}
        self.follows: dict[str, dict[str, int]] = {}
        self.queues: dict[str, asyncio.Queue[Sequence[TaskEvent] | None]] = {}
        self.unsubscribed: list[str] = []
        self.dropped = 0  # events at the beginning that expired
        self.refusal: Exception | None = None

    async def feed(self, subscriber: str) -> AsyncIterator[Sequence[TaskEvent]]:
        queue = self.queues[subscriber] = asyncio.Queue()
        yield ()
        while (batch := await queue.get()) is not None:
            yield batch
        raise WorkerLost("the manager went away")

    async def subscribe(self, subscriber: str, task_id: str, after: int) -> int:
        if self.refusal is not None:
            raise self.refusal
        if subscriber not in self.queues:
            raise WorkerLost("no such stream")
        start = max(after, self.dropped)
        self.queues[subscriber].put_nowait(self.logs.setdefault(task_id, [])[start:])
        self.follows.setdefault(subscriber, {})[task_id] = start
        await asyncio.sleep(0.002)  # the events may be here before the answer
        return start

    async def unsubscribe(self, subscriber: str, task_id: str) -> None:
        self.unsubscribed.append(task_id)
        self.follows.get(subscriber, {}).pop(task_id, None)

    def log(self, task_id: str) -> None:
        log = self.logs.setdefault(task_id, [])
        log.append(event(task_id, len(log) + 1, self.length))
        for subscriber, tasks in self.follows.items():
            if task_id in tasks:
                self.queues[subscriber].put_nowait(log[-1:])

    def break_streams(self) -> None:
        self.follows.clear()
        for queue in self.queues.values():
            queue.put_nowait(None)
        self.queues.clear()


@pytest.fixture(autouse=True)
def _quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_hub, "RECONNECT_SECONDS", 0.001)


async def take(hub: EventHub, task_id: str, after: int) -> list[int]:
    async with asyncio.timeout(20):
        return [e.seq async for e in hub.events(task_id, after)]


async def test_events_come_in_order_and_end_with_the_last() -> None:
    manager = FakeManager(3)
    hub = EventHub(manager, "r")
    following = asyncio.create_task(take(hub, "t", 0))
    for _ in range(3):
        await asyncio.sleep(0.005)
        manager.log("t")
    assert await following == [1, 2, 3]
    assert manager.unsubscribed == ["t"]
    await hub.close()


async def test_a_later_subscriber_gets_its_replay_and_others_no_event_twice() -> None:
    manager = FakeManager(10)
    hub = EventHub(manager, "r")
    early = asyncio.create_task(take(hub, "t", 0))
    for _ in range(6):
        await asyncio.sleep(0.003)
        manager.log("t")
    late = asyncio.create_task(take(hub, "t", 2))
    for _ in range(4):
        await asyncio.sleep(0.003)
        manager.log("t")
    assert await early == list(range(1, 11))
    assert await late == list(range(3, 11))
    await hub.close()


@pytest.mark.parametrize("seed", range(12))
async def test_broken_streams_leave_no_gap(seed: int) -> None:
    chance = random.Random(seed)
    manager = FakeManager(40)
    hub = EventHub(manager, "r")
    tasks = [f"t{n}" for n in range(3)]
    following = [asyncio.create_task(take(hub, t, 0)) for t in tasks for _ in range(3)]
    for _ in range(40):
        for task_id in tasks:
            manager.log(task_id)
        if chance.random() < 0.2:
            manager.break_streams()
        await asyncio.sleep(chance.random() * 0.004)
    assert await asyncio.gather(*following) == [list(range(1, 41))] * 9
    await hub.close()


async def test_a_reader_that_stops_costs_a_bounded_queue_and_misses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_hub, "QUEUE_EVENTS", 4)
    manager = FakeManager(50)
    hub = EventHub(manager, "r")
    stream = hub.events("t", 0)
    first = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.01)
    for _ in range(50):
        manager.log("t")
    await asyncio.sleep(0.01)
    seen = [(await first).seq]
    async with asyncio.timeout(20):
        seen += [e.seq async for e in stream]
    assert seen == list(range(1, 51))
    await hub.close()


@pytest.mark.parametrize("after", [0, 3, 8])
async def test_a_log_whose_beginning_expired_is_told_from_where_it_begins(after: int) -> None:
    manager = FakeManager(9)
    manager.dropped = 8
    for _ in range(9):
        manager.log("t")
    hub = EventHub(manager, "r")
    assert await take(hub, "t", after) == [9]
    await hub.close()


@pytest.mark.parametrize("refusal", [NotFound("gone"), Unavailable("the disk is full")])
async def test_what_the_manager_refuses_reaches_the_reader(refusal: Exception) -> None:
    manager = FakeManager(3)
    manager.refusal = refusal
    hub = EventHub(manager, "r")
    with pytest.raises(type(refusal)):
        await take(hub, "t", 0)
    manager.refusal = None
    for _ in range(3):
        manager.log("t")
    assert await take(hub, "t", 0) == [1, 2, 3]
    await hub.close()


async def test_a_refusal_while_the_queue_is_full_is_asked_about_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_hub, "QUEUE_EVENTS", 1)
    subscription = event_hub._Subscription("t", 0)
    subscription.offer(event("t", 1, 3))
    subscription.fail(Unavailable("the disk is full"))
    assert subscription.behind
    assert subscription.queue.qsize() == 1
