"""Requests of every kind are checked, routed, worked on and told of in the contract's terms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serve_app.agents.events import in_batches, token, update
from serve_app.agents.general import UNSOURCED
from serve_app.agents.orchestrator import Orchestrator
from serve_app.domain.errors import BadRequest, Overloaded
from serve_app.domain.tasks import Assignment, WorkerEvent
from serve_app.inference.embed_hash import HashEmbedder

RESULT_FIELDS = {
    "response", "model_used", "selected_agent", "context_used", "context_sources", "sources",
    "confidence_score", "processing_time", "task_id", "user_id", "conversation_id",
    "processed_async", "knowledge_expanded",
}  # fmt: skip
QUESTION = "When did the tide mill at Rance open?"


async def test_the_result_has_the_contracts_fields(brain: Any) -> None:
    result = (await brain.run("multiagent", query=QUESTION)).result
    assert set(result) >= RESULT_FIELDS
    assert (result["task_id"], result["user_id"], result["conversation_id"]) == (
        "task-1",
        "user-1",
        "talk-1",
    )
    assert result["context_sources"] == len(result["sources"]) > 0
    assert 0 <= result["confidence_score"] <= 1
    assert result["processing_time"] >= 0
    assert set(result["sources"][0]) >= {"n", "title", "url", "quote", "score"}


async def test_progress_and_route_through_the_orchestrator(brain: Any) -> None:
    run = await brain.run("multiagent", query=QUESTION)
    assert run.progress == [10, 30, 40, 60, 75, 80, 100]
    (routed,) = run.of("agent_routed")
    assert (routed["selected_agent"], routed["confidence"]) == ("qa", run.result["routing_score"])
    assert routed["reason"]


@pytest.mark.parametrize("agent", ["qa", "general"])
async def test_the_agent_asked_for_answers(brain: Any, scripted: Any, agent: str) -> None:
    brain.llm = scripted("Something.")
    result = (await brain.run("multiagent", query=QUESTION, agent_type=agent)).result
    assert (result["selected_agent"], result["routing_score"]) == (agent, 1.0)


async def test_greetings_are_answered_by_rule(brain: Any) -> None:
    for kind, field in (("chat", "message"), ("multiagent", "query")):
        run = await brain.run(kind, **{field: "Hello there!"})
        assert run.result["selected_agent"] == "general"
        assert run.result["response"].startswith("Hello.")
        assert run.result["confidence_score"] == 0
    assert brain.llm.asked == []


async def test_talk_without_a_source_is_marked_before_it_begins(brain: Any, scripted: Any) -> None:
    brain.llm = scripted("Waves come and waves go.")
    run = await brain.run("chat", message="Write a short poem about the sea", max_tokens=50)
    assert run.result["response"] == UNSOURCED + "Waves come and waves go."
    assert run.result["model_used"] == "scripted"
    assert run.result["context_used"] is False
    assert brain.llm.asked[0].max_tokens == 50


async def test_without_context_the_knowledge_base_is_not_searched(
    brain: Any, scripted: Any
) -> None:
    brain.llm = scripted("In 1966, I think.")
    result = (await brain.run("chat", message=QUESTION, use_context=False)).result
    assert result["selected_agent"] == "general"
    assert result["response"].startswith(UNSOURCED)
    assert result["sources"] == []


async def test_talk_needs_its_model(brain: Any, scripted: Any) -> None:
    brain.llm = scripted("", Overloaded("Full.", retry_after=2.0))
    with pytest.raises(Overloaded):
        await brain.run("chat", message="Tell me a joke")


async def test_talk_that_comes_to_nothing_is_said(brain: Any) -> None:
    result = (await brain.run("chat", message="Tell me a joke")).result
    assert result["response"] == "I have nothing to say to this."


async def test_talk_remembers_a_few_turns(brain: Any, scripted: Any) -> None:
    brain.llm = scripted("Yes.")
    history = tuple((("user", "assistant")[i % 2], f"turn {i} " + "x" * 900) for i in range(10))
    await brain.run("chat", history=history, message="Tell me a joke")
    said = brain.llm.asked[0].messages
    assert [m.role for m in said] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert max(len(m.content) for m in said[1:]) <= 400


@pytest.mark.parametrize(
    ("kind", "args", "field"),
    [
        ("chat", {}, "message"),
        ("chat", {"message": "  "}, "message"),
        ("chat", {"message": 7}, "message"),
        ("chat", {"message": "x" * 9000}, "message"),
        ("chat", {"message": "x", "use_context": "yes"}, "use_context"),
        ("chat", {"message": "x", "max_tokens": 0}, "max_tokens"),
        ("chat", {"message": "x", "max_tokens": True}, "max_tokens"),
        ("multiagent", {"query": ""}, "query"),
        ("multiagent", {"query": "x", "agent_type": "oracle"}, "agent_type"),
        ("research", {"topic": None}, "topic"),
        ("research", {"topic": "x", "max_sources": 21}, "max_sources"),
        ("research", {"topic": "x", "expand_knowledge": 1}, "expand_knowledge"),
        ("expand", {"topic": "x", "max_urls": -1}, "max_urls"),
        ("analyze", {}, "urls"),
        ("analyze", {"urls": []}, "urls"),
        ("analyze", {"urls": "https://a.example/"}, "urls"),
        ("analyze", {"urls": ["https://a.example/", 3]}, "urls"),
        ("analyze", {"urls": [f"https://a.example/{i}" for i in range(21)]}, "urls"),
        ("analyze", {"urls": ["https://a.example/"], "analysis_type": "mood"}, "analysis_type"),
        ("crawl", {"url": "https://a.example/"}, "kind"),
    ],
)
async def test_odd_arguments_are_named(
    brain: Any, kind: str, args: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await brain.run(kind, **args)
    assert caught.value.field == field
    assert field in caught.value.message


async def test_stopping_to_listen_frees_the_models_slot(brain: Any, scripted: Any) -> None:
    llm = scripted("The tide mill opened in 1966. " * 3)
    worker = Orchestrator(brain.knowledge, llm, HashEmbedder(), brain.crawler, [], brain.clock)
    batches = worker.run(Assignment("t", 1, "chat", {"message": "Tell me a joke"}, "u"))
    async for batch in batches:
        if any(e.type == "token" for e in batch):
            break
    await batches.aclose()  # type: ignore[attr-defined]
    assert llm.closed == 1


async def slow(
    events: list[WorkerEvent], error: Exception | None = None
) -> AsyncIterator[WorkerEvent]:
    for event in events:
        await asyncio.sleep(0)
        yield event
    if error is not None:
        raise error


async def test_text_travels_in_batches_and_keeps_its_order() -> None:
    events = [update(0, "Starting"), *[token(str(i)) for i in range(100)], update(100, "Ready")]
    batches = [batch async for batch in in_batches(slow(events))]
    assert [e for batch in batches for e in batch] == events
    assert len(batches) < 10


async def test_what_came_before_an_error_is_handed_on_first() -> None:
    seen: list[WorkerEvent] = []

    async def listen() -> None:
        async for batch in in_batches(slow([token("a"), token("b")], Overloaded("Full."))):
            seen.extend(batch)

    with pytest.raises(Overloaded):
        await listen()
    assert seen == [token("a"), token("b")]
