"""Clocks, errors and small derived values of the domain."""

import asyncio
import copy
from datetime import UTC, timedelta

import pytest

from serve_app.domain import errors as e
from serve_app.domain.clock import FakeClock, SystemClock
from serve_app.domain.language import EmbedderInfo
from serve_app.domain.people import Principal, Role
from serve_app.domain.tasks import TaskEvent, TaskStatus
from serve_app.domain.web import CrawlCounts


class TestClocks:
    async def test_the_real_one_tells_utc_and_sleeps(self):
        clock = SystemClock()
        before = clock.now()
        await clock.sleep(0.01)
        assert before.tzinfo is UTC
        assert clock.now() > before

    async def test_the_fake_stops_at_each_sleeper_on_the_way(self):
        clock = FakeClock()
        start, woken = clock.now(), []

        async def every(seconds):
            while True:
                await clock.sleep(seconds)
                woken.append((clock.now() - start).total_seconds())

        tasks = [asyncio.create_task(every(n)) for n in (2, 3)]
        await clock.advance(6)
        assert woken == [2, 3, 4, 6, 6]
        assert clock.now() - start == timedelta(seconds=6)
        for task in tasks:
            task.cancel()
        await clock.advance(6)
        assert len(woken) == 5

    async def test_no_time_is_no_wait(self):
        await FakeClock().sleep(0)


class TestErrors:
    def test_the_body_names_the_field_where_there_is_one(self):
        assert e.BadRequest("No.", field="urls").body() == {
            "error": "No.",
            "code": "bad_request",
            "field": "urls",
        }
        assert e.NotFound("No.").body() == {"error": "No.", "code": "not_found"}

    @pytest.mark.parametrize(
        "error",
        [
            e.Overloaded("Full.", retry_after=3.0),
            e.FetchError("Slow.", reason="timeout"),
            e.AddressForbidden("Private."),
        ],
    )
    def test_they_cross_processes_whole(self, error):
        twin = copy.copy(error)  # by the same road as any transport: __reduce__
        assert type(twin) is type(error)
        assert (str(twin), vars(twin)) == (str(error), vars(error))


class TestValues:
    def test_an_embedder_is_known_by_all_that_shapes_its_vectors(self):
        assert EmbedderInfo("m", 384, "torch", "float32").key == "m/torch/float32/384"

    def test_members_see_their_own_and_owners_all(self):
        ann = Principal("ann", "Ann", Role.MEMBER, "t")
        assert ann.may_see("ann")
        assert not ann.may_see("bob")
        assert Principal("o", "O", Role.OWNER, "t").may_see("bob")

    def test_an_event_on_the_wire_carries_its_place(self):
        event = TaskEvent("t", 3, 1, "task_failed", {"error": "No."}, FakeClock().now(), "c")
        assert event.is_last
        assert event.wire() == {
            "type": "task_failed",
            "task_id": "t",
            "conversation_id": "c",
            "attempt": 1,
            "seq": 3,
            "error": "No.",
        }

    def test_three_states_are_final(self):
        assert {s for s in TaskStatus if s.is_final} == {"completed", "failed", "cancelled"}

    def test_counts_of_a_crawl_are_the_phases_people_see(self):
        assert CrawlCounts(found=3, pending=1, fetched=2, stored=1, failed=1).as_dict() == {
            "found": 3,
            "fetched": 2,
            "stored": 1,
            "embedded": 0,
            "failed": 1,
        }
