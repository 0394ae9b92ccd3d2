"""Events reach each subscriber once and in order, however slow it is and however often it leaves."""

import asyncio
import random

import pytest

from serve_app.domain.clock import FakeClock
from serve_app.domain.errors import Conflict, NotFound, Overloaded
from serve_app.domain.tasks import TaskEvent
from serve_app.tasks import feed as feeds
from serve_app.tasks.feed import Feed, Subscriber
from serve_app.tasks.scripted import result, tokens
from serve_app.tasks.store import EventPage, ExpireResults

NOW = FakeClock().now()


def event(task_id, seq, kind="token"):
    return TaskEvent(task_id, seq, 1, kind, {"n": seq}, NOW)


class Log:
    """A store of events; what is written is published."""

    def __init__(self):
        self.events = {}
        self.feed = Feed(self.read)
        self.reads = 0

    async def read(self, task_id, after, limit):
        self.reads += 1
        newer = [e for e in self.events.get(task_id, []) if e.seq > after][:limit]
        await asyncio.sleep(0)
        log = self.events.get(task_id, [])
        reached = newer[-1].seq if newer else after
        over = bool(log) and log[-1].is_last and reached >= log[-1].seq
        return EventPage(tuple(newer), over)

    def write(self, task_id, number, *, last=False):
        log = self.events.setdefault(task_id, [])
        fresh = [event(task_id, len(log) + n) for n in range(1, number + 1)]
        if last:
            fresh.append(event(task_id, len(log) + number + 1, "task_completed"))
        log.extend(fresh)
        self.feed.publish(fresh)


@pytest.fixture
def log():
    return Log()


async def collect(log, task_id, after=0):
    async with asyncio.timeout(10):
        return [e.seq async for e in log.feed.follow(task_id, after)]


async def turns(number=20):
    for _ in range(number):
        await asyncio.sleep(0)


class TestOneTask:
    async def test_replay_then_live_then_the_end(self, log):
        log.write("t", 3)
        following = asyncio.create_task(collect(log, "t"))
        await turns()
        log.write("t", 2)
        await turns()
        log.write("t", 1, last=True)
        assert await following == [1, 2, 3, 4, 5, 6, 7]
        assert log.reads == 1

    async def test_what_is_over_is_replayed_and_ends(self, log):
        log.write("t", 3, last=True)
        assert await collect(log, "t") == [1, 2, 3, 4]
        assert await collect(log, "t", after=2) == [3, 4]
        assert await collect(log, "t", after=4) == []

    async def test_a_long_log_is_read_by_pages(self, log):
        log.write("t", 2 * feeds.PAGE + 1, last=True)
        assert await collect(log, "t") == list(range(1, 2 * feeds.PAGE + 3))

    async def test_a_slow_reader_holds_nobody_up_and_misses_nothing(self, log):
        log.write("t", 1)
        slow = log.feed.follow("t", 0)
        seen = [(await anext(slow)).seq]
        for _ in range(4):
            log.write("t", feeds.BUFFER)
        log.write("t", 0, last=True)
        (subscriber,) = log.feed._local
        assert len(subscriber._buffer) <= feeds.BUFFER
        seen += [e.seq async for e in slow]
        assert seen == list(range(1, 4 * feeds.BUFFER + 3))

    async def test_events_between_a_read_and_its_answer_are_read_again(self, log):
        log.write("t", 2)
        following = asyncio.create_task(collect(log, "t"))
        await asyncio.sleep(0)
        log.write("t", 2)
        await turns()
        log.write("t", 0, last=True)
        assert await following == [1, 2, 3, 4, 5]

    async def test_an_end_that_is_read_before_the_task_says_so_is_an_end(self, log):
        """The store's task and events are read one after the other; the task may end in between."""
        told_late = log.read

        async def read(task_id, after, limit):
            page = await told_late(task_id, after, limit)
            return EventPage(page.events, ended=page.ended and log.reads > 1)

        log.feed = Feed(read)
        log.write("t", 1)
        log.events["t"].append(event("t", 2, "task_completed"))
        following = asyncio.create_task(collect(log, "t"))
        await turns()
        log.feed.publish(log.events["t"])
        assert await following == [1, 2]

    async def test_a_gap_in_what_is_published_is_filled_from_the_log(self, log):
        log.write("t", 1)
        following = asyncio.create_task(collect(log, "t"))
        await turns()
        log.events["t"] += [event("t", 2), event("t", 3, "task_completed")]
        log.feed.publish([event("t", 3, "task_completed")])
        assert await following == [1, 2, 3]

    async def test_a_thousand_disconnects_leave_no_gap_and_no_double(self, log):
        rng = random.Random(7)

        async def restless():
            seen = []
            while not seen or seen[-1] != 401:
                stream = log.feed.follow("t", seen[-1] if seen else 0)
                for _ in range(rng.randint(1, 30)):
                    seen += [e.seq async for e in _first(stream)]
                    if seen[-1] == 401:
                        break
                await stream.aclose()
            return seen

        async def write():
            for _ in range(100):
                log.write("t", 4)
                await turns(rng.randint(0, 5))
            log.write("t", 0, last=True)

        log.write("t", 0)
        writing = asyncio.create_task(write())
        async with asyncio.timeout(20):
            logs = await asyncio.gather(*(restless() for _ in range(50)))
        await writing
        assert all(seen == list(range(1, 402)) for seen in logs)
        assert not log.feed._local


