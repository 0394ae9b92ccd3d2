"""What every `Ledger` promises to its callers, on each store it runs on."""

import asyncio
from dataclasses import replace

import pytest

from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    ModelError,
    NotFound,
    TooLarge,
)
from serve_app.domain.people import Principal, Role
from serve_app.domain.ports import Ledger
from serve_app.domain.tasks import TaskSpec, TaskStatus
from serve_app.settings import Settings
from serve_app.tasks import MemoryTaskStore, SqliteTaskStore, TaskEngine
from serve_app.tasks.scripted import ScriptedWorker, result, tokens, update

ANSWER = {"response": "In the settings.", "sources": [{"n": 1}], "selected_agent": "qa"}


class Held:
    """A worker that waits for `go` before it gives its result."""

    def __init__(self):
        self.go = asyncio.Event()
        self.worker = ScriptedWorker(
            [
                update(progress=10, message="Looking."),
                self.go,
                tokens("In the ", "settings."),
                result(ANSWER),
            ]
        )


@pytest.fixture
def held():
    return Held()


@pytest.fixture(params=["memory", "sqlite"])
async def ledger(request, tmp_path, held):
    settings = Settings(home=tmp_path)
    store = (
        MemoryTaskStore() if request.param == "memory" else SqliteTaskStore(settings.ledger_path)
    )
    broken = ScriptedWorker([ModelError("No weights.")])
    workers = {"orchestrator": held.worker, "crawler": broken, "knowledge": broken}
    engine = TaskEngine(store, workers, SystemClock(), settings)
    await engine.start()
    yield engine
    await engine.stop(0.0)


@pytest.fixture
async def owner(ledger: Ledger, tmp_path):
    return await ledger.authenticate(Settings(home=tmp_path).owner_token_path.read_text())


@pytest.fixture
async def ann(ledger: Ledger):
    user = await ledger.create_user("ann", "member")
    return Principal(user.id, user.name, user.role, "none")


@pytest.fixture
async def bob(ledger: Ledger):
    user = await ledger.create_user("bob", "member")
    return Principal(user.id, user.name, user.role, "none")


def chat(who, message="How do I add a website?", **spec):
    return TaskSpec(kind="chat", args={"message": message}, user_id=who.user_id, **spec)


async def log_of(ledger, task, who, after=0):
    async with asyncio.timeout(10):
        return [event async for event in ledger.events(task.id, who, after)]


