"""The ledger's pure decisions: states, policy, dispatch, schedule, progress, kinds, wire."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serve_app.domain import errors as e
from serve_app.domain.tasks import Task, TaskKind, TaskStatus
from serve_app.settings import TaskSettings
from serve_app.tasks import dispatch, kinds, policy, progress, schedule, states, wire

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENDS = (NOW, NOW + timedelta(hours=1))
KIND = TaskKind("chat", "ai_high_priority", "orchestrator")


def task(status=TaskStatus.QUEUED, **changes):
    bare = Task("t1", "chat", {}, "ann", "ai_high_priority", status, NOW)
    return replace(bare, **changes)


def running(**changes):
    return task(TaskStatus.PROCESSING, **{"attempt": 1, "started_at": NOW, **changes})


class TestStates:
    def test_a_start_is_a_new_attempt_with_fresh_progress(self):
        before = task(attempt=1, progress=70, counts={"found": 3}, not_before=NOW, last_seq=9)
        after = states.start(before, NOW)
        assert (after.status, after.attempt, after.progress) == (TaskStatus.PROCESSING, 2, 0)
        assert (after.counts, after.not_before, after.started_at) == ({}, None, NOW)
        assert after.last_seq == 9

    def test_a_running_task_completes_with_its_result(self):
        after = states.complete(running(detail="stalled"), 1, {"response": "Yes."}, ENDS)
        assert after.status is TaskStatus.COMPLETED
        assert after.result == {"response": "Yes."}
        assert (after.progress, after.finished_at, after.expires_at, after.detail) == (
            100,
            *ENDS,
            None,
        )

    def test_a_failed_task_keeps_the_sentence(self):
        after = states.fail(running(), 1, e.ModelError("No weights."), ENDS)
        assert after.status is TaskStatus.FAILED
        assert after.error == {"error": "No weights.", "code": "model_error"}

    @pytest.mark.parametrize(("lost", "counted"), [(True, (0, 1)), (False, (1, 0))])
    def test_running_again_counts_failures_and_losses_apart(self, lost, counted):
        after = states.run_again(running(), 1, e.BrainError("Oh."), at=NOW, lost=lost)
        assert (after.failures, after.losses) == counted
        assert (after.status, after.not_before, after.detail) == (
            TaskStatus.QUEUED,
            NOW,
            "retry_at",
        )

    def test_a_release_counts_a_loss_only_when_it_was_one(self):
        assert states.release(running(), 1, lost=False).losses == 0
        assert states.release(running(), 1, lost=True).losses == 1

    @pytest.mark.parametrize("before", [task(), running()])
    def test_queued_and_running_tasks_can_be_cancelled(self, before):
        after = states.cancel(before, ENDS)
        assert after.status is TaskStatus.CANCELLED
        assert after.error["code"] == "cancelled"

    def test_only_running_tasks_are_asked_to_stop(self):
        assert states.request_cancel(running()).cancel_requested
        with pytest.raises(e.Conflict):
            states.request_cancel(task())

    def test_a_stall_is_shown_until_the_next_news(self):
        stalled = states.stall(running(), 1)
        assert stalled.detail == "stalled"
        assert states.hear(stalled, 1).detail is None
        assert states.hear(running(detail="cancelling"), 1).detail == "cancelling"

    @pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELLED])
    def test_by_hand_a_task_gets_a_fresh_set_of_tries(self, status):
        before = task(status, attempt=4, failures=4, losses=2, error={"error": "x"}, expired=True)
        after = states.retry(before)
        assert after.status is TaskStatus.QUEUED
        assert (after.attempt, after.failures, after.losses, after.expired) == (4, 0, 0, False)

    @pytest.mark.parametrize(
        "move",
        [
            lambda t: states.start(t, NOW),
            lambda t: states.cancel(t, ENDS),
            lambda t: states.retry(t),
        ],
    )
    def test_a_completed_task_stays_as_it_is(self, move):
        with pytest.raises(e.Conflict, match="completed"):
            move(task(TaskStatus.COMPLETED, attempt=1))

    @pytest.mark.parametrize(
        ("now", "attempt"),
        [(running(attempt=2), 1), (task(attempt=1), 1), (task(TaskStatus.CANCELLED, attempt=1), 1)],
    )
    def test_a_replaced_attempt_changes_nothing(self, now, attempt):
        for move in (
            lambda: states.complete(now, attempt, {}, ENDS),
            lambda: states.fail(now, attempt, e.BrainError("x"), ENDS),
            lambda: states.release(now, attempt, lost=True),
            lambda: states.stall(now, attempt),
        ):
            with pytest.raises(e.StaleAttempt):
                move()

    def test_a_result_is_shown_until_its_time(self):
        done = states.complete(running(), 1, {"response": "x"}, ENDS)
        assert states.expire(done, NOW).result is not None
        gone = states.expire(done, ENDS[1])
        assert (gone.result, gone.expired) == (None, True)
        assert states.expire(task(), NOW) == task()


class TestPolicy:
    def decide(self, error, jitter=0.0, **past):
        return policy.after_error(running(**past), KIND, error, now=NOW, base=60.0, jitter=jitter)

    @pytest.mark.parametrize(("failures", "delay"), [(0, 60), (1, 120), (2, 240)])
    def test_an_error_of_its_own_waits_longer_each_time(self, failures, delay):
        again = self.decide(e.BrainError("x"), failures=failures)
        assert again == policy.Again(NOW + timedelta(seconds=delay), lost=False)

    def test_jitter_adds_up_to_a_quarter(self):
        assert self.decide(e.BrainError("x"), jitter=1.0).at == NOW + timedelta(seconds=75)

    def test_the_delay_is_bounded(self):
        kind = replace(KIND, max_retries=99)
        again = policy.after_error(
            running(failures=50), kind, e.BrainError("x"), now=NOW, base=60.0, jitter=0.0
        )
        assert again.at == NOW + timedelta(hours=1)

    def test_after_three_retries_it_is_given_up(self):
        error = e.BrainError("x")
        assert self.decide(error, failures=3) == policy.GiveUp(error)

    @pytest.mark.parametrize(
        "error",
        [
            e.BadRequest("x"),
            e.NotFound("x"),
            e.Forbidden("x"),
            e.ModelError("x"),
            e.TaskCancelled("x"),
            e.DeadlineExceeded("x"),
            e.AddressForbidden("x"),
        ],
    )
    def test_what_would_be_met_again_is_not_retried(self, error):
        assert self.decide(error) == policy.GiveUp(error)

    def test_a_page_that_could_not_be_read_is_retried(self):
        assert isinstance(self.decide(e.FetchError("x", reason="timeout")), policy.Again)

    @pytest.mark.parametrize(("losses", "delay"), [(0, 0.5), (1, 1.0), (9, 10.0)])
    @pytest.mark.parametrize("error", [e.WorkerLost("x"), e.Unavailable("x"), e.Overloaded("x")])
    def test_a_lost_worker_is_replaced_almost_at_once(self, losses, delay, error):
        again = self.decide(error, losses=losses, failures=3)
        assert again == policy.Again(NOW + timedelta(seconds=delay), lost=True)

    def test_what_names_its_own_delay_is_given_it(self):
        again = self.decide(e.Overloaded("x", retry_after=30.0))
        assert again.at == NOW + timedelta(seconds=30)

    def test_a_task_that_loses_every_worker_is_given_up_with_the_reason(self):
        verdict = self.decide(e.WorkerLost("It was killed."), losses=policy.MAX_LOSSES)
        assert isinstance(verdict, policy.GiveUp)
        assert f"{policy.MAX_LOSSES + 1} times" in verdict.error.message
        assert "It was killed." in verdict.error.message

    def test_deadlines_follow_the_kind(self):
        assert policy.soft_deadline(KIND, NOW) == NOW + timedelta(seconds=300)
        assert policy.hard_deadline(KIND, NOW) == NOW + timedelta(seconds=600)
        assert policy.hard_deadline(replace(KIND, hard_limit=None), NOW) is None


class TestDispatch:
    def queue(self, name, ages, **place):
        waiting = [
            replace(task(), id=f"{name}{n}", queue=name, created_at=NOW - timedelta(seconds=age))
            for n, age in enumerate(ages)
        ]
        return dispatch.Place(
            **{"priority": 5, "limit": 2, "running": 0, **place, "waiting": waiting}
        )

    def ids(self, **places):
        return [t.id for t in dispatch.plan(places, NOW).start]

    def test_first_come_first_served_up_to_the_limit(self):
        assert self.ids(a=self.queue("a", [9, 8, 7], running=1)) == ["a0"]
        assert self.ids(a=self.queue("a", [9, 8, 7])) == ["a0", "a1"]

    @pytest.mark.parametrize("running", [2, 3])
    def test_a_full_queue_starts_nothing(self, running):
        assert self.ids(a=self.queue("a", [9], running=running)) == []

    def test_higher_priority_goes_first(self):
        low, high = self.queue("a", [10], priority=3), self.queue("b", [0], priority=9)
        assert self.ids(a=low, b=high) == ["b0", "a0"]

    def test_what_has_waited_long_enough_goes_before(self):
        low = self.queue("a", [7 * dispatch.AGING], priority=3)
        high = self.queue("b", [0], priority=9)
        assert self.ids(a=low, b=high) == ["a0", "b0"]

    def test_a_delayed_task_waits_and_lets_others_pass(self):
        place = self.queue("a", [9, 8], limit=2)
        later = replace(place.waiting[0], not_before=NOW + timedelta(seconds=30))
        due = replace(place.waiting[1], not_before=NOW)
        plan = dispatch.plan({"a": replace(place, waiting=[later, due])}, NOW)
        assert [t.id for t in plan.start] == ["a1"]
        assert plan.next_due == NOW + timedelta(seconds=30)

    def test_it_says_why_a_task_waits(self):
        full, free = self.queue("a", [], running=2), self.queue("a", [])
        later = task(not_before=NOW + timedelta(seconds=1))
        assert dispatch.waiting_reason(later, free, NOW) == "retry_at"
        assert dispatch.waiting_reason(task(), full, NOW) == "limit_reached"
        assert dispatch.waiting_reason(task(not_before=NOW), free, NOW) is None


class TestSchedule:
    def test_the_next_time_comes_after(self):
        assert schedule.next_after("*/30 * * * *", NOW) == NOW + timedelta(minutes=30)
        assert schedule.next_after("0 3 * * 1", NOW) == datetime(2026, 3, 2, 3, tzinfo=UTC)

    def test_due_at_its_minute_and_once(self):
        assert schedule.due("0 * * * *", NOW - timedelta(minutes=5), NOW) == NOW
        assert schedule.due("0 * * * *", NOW, NOW + timedelta(minutes=5)) is None

    def test_many_missed_firings_count_as_one(self):
        assert schedule.due("0 * * * *", NOW - timedelta(days=3), NOW + timedelta(minutes=9)) == NOW

    def test_a_firing_at_the_next_second_is_not_due_yet(self):
        before = NOW - timedelta(milliseconds=500)
        assert schedule.due("0 * * * *", before - timedelta(minutes=30), before) is None

    def test_a_year_has_each_due_time_once(self):
        now, since, fired = NOW, NOW, []
        while now < NOW + timedelta(days=365):
            now += timedelta(hours=7, minutes=13)
            if at := schedule.due("0 2 * * *", since, now):
                fired.append(at)
                since = at
        days = {at.date() for at in fired}
        assert len(fired) == len(days) == 365

    @pytest.mark.parametrize(
        "cron", ["", "* * * *", "61 * * * *", "* * * * * *", "soon", "0 0 31 2 *"]
    )
    def test_what_is_no_cron_line_is_refused(self, cron):
        with pytest.raises(e.BadRequest) as refused:
            schedule.check_cron(cron)
        assert refused.value.field == "cron"

    def test_the_four_defaults_name_known_kinds(self):
        known = kinds.kinds(TaskSettings())
        defaults = schedule.default_schedules()
        assert {s.name for s in defaults} == {
            "clean_up",
            "embed_pending",
            "refresh_stale",
            "assess_quality",
        }
        for default in defaults:
            schedule.check_cron(default.cron)
            assert default.kind in known


class TestProgress:
    def test_it_never_falls(self):
        assert progress.advance(running(progress=40), {"progress": 25}).progress == 40
        assert progress.advance(running(progress=40), {"progress": 60}).progress == 60

    def test_only_a_result_makes_it_whole(self):
        assert progress.advance(running(), {"progress": 100}).progress == 99

    def test_what_is_not_told_stays(self):
        before = running(message="Reading.", counts={"found": 2}, progress=10)
        assert progress.advance(before, {}) == before

    @pytest.mark.parametrize(
        ("counts", "percent"),
        [
            ({}, 0),
            ({"found": 0}, 0),
            ({"found": 10, "fetched": 10}, 0),
            ({"found": 10, "stored": 4}, 20),
            ({"found": 10, "stored": 4, "embedded": 4, "failed": 1}, 50),
            ({"found": 10, "stored": 9, "embedded": 9, "failed": 5}, 100),
            ({"done": 3, "total": 4}, 75),
            ({"done": 9, "total": 4}, 100),
        ],
    )
    def test_it_comes_from_counts(self, counts, percent):
        assert progress.from_counts(counts) == percent

    def test_counts_and_message_are_taken_over(self):
        after = progress.advance(
            running(), {"message": "At it.", "counts": {"done": 1, "total": 2}}
        )
        assert (after.message, after.counts, after.progress) == (
            "At it.",
            {"done": 1, "total": 2},
            50,
        )


class TestKinds:
    def test_limits_come_from_the_settings(self):
        known = kinds.kinds(TaskSettings(soft_limit=5, hard_limit=9))
        assert (known["research"].soft_limit, known["research"].hard_limit) == (5, 9)
        assert (known["crawl"].soft_limit, known["crawl"].hard_limit) == (None, None)

    def test_every_kind_has_a_queue(self):
        queues = kinds.queues(8)
        assert {kind.queue for kind in kinds.kinds(TaskSettings()).values()} == set(queues)
        assert [(q.priority, q.limit) for q in queues.values()] == [(9, 8), (6, 2), (4, 3), (3, 1)]


class TestWire:
    def test_a_status_has_the_names_of_the_contract(self):
        status = wire.status_object(task(), position=2)
        assert status["task_id"] == "t1"
        assert (status["status"], status["position"], status["progress"]) == ("queued", 2, 0)
        assert status["created_at"] == "2026-03-01T12:00:00.000000Z"
        assert status["started_at"] is None
        assert "position" not in wire.status_object(task())

    def test_a_failed_one_says_why(self):
        failed = states.fail(running(), 1, e.ModelError("No weights."), ENDS)
        status = wire.status_object(failed)
        assert (status["error"], status["error_code"]) == ("No weights.", "model_error")

    def test_a_completed_one_carries_its_result(self):
        done = states.complete(running(), 1, {"response": "Yes."}, ENDS)
        assert wire.status_object(done)["result"] == {"response": "Yes."}

    def test_data_is_copied_as_json_keeps_it(self):
        assert wire.plain({"a": (1, 2)}, "args", 100) == {"a": [1, 2]}

    @pytest.mark.parametrize(
        "data", [{"a": object()}, {"a": float("nan")}, {"a": "half a pair: \ud800"}]
    )
    def test_what_is_not_json_is_refused(self, data):
        with pytest.raises(e.BadRequest):
            wire.plain(data, "args", 100)

    def test_so_is_what_is_too_large(self):
        with pytest.raises(e.TooLarge):
            wire.plain({"a": "x" * 100}, "args", 100)