async def _first(stream):
    async for one in stream:
        yield one
        return


class TestManyTasks:
    async def test_one_stream_carries_them_all(self, log):
        log.write("a", 2)
        log.feed.subscriber("brain").follow("a", 1)
        stream = log.feed.stream("brain")
        got = await anext(stream)
        log.feed.subscriber("brain").follow("b", 0)
        log.write("b", 1, last=True)
        log.write("a", 0, last=True)
        async with asyncio.timeout(5):
            while len(got) < 4:
                got += await anext(stream)
        assert sorted((e.task_id, e.seq) for e in got) == [
            ("a", 2),
            ("a", 3),
            ("b", 1),
            ("b", 2),
        ]
        await stream.aclose()
        assert not log.feed._subscribers

    async def test_a_task_that_is_over_and_seen_says_nothing(self, log):
        log.write("a", 0, last=True)
        subscriber = log.feed.subscriber("brain")
        subscriber.follow("a", 1)
        assert await subscriber.next_batch() == []
        assert not subscriber.follows("a")

    async def test_what_was_left_is_not_brought(self, log):
        log.write("a", 1)
        subscriber = log.feed.subscriber("brain")
        subscriber.follow("a", 0)
        await subscriber.next_batch()
        log.write("a", 2)
        log.feed.leave("brain", "a")
        log.feed.leave("nobody", "a")
        log.write("a", 2)
        subscriber.follow("b", 0)
        waiting = asyncio.create_task(subscriber.next_batch())
        await turns()
        log.write("b", 1)
        assert [e.task_id for e in await waiting] == ["b"]

    async def test_leaving_while_it_is_read_is_leaving(self, log):
        log.write("a", 3)
        subscriber = log.feed.subscriber("brain")
        subscriber.follow("a", 0)
        waiting = asyncio.create_task(subscriber.next_batch())
        await asyncio.sleep(0)
        subscriber.leave("a")
        subscriber.follow("b", 0)
        await turns()
        log.write("b", 1)
        assert [e.task_id for e in await waiting] in ([], ["b"])

    async def test_following_again_skips_nothing_that_waits(self, log):
        log.write("a", 1)
        subscriber = log.feed.subscriber("brain")
        subscriber.follow("a", 0)
        await subscriber.next_batch()
        log.write("a", 3)
        subscriber.follow("a", 3)
        assert [e.seq for e in await subscriber.next_batch()] == [2, 3, 4]
        subscriber.follow("a", 2)
        assert [e.seq for e in await subscriber.next_batch()] == [3, 4]

    async def test_a_long_replay_does_not_hold_up_the_others(self, log):
        log.write("long", 3 * feeds.PAGE)
        log.write("short", 1)
        subscriber = log.feed.subscriber("brain")
        subscriber.follow("long", 0)
        subscriber.follow("short", 0)
        await subscriber.next_batch()
        assert [e.task_id for e in await subscriber.next_batch()] == ["short"]

    async def test_a_busy_task_does_not_hold_up_a_replay(self, log):
        log.write("busy", 1)
        log.write("late", 2)
        subscriber = log.feed.subscriber("brain")
        subscriber.follow("busy", 0)
        await subscriber.next_batch()
        subscriber.follow("late", 0)
        log.write("busy", 5)
        assert {e.task_id for e in await subscriber.next_batch()} == {"busy", "late"}

    async def test_an_id_has_one_stream(self, log):
        stream = log.feed.stream("brain")
        first = asyncio.create_task(anext(stream))
        await turns()
        with pytest.raises(Conflict):
            await anext(log.feed.stream("brain"))
        log.feed.close()
        with pytest.raises(StopAsyncIteration):
            await first

    async def test_a_closed_feed_ends_all(self, log):
        following = asyncio.create_task(collect(log, "t"))
        await turns()
        log.feed.close()
        assert await following == []
        assert await collect(log, "t") == []
        assert [batch async for batch in log.feed.stream("late")] == []

    async def test_streams_are_bounded(self, log, monkeypatch):
        for n in range(feeds.MAX_IDLE + 5):
            log.feed.subscriber(f"broken-{n}")
        assert len(log.feed._subscribers) == feeds.MAX_IDLE
        monkeypatch.setattr(feeds, "MAX_SUBSCRIBERS", feeds.MAX_IDLE - 1)
        with pytest.raises(Overloaded):
            log.feed.subscriber("one more")

    async def test_so_are_the_tasks_of_one(self, log, monkeypatch):
        monkeypatch.setattr(feeds, "MAX_TASKS", 1)
        subscriber = Subscriber(log.read)
        subscriber.follow("a", 0)
        subscriber.follow("a", 0)
        with pytest.raises(Overloaded):
            subscriber.follow("b", 0)

    async def test_nothing_published_is_nothing(self, log):
        log.feed.publish([])
        log.feed.subscriber("brain").offer(event("unknown", 1))