class TestTasks:
    async def test_a_question_is_answered(self, ledger, ann, held):
        task = await ledger.submit(chat(ann))
        assert task.status is TaskStatus.QUEUED
        held.go.set()
        log = await log_of(ledger, task, ann)
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        assert [event.type for event in log] == [
            "task_started",
            "task_update",
            "task_update",
            "token",
            "token",
            "task_completed",
        ]
        done = await ledger.get(task.id, ann)
        assert done.status is TaskStatus.COMPLETED
        assert done.result["response"] == "In the settings."
        assert done.result["task_id"] == task.id
        assert log[-1].data["result"] == done.result
        assert {event.conversation_id for event in log} == {task.conversation_id}

    async def test_events_come_while_it_runs_and_again_after(self, ledger, ann, held):
        task = await ledger.submit(chat(ann))
        live = asyncio.create_task(log_of(ledger, task, ann))
        await asyncio.sleep(0.05)
        held.go.set()
        followed = await live
        assert await log_of(ledger, task, ann) == followed
        assert await log_of(ledger, task, ann, after=3) == followed[3:]
        assert await log_of(ledger, task, ann, after=99) == []

    async def test_other_members_do_not_see_it(self, ledger, ann, bob, owner):
        task = await ledger.submit(chat(ann))
        for call in (ledger.get, ledger.cancel, ledger.retry):
            with pytest.raises(NotFound) as theirs:
                await call(task.id, bob)
            with pytest.raises(NotFound) as unknown:
                await call("no-such-task", bob)
            assert theirs.value.body() == unknown.value.body()
        with pytest.raises(NotFound):
            await log_of(ledger, task, bob)
        assert (await ledger.get(task.id, owner)).id == task.id

    async def test_listings_page_through_what_one_may_see(self, ledger, ann, bob, owner):
        mine = [(await ledger.submit(chat(ann))).id for _ in range(5)]
        await ledger.submit(chat(bob))
        seen, cursor = [], None
        while True:
            page, cursor = await ledger.list_tasks(ann, limit=2, cursor=cursor)
            seen += [task.id for task in page]
            if cursor is None:
                break
        assert seen == mine[::-1]
        everything, _ = await ledger.list_tasks(owner)
        assert len([t for t in everything if t.user_id != "system"]) == 6
        assert (await ledger.list_tasks(owner, queue="crawling"))[0] == []
        with pytest.raises(BadRequest):
            await ledger.list_tasks(owner, cursor="not a cursor")

    async def test_the_same_key_and_user_is_the_same_task(self, ledger, ann, bob):
        both = await asyncio.gather(
            *(ledger.submit(chat(ann, idempotency_key="k")) for _ in range(4))
        )
        assert len({task.id for task in both}) == 1
        again = await ledger.submit(chat(ann, "Something else", idempotency_key="k"))
        assert again.id == both[0].id
        assert (await ledger.submit(chat(bob, idempotency_key="k"))).id != again.id
        assert len((await ledger.list_tasks(ann))[0]) == 1
        assert len((await ledger.conversations(ann))[0]) == 1

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"kind": "dance"}, BadRequest),
            ({"args": {"message": object()}}, BadRequest),
            ({"args": {"message": "x" * 300_000}}, TooLarge),
            ({"idempotency_key": ""}, BadRequest),
            ({"idempotency_key": "x" * 201}, BadRequest),
            ({"conversation_id": "unknown"}, NotFound),
        ],
    )
    async def test_bad_tasks_are_refused_and_leave_nothing(self, ledger, ann, change, error):
        with pytest.raises(error):
            await ledger.submit(replace(chat(ann), **change))
        assert (await ledger.list_tasks(ann))[0] == []
        assert (await ledger.conversations(ann))[0] == []

    async def test_a_failure_is_told_and_can_be_tried_again(self, ledger, ann):
        spec = TaskSpec("crawl", {"url": "https://example.org"}, ann.user_id)
        task = await ledger.submit(spec)
        log = await log_of(ledger, task, ann)
        assert log[-1].type == "task_failed"
        assert log[-1].data == {"error": "No weights.", "code": "model_error"}
        failed = await ledger.get(task.id, ann)
        assert (failed.status, failed.conversation_id) == (TaskStatus.FAILED, None)
        with pytest.raises(Conflict):
            await ledger.cancel(task.id, ann)
        again = await ledger.retry(task.id, ann)
        assert again.status is TaskStatus.QUEUED
        whole = await log_of(ledger, task, ann)
        assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
        assert [event.type for event in whole].count("task_failed") == 2
        assert (await ledger.get(task.id, ann)).attempt == 2

    async def test_what_is_not_over_is_not_tried_again(self, ledger, ann, held):
        task = await ledger.submit(chat(ann))
        with pytest.raises(Conflict):
            await ledger.retry(task.id, ann)
        held.go.set()
        await log_of(ledger, task, ann)
        with pytest.raises(Conflict):
            await ledger.retry(task.id, ann)

    async def test_a_running_task_is_cancelled(self, ledger, ann, held):
        task = await ledger.submit(chat(ann))
        await _until(lambda: held.worker.running)
        await ledger.cancel(task.id, ann)
        log = await log_of(ledger, task, ann)
        assert log[-1].type == "task_cancelled"
        assert held.worker.running == 0
        assert (await ledger.get(task.id, ann)).status is TaskStatus.CANCELLED

    async def test_queues_are_shown(self, ledger, ann, held):
        tasks = [await ledger.submit(chat(ann)) for _ in range(10)]
        await _until(lambda: held.worker.running == 8)
        queue = (await ledger.queues())["ai_high_priority"]
        assert (queue["waiting"], queue["running"], queue["limit"]) == (2, 8, 8)
        assert queue["oldest"].endswith("Z")
        assert [await ledger.queue_position(t.id) for t in tasks[7:]] == [None, 1, 2]
        assert (await ledger.get(tasks[9].id, ann)).detail == "limit_reached"
        assert (await ledger.queues())["crawling"]["oldest"] is None


class TestConversations:
    async def test_an_answer_is_kept_with_its_question(self, ledger, ann, held):
        held.go.set()
        task = await ledger.submit(chat(ann, "How  do I\nstart?"))
        await log_of(ledger, task, ann)
        talk = await ledger.conversation(task.conversation_id, ann)
        assert talk.title == "How do I start?"
        assert [(m.role, m.text) for m in talk.messages] == [
            ("user", "How  do I\nstart?"),
            ("assistant", "In the settings."),
        ]
        assert talk.messages[1].extra["selected_agent"] == "qa"
        assert "response" not in talk.messages[1].extra

    async def test_later_questions_bring_what_was_said(self, ledger, ann, held):
        held.go.set()
        first = await ledger.submit(chat(ann, "One?"))
        await log_of(ledger, first, ann)
        second = await ledger.submit(chat(ann, "Two?", conversation_id=first.conversation_id))
        await log_of(ledger, second, ann)
        assert second.conversation_id == first.conversation_id
        assert held.worker.assignments[0].history == ()
        assert held.worker.assignments[1].history == (
            ("user", "One?"),
            ("assistant", "In the settings."),
        )

    async def test_they_are_ones_own(self, ledger, ann, bob, owner):
        talk = (await ledger.submit(chat(ann))).conversation_id
        with pytest.raises(NotFound):
            await ledger.submit(chat(bob, conversation_id=talk))
        for call in (
            ledger.conversation(talk, bob),
            ledger.rename_conversation(talk, bob, "Mine"),
            ledger.delete_conversation(talk, bob),
        ):
            with pytest.raises(NotFound):
                await call
        assert (await ledger.conversation(talk, owner)).id == talk
        assert (await ledger.conversations(bob))[0] == []

    async def test_they_are_listed_renamed_and_deleted(self, ledger, ann):
        talks = [(await ledger.submit(chat(ann, f"Q{n}"))).conversation_id for n in range(3)]
        page, cursor = await ledger.conversations(ann, limit=2)
        rest, end = await ledger.conversations(ann, limit=2, cursor=cursor)
        assert [t.id for t in (*page, *rest)] == talks[::-1]
        assert end is None
        assert (await ledger.rename_conversation(talks[0], ann, " New ")).title == "New"
        assert (await ledger.conversation(talks[0], ann)).title == "New"
        with pytest.raises(BadRequest):
            await ledger.rename_conversation(talks[0], ann, "  ")
        await ledger.delete_conversation(talks[0], ann)
        with pytest.raises(NotFound):
            await ledger.conversation(talks[0], ann)

    async def test_deleting_one_does_not_stop_its_answer(self, ledger, ann, held):
        task = await ledger.submit(chat(ann))
        await ledger.delete_conversation(task.conversation_id, ann)
        held.go.set()
        assert (await log_of(ledger, task, ann))[-1].type == "task_completed"


