"""How the engine runs tasks: attempts, retries, limits, cancels, and what is told of them."""

import asyncio
import logging

import pytest

from serve_app.domain.errors import (
    BadRequest,
    BrainError,
    NotFound,
    Overloaded,
    StaleAttempt,
    Unavailable,
    WorkerLost,
)
from serve_app.domain.tasks import TaskStatus, WorkerEvent
from serve_app.settings import LimitSettings, TaskSettings
from serve_app.tasks import runner
from serve_app.tasks.policy import MAX_LOSSES
from serve_app.tasks.scripted import ScriptedWorker, result, tokens, update
from serve_app.tasks.store import InsertTask, SaveTask


class TestOneAttempt:
    async def test_events_are_numbered_and_progress_never_falls(self, bench):
        sources = [WorkerEvent("sources", {"sources": ({"n": 1},)})]
        await bench.start(
            [*update(progress=40), *update(progress=25, message="Reading.")],
            sources,
            tokens("Yes"),
            result({"response": "Yes"}),
        )
        task = await bench.submit()
        await bench.settle()
        log = await bench.log(task)
        assert [e.type for e in log] == [
            "task_started",
            "task_update",
            "task_update",
            "task_update",
            "sources",
            "token",
            "task_completed",
        ]
        assert [e.data["progress"] for e in log if e.type == "task_update"] == [0, 40, 40]
        assert log[4].data == {"sources": [{"n": 1}]}
        assert {e.attempt for e in log[1:]} == {1}
        done = await bench.get(task)
        assert (done.progress, done.last_seq) == (100, 7)
        assert set(done.result) >= {"response", "task_id", "user_id", "processing_time"}

    async def test_nothing_after_the_result_counts(self, bench):
        await bench.start([*result(), *tokens("late")], tokens("later"))
        task = await bench.submit()
        await bench.settle()
        assert (await bench.types(task))[-1] == "task_completed"
        assert "token" not in await bench.types(task)

    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            ([], "without a result"),
            ([[WorkerEvent("dance", {})]], "no event of a task"),
            ([[WorkerEvent("token", {"text": object()})]], "JSON"),
            ([KeyError("x")], "unexpected"),
        ],
    )
    async def test_a_worker_that_does_not_keep_to_its_part_fails_the_attempt(
        self, bench, script, reason
    ):
        bench.workers["orchestrator"] = ScriptedWorker(script)
        await bench.start(tasks=TaskSettings(retry_base=0))
        task = await bench.submit()
        await bench.clock.advance(1)
        failed = await bench.get(task)
        assert failed.status is TaskStatus.FAILED
        assert reason in failed.error["error"]

    async def test_without_a_worker_it_fails_with_the_reason(self, bench):
        await bench.start()
        task = await bench.submit()
        await bench.settle()
        assert "orchestrator" in (await bench.get(task)).error["error"]

    async def test_a_plain_iterator_is_a_worker_too(self, bench):
        class Plain:
            def run(self, assignment):
                return self

            def __aiter__(self):
                return self

            async def __anext__(self):
                return result()

        bench.workers["orchestrator"] = Plain()
        await bench.start()
        task = await bench.submit()
        await bench.settle()
        assert (await bench.get(task)).status is TaskStatus.COMPLETED

    async def test_a_worker_that_cannot_tidy_up_does_not_spoil_its_result(self, bench, caplog):
        class Untidy:
            async def run(self, assignment):
                try:
                    yield result()
                finally:
                    raise RuntimeError("no room")

        bench.workers["orchestrator"] = Untidy()
        await bench.start()
        task = await bench.submit()
        await bench.settle()
        assert (await bench.get(task)).status is TaskStatus.COMPLETED
        assert "could not tidy up" in caplog.text

    async def test_the_assignment_carries_what_the_worker_needs(self, bench):
        await bench.start(result())
        task = await bench.submit(conversation_id=None)
        await bench.settle()
        given = bench.workers["orchestrator"].assignments[0]
        assert (given.task_id, given.attempt, given.kind) == (task.id, 1, "chat")
        assert given.args == {"message": "Hi"}
        assert given.conversation_id == task.conversation_id
        assert (given.soft_deadline - bench.clock.now()).total_seconds() == 300


