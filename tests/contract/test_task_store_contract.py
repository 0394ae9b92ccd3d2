"""What every `TaskStore` promises, on each of them."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serve_app.domain.errors import BadRequest, Conflict, StaleAttempt, Unavailable
from serve_app.domain.people import Conversation, Message, Role, TokenInfo, User
from serve_app.domain.tasks import Schedule, Task, TaskEvent, TaskStatus
from serve_app.tasks import store as s
from serve_app.tasks.store_memory import MemoryTaskStore
from serve_app.tasks.store_sqlite import SqliteTaskStore

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    opened = (
        MemoryTaskStore()
        if request.param == "memory"
        else SqliteTaskStore(tmp_path / "ledger" / "ledger.sqlite3", lock_timeout=0.2)
    )
    await opened.open()
    yield opened
    await opened.close()


def task(task_id="t1", *, age=0, **changes):
    at = NOW - timedelta(seconds=age)
    bare = Task(
        task_id, "chat", {"message": "Hi"}, "ann", "ai_high_priority", TaskStatus.QUEUED, at
    )
    return replace(bare, **changes)


def event(seq, kind="token", task_id="t1", **data):
    return TaskEvent(task_id, seq, 1, kind, data, NOW)


async def finished(store, task_id="t1", *, ended=NOW, expires=NOW + HOUR):
    """A completed task with four events."""
    queued = task(task_id, idempotency_key=f"key-{task_id}")
    await store.apply(s.InsertTask(queued))
    log = [event(n, "token", task_id, text="x") for n in (1, 2, 3)]
    log.append(event(4, "task_completed", task_id, result={"response": "x"}))
    done = replace(
        queued,
        status=TaskStatus.COMPLETED,
        attempt=1,
        result={"response": "x"},
        finished_at=ended,
        expires_at=expires,
        last_seq=4,
    )
    await store.apply(s.SaveTask(done, TaskStatus.QUEUED, 0), s.AppendEvents(tuple(log)))
    return done


class TestTasks:
    async def test_every_field_comes_back(self, store):
        full = task(
            status=TaskStatus.FAILED,
            conversation_id="c",
            parent_id="p",
            idempotency_key="k",
            attempt=2,
            failures=1,
            losses=1,
            not_before=NOW + HOUR,
            started_at=NOW,
            finished_at=NOW,
            expires_at=NOW + HOUR,
            expired=True,
            cancel_requested=True,
            progress=40,
            message="Läuft.",
            detail="stalled",
            counts={"found": 3},
            result={"response": "…"},
            error={"error": "Oh.", "code": "internal"},
            last_seq=7,
        )
        await store.apply(s.InsertTask(full))
        assert await store.task("t1") == full
        assert await store.task("t2") is None

    async def test_an_id_is_taken_once(self, store):
        await store.apply(s.InsertTask(task()))
        with pytest.raises(Conflict):
            await store.apply(s.InsertTask(task()))

    async def test_a_key_is_taken_once_a_user(self, store):
        await store.apply(s.InsertTask(task("t1", idempotency_key="k")))
        with pytest.raises(Conflict):
            await store.apply(s.InsertTask(task("t2", idempotency_key="k")))
        await store.apply(s.InsertTask(task("t3", idempotency_key="k", user_id="bob")))
        assert (await store.keyed_task("ann", "k")).id == "t1"
        assert (await store.keyed_task("bob", "k")).id == "t3"
        assert await store.keyed_task("eve", "k") is None
        assert await store.task("t2") is None

    @pytest.mark.parametrize(
        ("status", "attempt"), [(TaskStatus.PROCESSING, 0), (TaskStatus.QUEUED, 1)]
    )
    async def test_a_change_from_another_state_is_refused(self, store, status, attempt):
        await store.apply(s.InsertTask(task()))
        with pytest.raises(StaleAttempt):
            await store.apply(s.SaveTask(task(progress=50), status, attempt))
        assert (await store.task("t1")).progress == 0

    async def test_a_change_of_nothing_is_refused(self, store):
        with pytest.raises(StaleAttempt):
            await store.apply(s.SaveTask(task(), TaskStatus.QUEUED, 0))

    async def test_changes_apply_together_or_not_at_all(self, store):
        await store.apply(s.InsertTask(task()))
        with pytest.raises(StaleAttempt):
            await store.apply(
                s.InsertTask(task("t2", idempotency_key="k")),
                s.SaveLimit("crawling", 9),
                s.InsertConversation(Conversation("c", "ann", "x", NOW, NOW)),
                s.AddMessage("c", Message("user", "Hi", NOW)),
                s.RenameConversation("c", "y"),
                s.AppendEvents((event(1),)),
                s.SaveTask(task(), TaskStatus.QUEUED, 5),
            )
        assert await store.task("t2") is None
        assert await store.limits() == {}
        assert await store.conversation("c", 9) is None
        assert (await store.events("t1", 0, 9)).events == ()
        assert await store.keyed_task("ann", "k") is None

    async def test_one_refusal_does_not_touch_what_is_written_beside_it(self, store):
        await store.apply(s.InsertTask(task()))
        outcomes = await asyncio.gather(
            store.apply(s.InsertTask(task("t2"))),
            store.apply(s.InsertTask(task("t1"))),
            store.apply(s.InsertTask(task("t3"))),
            return_exceptions=True,
        )
        assert [type(o) for o in outcomes] == [type(None), Conflict, type(None)]
        assert {t.id for t in await store.unfinished()} == {"t1", "t2", "t3"}

    async def test_of_two_writers_one_wins(self, store):
        await store.apply(s.InsertTask(task()))
        moved = task(status=TaskStatus.PROCESSING, attempt=1)
        change = s.SaveTask(moved, TaskStatus.QUEUED, 0)
        outcomes = await asyncio.gather(
            *(store.apply(change) for _ in range(5)), return_exceptions=True
        )
        assert outcomes.count(None) == 1
        assert sum(isinstance(o, StaleAttempt) for o in outcomes) == 4

    async def test_the_unfinished_come_oldest_first(self, store):
        await store.apply(s.InsertTask(task("new", age=1)), s.InsertTask(task("old", age=9)))
        await store.apply(s.InsertTask(task("run", age=5, status=TaskStatus.PROCESSING)))
        await store.apply(s.InsertTask(task("end", status=TaskStatus.FAILED)))
        assert [t.id for t in await store.unfinished()] == ["old", "run", "new"]

    async def test_listings_filter_and_page(self, store):
        for n in range(5):
            await store.apply(s.InsertTask(task(f"t{n}", age=n)))
        await store.apply(s.InsertTask(task("other", user_id="bob", queue="crawling", age=10)))
        await store.apply(s.InsertTask(task("end", status=TaskStatus.FAILED, age=11)))

        async def ids(**query):
            return [t.id for t in await store.tasks(s.TaskQuery(**{"limit": 9, **query}))]

        assert await ids() == ["t0", "t1", "t2", "t3", "t4", "other", "end"]
        assert await ids(user_id="bob") == ["other"]
        assert await ids(queue="crawling", status=TaskStatus.QUEUED) == ["other"]
        assert await ids(status=TaskStatus.FAILED) == ["end"]
        first = await store.tasks(s.TaskQuery(limit=2))
        before = (first[-1].created_at, first[-1].id)
        assert await ids(before=before, limit=3) == ["t2", "t3", "t4"]

    async def test_a_shared_instant_is_paged_by_id(self, store):
        await store.apply(*(s.InsertTask(task(name)) for name in "abc"))
        assert [t.id for t in await store.tasks(s.TaskQuery(limit=9, before=(NOW, "b")))] == ["a"]


class TestEvents:
    async def test_they_come_in_order_after_a_number(self, store):
        await store.apply(s.InsertTask(task(conversation_id="c")))
        await store.apply(s.AppendEvents(tuple(event(n, text=str(n)) for n in (1, 2, 3))))
        page = await store.events("t1", 1, 9)
        assert [(e.seq, e.data["text"]) for e in page.events] == [(2, "2"), (3, "3")]
        assert {e.conversation_id for e in page.events} == {"c"}
        assert page.events[0].at == NOW
        assert not page.ended
        assert [e.seq for e in (await store.events("t1", 0, 2)).events] == [1, 2]

    async def test_a_number_is_given_once(self, store):
        await store.apply(s.InsertTask(task()), s.AppendEvents((event(1),)))
        with pytest.raises(Conflict):
            await store.apply(s.AppendEvents((event(2), event(1))))
        assert [e.seq for e in (await store.events("t1", 0, 9)).events] == [1]

    async def test_events_of_no_task_are_refused(self, store):
        with pytest.raises(Conflict):
            await store.apply(s.AppendEvents((event(1),)))

    async def test_the_end_is_known(self, store):
        await finished(store)
        assert not (await store.events("t1", 0, 3)).ended
        assert (await store.events("t1", 0, 4)).ended
        assert await store.events("t1", 4, 9) == s.EventPage((), ended=True)
        assert await store.events("none", 0, 9) == s.EventPage((), ended=True)


class TestChanges:
    async def test_what_is_none_is_refused(self):
        store = MemoryTaskStore()
        await store.open()
        with pytest.raises(TypeError):
            await store.apply("dance")


class TestUpkeep:
    async def test_a_result_expires_and_the_log_says_so(self, store):
        await finished(store)
        assert await store.expirable(NOW, 9) == []
        assert await store.expirable(NOW + HOUR, 9) == ["t1"]
        await store.apply(s.ExpireResults(("t1",)))
        gone = await store.task("t1")
        assert (gone.result, gone.expired, gone.status) == (None, True, TaskStatus.COMPLETED)
        page = await store.events("t1", 0, 9)
        assert [(e.seq, dict(e.data)) for e in page.events] == [
            (4, {"result": None, "expired": True})
        ]
        assert page.ended
        assert await store.expirable(NOW + HOUR, 9) == []

    async def test_an_error_outlives_its_time(self, store):
        failed = task(status=TaskStatus.FAILED, error={"error": "x"}, expires_at=NOW, last_seq=2)
        log = (event(1), event(2, "task_failed", error="x"))
        await store.apply(s.InsertTask(failed), s.AppendEvents(log))
        await store.apply(s.ExpireResults(("t1",)))
        assert (await store.task("t1")).error == {"error": "x"}
        assert [dict(e.data) for e in (await store.events("t1", 0, 9)).events] == [{"error": "x"}]

    async def test_old_tasks_go_with_all_that_is_theirs(self, store):
        await finished(store, "old", ended=NOW - HOUR)
        await finished(store, "new")
        assert await store.finished_before(NOW, 9) == ["old"]
        await store.apply(s.DeleteTasks(("old", "unknown")))
        assert await store.task("old") is None
        assert await store.keyed_task("ann", "key-old") is None
        assert (await store.events("old", 0, 9)).events == ()
        assert (await store.task("new")) is not None

    async def test_deleting_what_is_not_there_is_nothing(self, store):
        await store.apply(s.DeleteToken("x"), s.DeleteConversation("x"), s.DeleteUser("x"))
        assert (await store.tokens(), await store.users()) == ([], [])

    async def test_what_runs_again_meanwhile_keeps_everything(self, store):
        failed = task(status=TaskStatus.FAILED, finished_at=NOW, expires_at=NOW, last_seq=2)
        log = (event(1), event(2, "task_failed", error="x"))
        await store.apply(s.InsertTask(failed), s.AppendEvents(log))
        again = replace(failed, status=TaskStatus.QUEUED, finished_at=None, expires_at=None)
        await store.apply(s.SaveTask(again, TaskStatus.FAILED, 0))
        await store.apply(s.ExpireResults(("t1",)), s.DeleteTasks(("t1",)))
        assert await store.task("t1") == again
        assert [e.seq for e in (await store.events("t1", 0, 9)).events] == [1, 2]

    async def test_both_come_oldest_first_and_bounded(self, store):
        for n in range(3):
            at = NOW - timedelta(minutes=n)
            await finished(store, f"t{n}", ended=at, expires=at)
        assert await store.expirable(NOW, 2) == ["t2", "t1"]
        assert await store.finished_before(NOW + HOUR, 2) == ["t2", "t1"]


class TestSchedules:
    ROW = s.ScheduleRow(Schedule("daily", "0 2 * * *", "clean_up", {"limit": 3}, "Every day."), NOW)

    async def test_they_come_back_by_name(self, store):
        other = replace(self.ROW, schedule=replace(self.ROW.schedule, name="aaa", enabled=False))
        await store.apply(s.SaveSchedule(self.ROW), s.SaveSchedule(other))
        assert await store.schedules() == [other, self.ROW]

    async def test_saving_again_replaces(self, store):
        edited = replace(
            self.ROW,
            since=NOW + HOUR,
            schedule=replace(
                self.ROW.schedule, last_fired_at=NOW, last_task_id="t", cron="* * * * *"
            ),
        )
        await store.apply(s.SaveSchedule(self.ROW))
        await store.apply(s.SaveSchedule(edited))
        assert await store.schedules() == [edited]

    async def test_a_firing_is_claimed_once_with_its_task(self, store):
        await store.apply(s.Fire("daily", NOW), s.InsertTask(task("t1")))
        with pytest.raises(Conflict):
            await store.apply(s.InsertTask(task("t2")), s.Fire("daily", NOW))
        assert await store.task("t2") is None
        await store.apply(s.Fire("daily", NOW + HOUR))
        await store.apply(s.ForgetFirings(NOW + HOUR))
        await store.apply(s.Fire("daily", NOW))
        with pytest.raises(Conflict):
            await store.apply(s.Fire("daily", NOW + HOUR))

    async def test_limits_are_kept(self, store):
        await store.apply(s.SaveLimit("crawling", 3), s.SaveLimit("embeddings", 1))
        await store.apply(s.SaveLimit("crawling", 0))
        assert await store.limits() == {"crawling": 0, "embeddings": 1}


class TestPeople:
    ANN = User("u1", "ann", Role.OWNER, NOW)
    BOB = User("u2", "bob", Role.MEMBER, NOW + HOUR)

    def token(self, token_id="k1", user_id="u1"):
        return s.TokenRow(TokenInfo(token_id, user_id, "laptop", NOW), f"hash-{token_id}")

    async def test_users_have_names_of_their_own(self, store):
        await store.apply(s.InsertUser(self.BOB), s.InsertUser(self.ANN))
        assert await store.users() == [self.ANN, self.BOB]
        with pytest.raises(Conflict):
            await store.apply(s.InsertUser(replace(self.ANN, id="u3")))

    async def test_a_token_needs_its_user(self, store):
        with pytest.raises(Conflict):
            await store.apply(s.InsertToken(self.token()))

    async def test_tokens_are_kept_touched_and_deleted(self, store):
        await store.apply(s.InsertUser(self.ANN), s.InsertToken(self.token()))
        await store.apply(s.InsertToken(self.token("k2")))
        await store.apply(s.TouchTokens({"k1": NOW + HOUR, "unknown": NOW}))
        first, second = await store.tokens()
        assert (first.info.last_used_at, first.hash) == (NOW + HOUR, "hash-k1")
        assert second == self.token("k2")
        await store.apply(s.DeleteToken("k1"))
        assert await store.tokens() == [self.token("k2")]

    async def test_a_user_goes_with_tokens_and_conversations(self, store):
        talk = Conversation("c1", "u2", "Hi", NOW, NOW)
        await store.apply(
            s.InsertUser(self.ANN),
            s.InsertUser(self.BOB),
            s.InsertToken(self.token("k1", "u1")),
            s.InsertToken(self.token("k2", "u2")),
            s.InsertConversation(talk),
            s.InsertConversation(replace(talk, id="c2", user_id="u1")),
        )
        await store.apply(s.DeleteUser("u2"))
        assert await store.users() == [self.ANN]
        assert [row.info.id for row in await store.tokens()] == ["k1"]
        assert await store.conversation("c1", 9) is None
        assert await store.conversation("c2", 9) is not None


class TestConversations:
    TALK = Conversation("c1", "ann", "Hi", NOW, NOW)

    def said(self, n, role="user", task_id=None):
        return Message(role, f"m{n}", NOW + timedelta(seconds=n), task_id, {"n": n})

    async def test_messages_are_kept_in_order(self, store):
        await store.apply(s.InsertConversation(self.TALK))
        for n in (1, 2, 3):
            await store.apply(s.AddMessage("c1", self.said(n)))
        talk = await store.conversation("c1", 2)
        assert talk.messages == (self.said(2), self.said(3))
        assert (talk.message_count, talk.updated_at) == (3, NOW + timedelta(seconds=3))
        assert await store.conversation("c2", 2) is None

    async def test_the_last_used_is_listed_first(self, store):
        for n in range(3):
            at = NOW + timedelta(seconds=n)
            await store.apply(s.InsertConversation(Conversation(f"c{n}", "ann", "x", NOW, at)))
        await store.apply(s.InsertConversation(Conversation("other", "bob", "x", NOW, NOW)))
        await store.apply(s.AddMessage("c0", self.said(9)))
        listed = await store.conversations("ann", 9, None)
        assert [(t.id, t.message_count, t.messages) for t in listed] == [
            ("c0", 1, ()),
            ("c2", 0, ()),
            ("c1", 0, ()),
        ]
        following = await store.conversations("ann", 9, (listed[1].updated_at, listed[1].id))
        assert [t.id for t in following] == ["c1"]
        assert len(await store.conversations("ann", 1, None)) == 1

    async def test_it_is_renamed_and_deleted(self, store):
        await store.apply(s.InsertConversation(self.TALK), s.AddMessage("c1", self.said(1)))
        await store.apply(s.RenameConversation("c1", "Hello"), s.RenameConversation("c2", "x"))
        assert (await store.conversation("c1", 9)).title == "Hello"
        await store.apply(s.DeleteConversation("c1"))
        await store.apply(s.AddMessage("c1", self.said(2)))
        assert await store.conversation("c1", 9) is None

    async def test_a_task_is_given_what_was_said_before_it(self, store):
        await store.apply(s.InsertConversation(self.TALK))
        for n, owner in enumerate(["a", "a", "b", "c", "b"], 1):
            await store.apply(s.AddMessage("c1", self.said(n, task_id=owner)))
        assert [m.text for m in await store.turns_before("c1", "b", 9)] == ["m1", "m2"]
        assert [m.text for m in await store.turns_before("c1", "c", 2)] == ["m2", "m3"]
        assert list(await store.turns_before("c1", "unknown", 9)) == []
        assert list(await store.turns_before("c2", "a", 9)) == []


class TestLife:
    async def test_what_was_written_outlives_the_owner(self, store):
        await store.apply(s.InsertTask(task()))
        await store.close()
        await store.open()
        assert await store.task("t1") == task()

    async def test_a_closed_store_says_so(self, store):
        await store.close()
        await store.close()
        with pytest.raises(Unavailable):
            await store.apply(s.InsertTask(task()))
        with pytest.raises(Unavailable):
            await store.task("t1")
        with pytest.raises(Unavailable):
            await store.events("t1", 0, 9)

    async def test_a_caller_that_leaves_does_not_undo_its_write(self, store):
        writing = asyncio.create_task(store.apply(s.InsertTask(task())))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait({writing})
        await store.apply(s.InsertTask(task("t2")))
        assert await store.task("t1") == task()


class TestCursors:
    def test_they_come_back(self):
        key = (NOW, "t1")
        assert s.key_of(s.cursor_of(key)) == key
        assert s.key_of(None) is None

    @pytest.mark.parametrize(
        "cursor", ["", "x", "äöü", "AAAA", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk6eA"]
    )
    def test_what_is_none_is_refused(self, cursor):
        with pytest.raises(BadRequest):
            s.key_of(cursor)
