"""Which tasks talk, what is kept of it, and how much of it a task is given."""

import pytest

from serve_app.domain.tasks import TaskSpec
from serve_app.tasks.conversations import HISTORY_CHARS, HISTORY_TURNS
from serve_app.tasks.scripted import ScriptedWorker, result


async def say(bench, text, **spec):
    task = await bench.engine.submit(TaskSpec("chat", {"message": text}, "ann", **spec))
    await bench.settle()
    return task


async def test_the_history_is_the_last_turns(bench):
    await bench.start(result({"response": "a"}))
    talk = (await say(bench, "q0")).conversation_id
    for n in range(1, 9):
        await say(bench, f"q{n}", conversation_id=talk)
    history = bench.workers["orchestrator"].assignments[-1].history
    assert len(history) == HISTORY_TURNS
    assert history[0] == ("user", "q2")
    assert history[-1] == ("assistant", "a")


async def test_the_history_is_bounded_in_length_too(bench):
    await bench.start(result({"response": "a" * 1500}))
    talk = (await say(bench, "old")).conversation_id
    for _ in range(3):
        await say(bench, "q", conversation_id=talk)
    history = bench.workers["orchestrator"].assignments[-1].history
    assert sum(len(text) for _, text in history) <= HISTORY_CHARS
    assert [role for role, _ in history] == ["user", "assistant", "user", "assistant"]


async def test_a_question_that_waits_is_not_given_later_ones(bench):
    await bench.start(result({"response": "a"}))
    await bench.engine.set_queue_limit("ai_high_priority", 0)
    talk = (await say(bench, "one")).conversation_id
    await say(bench, "two", conversation_id=talk)
    await bench.engine.set_queue_limit("ai_high_priority", 1)
    await bench.settle()
    histories = [a.history for a in bench.workers["orchestrator"].assignments]
    assert histories[0] == ()
    assert ("user", "one") in histories[1]


@pytest.mark.parametrize(
    ("kind", "args", "words"),
    [
        ("multiagent", {"query": "Which?"}, "Which?"),
        ("research", {"topic": "Owls"}, "Owls"),
        ("analyze", {"urls": ["http://a", "http://b"]}, "http://a\nhttp://b"),
    ],
)
async def test_agents_that_answer_begin_a_conversation(bench, kind, args, words):
    await bench.start(result())
    task = await bench.engine.submit(TaskSpec(kind, args, "ann"))
    talk = await bench.engine.conversation(task.conversation_id, bench.owner)
    assert talk.messages[0].text == words


async def test_other_work_begins_none_but_may_belong_to_one(bench):
    await bench.start(result({"pages": 1}))
    assert (await bench.submit("crawl")).conversation_id is None
    talk = (await say(bench, "x" * 200)).conversation_id
    task = await bench.submit("crawl", conversation_id=talk)
    await bench.settle()
    assert task.conversation_id == talk
    kept = await bench.engine.conversation(talk, bench.owner)
    assert kept.message_count == 1
    assert len(kept.title) == 80
    assert kept.title.endswith("…")


async def test_a_failed_try_leaves_one_question_and_one_answer(bench):
    bench.workers["orchestrator"] = ScriptedWorker([KeyError("x")], [result()])
    await bench.start()
    task = await say(bench, "Well?")
    await bench.clock.advance(80)
    talk = await bench.engine.conversation(task.conversation_id, bench.owner)
    assert [m.role for m in talk.messages] == ["user", "assistant"]