class TestRetries:
    async def test_an_error_is_tried_again_later_three_times(self, bench):
        await bench.start([*tokens("par")], BrainError("Oh."))
        task = await bench.submit()
        waits = []
        for failures in (1, 2, 3):
            await bench.settle()
            waiting = await bench.get(task)
            assert (waiting.status, waiting.failures) == (TaskStatus.QUEUED, failures)
            assert waiting.detail == "retry_at"
            waits.append((waiting.not_before - bench.clock.now()).total_seconds())
            await bench.clock.advance(waits[-1] - 1)
            assert (await bench.get(task)).attempt == failures
            await bench.clock.advance(1)
        await bench.settle()
        failed = await bench.get(task)
        assert (failed.status, failed.attempt, failed.failures) == (TaskStatus.FAILED, 4, 3)
        for wait, base in zip(waits, (60, 120, 240), strict=True):
            assert base <= wait <= base * 1.25
        texts = [(e.attempt, e.type) for e in await bench.log(task) if e.type == "token"]
        assert texts == [(n, "token") for n in (1, 2, 3, 4)]

    async def test_a_lost_worker_is_replaced_at_once(self, bench):
        bench.workers["orchestrator"] = ScriptedWorker([WorkerLost("Killed.")], [result()])
        await bench.start()
        task = await bench.submit()
        await bench.clock.advance(0.5)
        done = await bench.get(task)
        assert (done.status, done.attempt) == (TaskStatus.COMPLETED, 2)
        assert (done.failures, done.losses) == (0, 1)

    async def test_a_task_that_loses_all_workers_fails_with_the_reason(self, bench):
        await bench.start(WorkerLost("Killed."))
        task = await bench.submit()
        await bench.clock.advance(10 * (MAX_LOSSES + 1))
        failed = await bench.get(task)
        assert (failed.status, failed.attempt) == (TaskStatus.FAILED, MAX_LOSSES + 1)
        assert "Killed." in failed.error["error"]

    async def test_work_that_is_cut_off_counts_as_lost(self, bench):
        class CutOff:
            async def run(self, assignment):
                raise asyncio.CancelledError
                yield

        bench.workers["orchestrator"] = CutOff()
        await bench.start()
        task = await bench.submit()
        await bench.settle()
        assert (await bench.get(task)).losses == 1

    async def test_bad_requests_are_not_repeated(self, bench):
        await bench.start(BadRequest("No such agent."))
        task = await bench.submit()
        await bench.settle()
        failed = await bench.get(task)
        assert (failed.status, failed.attempt) == (TaskStatus.FAILED, 1)


