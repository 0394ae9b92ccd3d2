"""Schedules fire once per due time, and what has had its time is dropped."""

from datetime import timedelta

from serve_app.domain.errors import Unavailable
from serve_app.domain.tasks import TaskStatus
from serve_app.settings import LimitSettings, TaskSettings
from serve_app.tasks.scripted import ScriptedWorker, result, update
from serve_app.tasks.store import Fire, TaskQuery

HOUR = 3600.0


async def fired(bench, kind):
    """When tasks of that kind were made by the schedule, oldest first."""
    tasks = await bench.store.tasks(TaskQuery(limit=10_000, user_id="system"))
    return [task.created_at for task in reversed(tasks) if task.kind == kind]


async def test_each_due_time_fires_once(bench):
    bench.workers["crawler"] = ScriptedWorker([result()])
    begin = bench.clock.now()
    engine = await bench.start()
    await bench.clock.advance(3 * HOUR)
    assert await fired(bench, "clean_up") == [begin + timedelta(hours=n) for n in range(1, 4)]
    assert len(await fired(bench, "embed_pending")) == 6
    assert await fired(bench, "refresh_stale") == [begin + timedelta(hours=2)]
    assert await fired(bench, "assess_quality") == []
    shown = {s.name: s for s in await engine.schedules()}["refresh_stale"]
    assert shown.last_fired_at == begin + timedelta(hours=2)
    assert shown.next_fire_at == begin + timedelta(hours=26)
    task = await bench.store.task(shown.last_task_id)
    assert (task.kind, task.args, task.status) == (
        "refresh_stale",
        {"limit": 10},
        TaskStatus.COMPLETED,
    )


async def test_what_was_missed_is_made_up_for_once(bench):
    engine = await bench.start()
    await bench.clock.advance(1.5 * HOUR)
    await engine.stop(0)
    await bench.clock.advance(5 * HOUR)
    await bench.start()
    await bench.settle()
    assert len(await fired(bench, "clean_up")) == 2
    await bench.clock.advance(0.5 * HOUR)
    assert len(await fired(bench, "clean_up")) == 3


async def test_a_firing_that_another_has_claimed_is_left_to_it(bench):
    await bench.start()
    await bench.store.apply(Fire("clean_up", bench.clock.now() + timedelta(hours=1)))
    await bench.clock.advance(1.2 * HOUR)
    assert await fired(bench, "clean_up") == []
    await bench.clock.advance(1 * HOUR)
    assert len(await fired(bench, "clean_up")) == 1


async def test_a_paused_schedule_rests_and_makes_nothing_up(bench):
    engine = await bench.start()
    for schedule in await engine.schedules():
        await engine.update_schedule(schedule.name, enabled=False)
    await bench.clock.advance(5 * HOUR)
    assert await fired(bench, "clean_up") == []
    await engine.update_schedule("clean_up", enabled=True)
    await bench.clock.advance(0.5 * HOUR)
    assert await fired(bench, "clean_up") == []
    await bench.clock.advance(0.5 * HOUR)
    assert len(await fired(bench, "clean_up")) == 1


async def test_an_edit_in_the_same_moment_is_heeded(bench):
    engine = await bench.start()
    scheduler = engine._scheduler
    stale = scheduler._rows["clean_up"]
    await engine.update_schedule("clean_up", cron="30 * * * *")
    await scheduler._fire(stale, bench.clock.now())
    assert await fired(bench, "clean_up") == []


async def test_a_full_house_is_tried_again_later(bench, caplog):
    bench.workers["knowledge"] = ScriptedWorker([result()])
    engine = await bench.start(limits=LimitSettings(waiting_tasks=1))
    await engine.set_queue_limit("crawling", 0)
    waiting = await bench.submit("crawl")
    await bench.clock.advance(1 * HOUR + 5)
    assert await fired(bench, "clean_up") == []
    assert "could not fire" in caplog.text
    await engine.cancel(waiting.id, bench.owner)
    await bench.clock.advance(120)
    assert len(await fired(bench, "clean_up")) == 1


async def test_clean_up_drops_results_then_tasks(bench):
    bench.workers["maintenance"] = ScriptedWorker(
        [update(progress=50), result({"counts": {"uploads": 2}, "note": "Swept."})]
    )
    engine = await bench.start(result(), tasks=TaskSettings(history_ttl=5 * HOUR))
    task = await bench.submit()
    await bench.clock.advance(2.5 * HOUR)
    row = await bench.store.task(task.id)
    assert (row.result, row.expired) == (None, True)
    assert len((await bench.store.events(task.id, 0, 99)).events) == 1
    by_hand = await engine.run_schedule("clean_up", bench.owner)
    await bench.settle()
    swept = (await bench.get(by_hand)).result
    assert swept["counts"]["uploads"] == 2
    assert (swept["note"], set(swept["counts"])) == ("Swept.", {"uploads", "expired", "deleted"})
    await bench.clock.advance(4 * HOUR)
    assert await bench.store.task(task.id) is None


async def test_clean_up_works_alone_and_by_batches(bench, monkeypatch):
    monkeypatch.setattr("serve_app.tasks.upkeep._BATCH", 2)
    engine = await bench.start(result())
    tasks = [await bench.submit() for _ in range(5)]
    await bench.settle()
    for schedule in await engine.schedules():
        await engine.update_schedule(schedule.name, enabled=False)
    await bench.clock.advance(1.5 * HOUR)
    by_hand = await engine.run_schedule("clean_up", bench.owner)
    await bench.settle()
    assert (await bench.get(by_hand)).result["counts"] == {"expired": 5, "deleted": 0}
    assert all([(await bench.store.task(t.id)).expired for t in tasks])


async def test_uses_of_tokens_are_written_within_minutes(bench, caplog):
    engine = await bench.start()
    token = bench.settings.owner_token_path.read_text()
    await engine.authenticate(token)
    await bench.clock.advance(61)
    assert (await bench.store.tokens())[0].info.last_used_at is not None


async def test_a_medium_that_is_away_delays_a_firing(bench, monkeypatch, caplog):
    engine = await bench.start()
    apply = bench.store.apply

    async def away(*changes):
        raise Unavailable("The disk is full.")

    monkeypatch.setattr(bench.store, "apply", away)
    await bench.clock.advance(1 * HOUR + 1)
    assert await fired(bench, "clean_up") == []
    monkeypatch.setattr(bench.store, "apply", apply)
    await bench.clock.advance(61)
    assert len(await fired(bench, "clean_up")) == 1
    assert (await engine.queues())["ai_processing"]["running"] == 0