class TestPeople:
    async def test_the_first_owner_comes_in_with_the_token_of_the_file(self, owner):
        assert (owner.name, owner.role) == ("owner", Role.OWNER)

    async def test_a_token_opens_until_it_is_deleted(self, ledger, ann, bob):
        info, token = await ledger.create_token(ann, "laptop")
        assert "=" not in token
        who = await ledger.authenticate(token)
        assert (who.user_id, who.role, who.token_id) == (ann.user_id, Role.MEMBER, info.id)
        shown = await ledger.tokens(ann)
        assert [(t.id, t.last_used_at is not None) for t in shown] == [(info.id, True)]
        with pytest.raises(NotFound):
            await ledger.delete_token(bob, info.id)
        await ledger.delete_token(ann, info.id)
        assert await ledger.authenticate(token) is None

    @pytest.mark.parametrize("token", ["", "x", "ob_" + "x" * 43, "\ud800"])
    async def test_other_tokens_open_nothing(self, ledger, token):
        assert await ledger.authenticate(token) is None

    async def test_only_owners_make_tokens_for_others(self, ledger, ann, bob, owner):
        with pytest.raises(Forbidden):
            await ledger.create_token(ann, "x", bob.user_id)
        _, token = await ledger.create_token(owner, "x", bob.user_id)
        assert (await ledger.authenticate(token)).user_id == bob.user_id
        with pytest.raises(NotFound):
            await ledger.create_token(owner, "x", "unknown")
        assert len(await ledger.tokens(owner)) == 2
        assert await ledger.tokens(ann) == []

    async def test_a_deleted_user_is_out(self, ledger, ann):
        _, token = await ledger.create_token(ann, "laptop")
        await ledger.delete_user(ann.user_id)
        assert await ledger.authenticate(token) is None
        with pytest.raises(NotFound):
            await ledger.delete_user(ann.user_id)

    async def test_there_is_always_an_owner(self, ledger, owner):
        with pytest.raises(Conflict):
            await ledger.delete_user(owner.user_id)
        second = await ledger.create_user("second", "owner")
        await ledger.delete_user(owner.user_id)
        assert await ledger.users() == [second]

    @pytest.mark.parametrize(
        ("name", "role", "error"),
        [
            ("ann", "member", Conflict),
            ("  ", "member", BadRequest),
            ("x" * 101, "member", BadRequest),
            ("new", "king", BadRequest),
        ],
    )
    async def test_users_have_names_and_roles(self, ledger, ann, name, role, error):
        with pytest.raises(error):
            await ledger.create_user(name, role)


class TestSchedules:
    async def test_the_four_are_there(self, ledger):
        listed = await ledger.schedules()
        assert [s.name for s in listed] == [
            "assess_quality",
            "clean_up",
            "embed_pending",
            "refresh_stale",
        ]
        assert all(s.next_fire_at is not None and s.enabled for s in listed)

    async def test_they_run_by_hand(self, ledger, owner):
        task = await ledger.run_schedule("clean_up", owner)
        assert task.user_id == owner.user_id
        assert (await log_of(ledger, task, owner))[-1].type == "task_completed"
        named = {s.name: s for s in await ledger.schedules()}
        assert named["clean_up"].last_task_id == task.id
        assert named["clean_up"].last_fired_at is None
        with pytest.raises(NotFound):
            await ledger.run_schedule("dance", owner)

    async def test_they_are_edited(self, ledger):
        edited = await ledger.update_schedule("clean_up", cron="5 4 * * *")
        assert (edited.next_fire_at.hour, edited.next_fire_at.minute) == (4, 5)
        paused = await ledger.update_schedule("clean_up", enabled=False)
        assert (paused.cron, paused.enabled, paused.next_fire_at) == ("5 4 * * *", False, None)
        assert {s.name: s for s in await ledger.schedules()}["clean_up"] == paused
        with pytest.raises(BadRequest):
            await ledger.update_schedule("clean_up", cron="soon")
        with pytest.raises(NotFound):
            await ledger.update_schedule("dance", enabled=True)


async def _until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.01)