class TestCancel:
    async def test_a_queued_task_ends_at_once(self, bench):
        await bench.start(asyncio.Event(), result())
        await bench.engine.set_queue_limit("ai_high_priority", 0)
        task = await bench.submit()
        over = await bench.engine.cancel(task.id, bench.owner)
        assert over.status is TaskStatus.CANCELLED
        assert await bench.types(task) == ["task_started", "task_cancelled"]
        await bench.engine.set_queue_limit("ai_high_priority", 8)
        await bench.settle()
        assert bench.workers["orchestrator"].assignments == []

    async def test_a_running_task_lets_go_and_what_it_said_stays(self, bench):
        await bench.start(tokens("Half"), asyncio.Event(), result())
        task = await bench.submit()
        await bench.settle()
        asked = await bench.engine.cancel(task.id, bench.owner)
        assert (asked.cancel_requested, asked.detail) == (True, "cancelling")
        await bench.settle()
        assert bench.workers["orchestrator"].running == 0
        assert (await bench.types(task))[-3:] == ["token", "task_update", "task_cancelled"]
        assert (await bench.get(task)).status is TaskStatus.CANCELLED

    async def test_a_worker_that_does_not_let_go_is_left_and_refused(self, bench, caplog):
        caplog.set_level(logging.WARNING)
        release = asyncio.Event()

        class Stubborn:
            async def run(self, assignment):
                while not release.is_set():
                    try:
                        await release.wait()
                    except asyncio.CancelledError:
                        continue
                yield tokens("late")

        bench.workers["orchestrator"] = Stubborn()
        engine = await bench.start()
        object.__setattr__(engine._dispatcher._tools, "close_within", 0.01)
        task = await bench.submit()
        await bench.settle()
        await engine.cancel(task.id, bench.owner)
        await asyncio.sleep(0.05)
        assert (await bench.get(task)).status is TaskStatus.CANCELLED
        before = await bench.types(task)
        release.set()
        await bench.settle()
        assert await bench.types(task) == before
        assert "left alone has ended (StaleAttempt" in caplog.text

    async def test_children_end_with_their_parent(self, bench):
        await bench.start(asyncio.Event())
        parent = await bench.submit("research")
        child = await bench.submit("crawl", parent_id=parent.id)
        await bench.settle()
        await bench.engine.cancel(parent.id, bench.owner)
        await bench.settle()
        assert (await bench.get(child)).status is TaskStatus.CANCELLED

    async def test_an_error_while_stopping_is_still_a_cancel(self, bench):
        class Rude:
            async def run(self, assignment):
                try:
                    await asyncio.Event().wait()
                    yield []
                except asyncio.CancelledError:
                    raise BrainError("Rude.") from None

        bench.workers["orchestrator"] = Rude()
        await bench.start()
        task = await bench.submit()
        await bench.settle()
        await bench.engine.cancel(task.id, bench.owner)
        await bench.settle()
        assert (await bench.get(task)).status is TaskStatus.CANCELLED