class TestEngine:
    async def test_a_replica_follows_its_tasks_by_one_stream(self, bench):
        gate = asyncio.Event()
        engine = await bench.start(gate, tokens("a", "b"), result())
        tasks = [await bench.submit() for _ in range(3)]
        for task in tasks:
            await engine.subscribe("brain-0", task.id)
        got = []

        async def pump():
            async for batch in engine.feed("brain-0"):
                got.extend(batch)

        pumping = asyncio.create_task(pump())
        await bench.settle()
        await engine.unsubscribe("brain-0", tasks[2].id)
        gate.set()
        await bench.settle()
        for task in tasks[:2]:
            assert tuple(e for e in got if e.task_id == task.id) == await bench.log(task)
        assert [e.seq for e in got if e.task_id == tasks[2].id] == [1, 2]
        await engine.subscribe("brain-0", tasks[2].id, 2)
        await bench.settle()
        assert tuple(e for e in got if e.task_id == tasks[2].id) == await bench.log(tasks[2])
        with pytest.raises(NotFound):
            await engine.subscribe("brain-0", "unknown")
        await engine.stop(0)
        await pumping

    async def test_a_log_that_expired_is_followed_from_its_last_event(self, bench):
        engine = await bench.start(tokens("a"), result())
        task = await bench.submit()
        await bench.settle()
        last = (await bench.log(task))[-1].seq
        assert await engine.subscribe("early", task.id) == 0
        await bench.store.apply(ExpireResults((task.id,)))
        assert await engine.subscribe("late", task.id) == last - 1
        assert await engine.subscribe("late", task.id, last) == last
        assert await engine.subscribe("late", task.id, 1) == last - 1
        batch = await anext(engine.feed("late"))
        assert [(e.seq, e.type) for e in batch] == [(last, "task_completed")]