class TestLimits:
    async def test_a_task_ends_at_its_hard_limit(self, bench):
        await bench.start(asyncio.Event())
        task = await bench.submit("research")
        await bench.clock.advance(599)
        assert (await bench.get(task)).status is TaskStatus.PROCESSING
        await bench.clock.advance(2)
        await bench.settle()
        failed = await bench.get(task)
        assert failed.error == {
            "error": "The task was ended at its limit of 600 seconds.",
            "code": "deadline_exceeded",
        }
        assert bench.workers["orchestrator"].running == 0

    async def test_a_crawl_has_no_deadline(self, bench):
        await bench.start(asyncio.Event())
        task = await bench.submit("crawl")
        await bench.clock.advance(1200)
        still = await bench.get(task)
        assert still.status is TaskStatus.PROCESSING
        assert bench.workers["crawler"].assignments[0].soft_deadline is None

    async def test_silence_is_shown_until_the_next_news(self, bench):
        first, second = asyncio.Event(), asyncio.Event()
        await bench.start(update(progress=5), first, tokens("x"), second, result())
        task = await bench.submit()
        await bench.clock.advance(14)
        assert (await bench.get(task)).detail is None
        await bench.clock.advance(60)
        assert (await bench.get(task)).detail == "stalled"
        first.set()
        await bench.settle()
        assert (await bench.get(task)).detail is None
        second.set()
        await bench.settle()
        updates = [e.data["detail"] for e in await bench.log(task) if e.type == "task_update"]
        assert updates == [None, None, "stalled", None]

    async def test_news_in_time_are_no_silence(self, bench):
        gate = asyncio.Event()
        await bench.start(gate, tokens("x"), asyncio.Event())
        task = await bench.submit()
        await bench.clock.advance(7)
        gate.set()
        await bench.clock.advance(14)
        assert (await bench.get(task)).detail is None
        await bench.clock.advance(16)
        assert (await bench.get(task)).detail == "stalled"

    async def test_a_stall_that_cannot_be_written_is_only_logged(self, bench, caplog):
        await bench.start(asyncio.Event())
        task = await bench.submit()
        await bench.settle()
        bench.store._open = False
        await bench.clock.advance(16)
        bench.store._open = True
        assert "Could not mark" in caplog.text
        assert (await bench.get(task)).detail is None

    async def test_a_queue_runs_so_many_at_once(self, bench):
        go = asyncio.Event()
        await bench.start(go, result())
        tasks = [await bench.submit("crawl") for _ in range(7)]
        await bench.settle()
        assert bench.workers["crawler"].running == 3
        await bench.engine.set_queue_limit("crawling", 4)
        await bench.settle()
        assert bench.workers["crawler"].running == 4
        go.set()
        await bench.settle()
        assert bench.workers["crawler"].most_running == 4
        assert [(await bench.get(t)).status for t in tasks] == [TaskStatus.COMPLETED] * 7

    async def test_limits_outlive_a_restart(self, bench):
        await bench.start(result())
        await bench.engine.set_queue_limit("crawling", 5)
        await bench.engine.stop(0)
        await bench.start()
        assert (await bench.engine.queues())["crawling"]["limit"] == 5

    async def test_limits_are_checked(self, bench):
        await bench.start()
        with pytest.raises(NotFound):
            await bench.engine.set_queue_limit("dancing", 5)
        with pytest.raises(BadRequest):
            await bench.engine.set_queue_limit("crawling", -1)

    async def test_too_many_waiting_are_refused(self, bench):
        await bench.start(asyncio.Event(), limits=LimitSettings(waiting_tasks=3))
        await bench.engine.set_queue_limit("ai_high_priority", 0)
        outcomes = await asyncio.gather(*(bench.submit() for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(o, Overloaded) for o in outcomes) == 2
        with pytest.raises(Overloaded) as refused:
            await bench.submit()
        assert refused.value.retry_after == 5.0

    async def test_results_have_their_time(self, bench):
        await bench.start(result())
        task = await bench.submit()
        await bench.settle()
        await bench.clock.advance(3599)
        assert (await bench.get(task)).result is not None
        bench.clock._now += (await bench.get(task)).expires_at - bench.clock.now()
        gone = await bench.get(task)
        assert (gone.result, gone.expired, gone.status) == (None, True, TaskStatus.COMPLETED)


class TestFencing:
    async def test_a_place_taken_by_a_later_attempt_stays_its_own(self, bench):
        gate = asyncio.Event()
        engine = await bench.start(gate, BadRequest("No."))
        task = await bench.submit()
        await bench.settle()
        engine._dispatcher._attempts[task.id] = later = runner.Attempt(
            *(
                engine._dispatcher._attempts[task.id].__dict__[n]
                for n in ("_entry", "_kind", "_tools")
            )
        )
        gate.set()
        await bench.settle()
        assert engine._dispatcher._attempts == {task.id: later}
        assert (await engine.queues())["ai_high_priority"]["running"] == 1

    async def test_stopping_what_has_just_ended_is_nothing(self, bench):
        engine = await bench.start(result())
        task = await bench.submit()
        await bench.settle()
        engine._dispatcher.stop(task.id)
        assert (await bench.get(task)).status is TaskStatus.COMPLETED

    async def test_what_a_replaced_attempt_tells_is_refused(self, bench):
        gate = asyncio.Event()
        await bench.start(gate, tokens("late"), result())
        task = await bench.submit()
        await bench.settle()
        row = await bench.store.task(task.id)
        other = row.__class__(**{f: getattr(row, f) for f in row.__slots__} | {"attempt": 2})
        await bench.store.apply(SaveTask(other, TaskStatus.PROCESSING, 1))
        gate.set()
        await bench.settle()
        row = await bench.store.task(task.id)
        assert (row.status, row.attempt, row.result) == (TaskStatus.PROCESSING, 2, None)
        assert "token" not in await bench.types(task)

    async def test_what_another_store_takes_for_replaced_runs_again(self, bench):
        """As after a backup: that store has seen a later attempt than the ledger has."""
        bench.workers["orchestrator"] = ScriptedWorker([StaleAttempt("replaced")], [result()])
        await bench.start()
        task = await bench.submit()
        await bench.settle()
        waiting = await bench.get(task)
        assert (waiting.status, waiting.losses) == (TaskStatus.QUEUED, 1)
        await bench.clock.advance(1)
        done = await bench.get(task)
        assert (done.status, done.attempt) == (TaskStatus.COMPLETED, 2)

    async def test_an_id_that_is_taken_is_said_so(self, bench, monkeypatch):
        await bench.start(asyncio.Event())
        task = await bench.submit()
        monkeypatch.setattr("serve_app.tasks.desk.new_id", lambda now: task.id)
        with pytest.raises(BrainError):
            await bench.submit("crawl")

    async def test_two_by_hand_at_once_try_once(self, bench):
        await bench.start(BadRequest("No."))
        task = await bench.submit()
        await bench.settle()
        outcomes = await asyncio.gather(
            *(bench.engine.retry(task.id, bench.owner) for _ in range(3)), return_exceptions=True
        )
        assert sum(not isinstance(o, Exception) for o in outcomes) == 1
        await bench.settle()
        assert (await bench.get(task)).attempt == 2


class TestTrouble:
    async def test_a_result_is_not_lost_while_the_medium_is_away(self, bench):
        gate = asyncio.Event()
        await bench.start(gate, result())
        task = await bench.submit()
        await bench.settle()
        bench.store._open = False
        gate.set()
        await bench.settle()
        await bench.clock.advance(3)
        bench.store._open = True
        await bench.clock.advance(10)
        assert (await bench.get(task)).status is TaskStatus.COMPLETED

    async def test_a_broken_attempt_does_not_end_the_others(self, bench, monkeypatch, caplog):
        await bench.start(result())
        monkeypatch.setattr(runner.states, "start", lambda task, now: 1 / 0)
        await bench.submit()
        await bench.settle()
        assert "broke" in caplog.text
        monkeypatch.undo()
        fine = await bench.submit()
        await bench.settle()
        assert (await bench.get(fine)).status is TaskStatus.COMPLETED

    async def test_a_broken_loop_is_started_again(self, bench, monkeypatch, caplog):
        await bench.start(result())
        broken = iter([ValueError("x")])
        start_due = bench.engine._dispatcher._start_due

        def once():
            for error in broken:
                raise error
            return start_due()

        monkeypatch.setattr(bench.engine._dispatcher, "_start_due", once)
        task = await bench.submit()
        await bench.settle()
        assert "started again" in caplog.text
        await bench.clock.advance(1)
        assert (await bench.get(task)).status is TaskStatus.COMPLETED


class TestStopAndStart:
    async def test_what_finishes_in_time_is_done(self, bench):
        gate = asyncio.Event()
        engine = await bench.start(gate, result())
        task = await bench.submit()
        waiting = await bench.submit("crawl")
        await bench.settle()
        asyncio.get_running_loop().call_later(0.02, gate.set)
        await engine.stop(5.0)
        await bench.store.open()
        assert (await bench.store.task(task.id)).status is TaskStatus.COMPLETED
        assert (await bench.store.task(waiting.id)).status is TaskStatus.COMPLETED

    async def test_what_does_not_goes_back_and_on(self, bench):
        engine = await bench.start(asyncio.Event())
        task = await bench.submit()
        await bench.settle()
        await engine.stop(0.01)
        await bench.store.open()
        row = await bench.store.task(task.id)
        assert (row.status, row.losses, row.attempt) == (TaskStatus.QUEUED, 0, 1)
        await bench.start(result())
        await bench.settle()
        done = await bench.get(task)
        assert (done.status, done.attempt) == (TaskStatus.COMPLETED, 2)

    async def test_what_is_being_accepted_is_accepted(self, bench, monkeypatch):
        engine = await bench.start(result())
        gate, apply = asyncio.Event(), bench.store.apply

        async def slow(*changes):
            await gate.wait()
            await apply(*changes)

        monkeypatch.setattr(bench.store, "apply", slow)
        accepting = asyncio.create_task(bench.submit())
        await bench.settle()
        stopping = asyncio.create_task(engine.stop(0))
        await bench.settle()
        gate.set()
        await stopping
        await bench.store.open()
        assert (await bench.store.task((await accepting).id)).status is TaskStatus.QUEUED

    async def test_nothing_new_starts_while_it_stops(self, bench):
        gate = asyncio.Event()
        engine = await bench.start(gate, result())
        await bench.submit()
        await bench.settle()
        stopping = asyncio.create_task(engine.stop(5.0))
        await bench.settle()
        late = await bench.submit("crawl")
        await bench.settle()
        gate.set()
        await stopping
        await bench.store.open()
        assert (await bench.store.task(late.id)).status is TaskStatus.QUEUED

    async def test_a_stop_ends_though_the_medium_is_away(self, bench):
        engine = await bench.start(asyncio.Event())
        object.__setattr__(engine._dispatcher._tools, "close_within", 0.05)
        task = await bench.submit()
        await bench.settle()
        bench.store._open = False
        async with asyncio.timeout(5):
            await engine.stop(0.01)
        await bench.store.open()
        assert (await bench.store.task(task.id)).status is TaskStatus.PROCESSING

    async def test_what_ran_at_a_crash_runs_again_and_cancels_stay_cancelled(self, bench):
        first = await bench.start(asyncio.Event())
        runs, ends = await bench.submit(), await bench.submit()
        await bench.settle()
        entry = first._dispatcher.find(ends.id)
        await first._journal.change(entry, first._desk._cancel_step)
        for loop in first._loops:  # gone without a word, as by SIGKILL
            loop.cancel()
        await bench.start(result())
        await bench.settle()
        done, over = await bench.get(runs), await bench.get(ends)
        assert (done.status, done.attempt, done.losses) == (TaskStatus.COMPLETED, 2, 1)
        assert over.status is TaskStatus.CANCELLED
        assert [e.attempt for e in await bench.log(runs)] == [0, 1, 1, 2, 2]
        await first.stop(0)
        await bench.store.open()

    async def test_a_start_that_fails_lets_the_store_go(self, bench):
        bench.settings.secret_path.write_bytes(b"short")
        with pytest.raises(BrainError):
            await bench.start()
        with pytest.raises(Unavailable):
            await bench.store.task("x")
        bench.settings.secret_path.unlink()


async def test_a_child_that_ended_meanwhile_does_not_spoil_a_cancel(bench):
    engine = await bench.start(asyncio.Event())
    parent = await bench.submit("research")
    child = await bench.submit("crawl", parent_id=parent.id)
    await bench.settle()
    entry = engine._dispatcher.find(child.id)
    engine._dispatcher.children = lambda task_id: [entry] if task_id == parent.id else []
    engine._dispatcher.find = lambda task_id, find=engine._dispatcher.find: (
        None if task_id == child.id else find(task_id)
    )
    assert (await engine.cancel(parent.id, bench.owner)).cancel_requested


async def test_a_task_of_another_owner_is_dropped(bench, caplog):
    await bench.start()
    await bench.engine.set_queue_limit("ai_high_priority", 0)
    task = await bench.submit()
    row = await bench.store.task(task.id)
    other = row.__class__(**{f: getattr(row, f) for f in row.__slots__} | {"attempt": 3})
    await bench.store.apply(SaveTask(other, TaskStatus.QUEUED, 0), InsertTask(_copy(other)))
    await bench.engine.set_queue_limit("ai_high_priority", 1)
    await bench.settle()
    assert "was left" in caplog.text
    assert (await bench.engine.queues())["ai_high_priority"]["waiting"] == 0
    with pytest.raises(StaleAttempt):
        await bench.store.apply(SaveTask(row, TaskStatus.QUEUED, 0))


def _copy(task):
    return task.__class__(**{f: getattr(task, f) for f in task.__slots__} | {"id": "copy"})
