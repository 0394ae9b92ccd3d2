"""Where thinking starts: a request is read, routed to an agent, and told of while it is worked on.

    question -> route -> agent (find, quote, write) -> events -> the ledger, and so the person

The agents: qa answers from quotes, general talks, analysis reads given pages, research goes out to
learn. Each is one async generator of events that ends with its Answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from serve_app.agents import analysis, general, qa, research
from serve_app.agents.events import Answer, Step, in_batches, update
from serve_app.agents.request import Desk, Request, parse
from serve_app.agents.routing import Route, Router, by_rules
from serve_app.domain.ports import (
    Clock,
    Crawler,
    Embedder,
    Knowledge,
    LanguageModel,
    SearchProvider,
)
from serve_app.domain.streams import closing
from serve_app.domain.tasks import Assignment, WorkerEvent

Agent = Callable[[Desk, Request], AsyncIterator[Step]]

AGENTS: dict[str, Agent] = {
    "qa": qa.answer,
    "general": general.answer,
    "analysis": analysis.answer,
    "research": research.answer,
}


class Orchestrator:
    """The Worker for `chat`, `multiagent`, `research`, `analyze` and `expand`. Holds no state of a task."""

    def __init__(
        self,
        knowledge: Knowledge,
        llm: LanguageModel,
        embedder: Embedder,
        crawler: Crawler,
        providers: Sequence[SearchProvider],
        clock: Clock,
    ) -> None:
        self._desk = Desk(knowledge, llm, embedder, crawler, tuple(providers), clock)
        self._router = Router(embedder)

    async def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        """Raises BadRequest for odd arguments, FetchError when nothing asked for can be read, and
        what Knowledge raises; a model that is away costs only the model's part of an answer."""
        async with closing(in_batches(self._work(assignment))) as batches:
            async for batch in batches:
                yield batch

    async def _work(self, assignment: Assignment) -> AsyncIterator[WorkerEvent]:
        started = self._desk.clock.now()
        request = parse(assignment)
        progress = Progress()
        yield progress.of(_first_words(request))

        route = await self._route(request)
        yield _routed(route)
        if assignment.kind == "multiagent":
            yield progress.of(update(30, f"Routed to the {route.agent} agent"))

        async with closing(AGENTS[route.agent](self._desk, request)) as steps:
            async for step in steps:
                if isinstance(step, Answer):
                    if assignment.kind == "multiagent":
                        yield progress.of(update(80, "Finishing"))
                    yield progress.of(update(100, "Ready"))
                    yield self._result(request, route, step, started)
                    return
                yield progress.of(step)

    async def _route(self, request: Request) -> Route:
        """Chats stay with qa and general; the other kinds name their agent or leave it to the router."""
        if not request.use_context and request.agent_type in ("auto", "qa", "general"):
            return Route("general", 1.0, "asked to answer without the knowledge base")
        if request.assignment.kind != "chat":
            return await self._router.route(request.text, request.agent_type)
        decided = by_rules(request.text)
        if decided is not None and decided.agent == "general":
            return decided
        return Route("qa", 1.0, "a chat is answered from the knowledge base")

    def _result(
        self, request: Request, route: Route, answer: Answer, started: datetime
    ) -> WorkerEvent:
        """The result object of contract section 4."""
        task = request.assignment
        seconds = (self._desk.clock.now() - started).total_seconds()
        info = answer.expansion_info
        result: dict[str, Any] = {
            "response": answer.response,
            "model_used": answer.model_used,
            "selected_agent": route.agent,
            "routing_score": route.score,
            "routing_reason": route.reason,
            "context_used": bool(answer.sources),
            "context_sources": len(answer.sources),
            "sources": list(answer.sources),
            "confidence_score": round(answer.confidence, 3),
            "processing_time": round(seconds, 3),
            "task_id": task.task_id,
            "user_id": task.user_id,
            "conversation_id": task.conversation_id,
            "processed_async": True,
            "knowledge_expanded": bool(info and info["pages_added"]),
            "notes": list(answer.notes),
            **answer.extra,
        }
        if info is not None:
            result["expansion_info"] = info
        if answer.quality_assessment is not None:
            result["quality_assessment"] = answer.quality_assessment
        return WorkerEvent("result", result)


class Progress:
    """Keeps a task's percentage from falling: agents tell theirs, whoever called them theirs."""

    def __init__(self) -> None:
        self._now = 0

    def of(self, event: WorkerEvent) -> WorkerEvent:
        if event.type != "task_update" or "progress" not in event.data:
            return event
        self._now = max(self._now, event.data["progress"])
        return WorkerEvent(event.type, {**event.data, "progress": self._now})


def _first_words(request: Request) -> WorkerEvent:
    if request.assignment.kind == "multiagent":
        return update(10, "Analysing the question")
    return update(0, "Starting the agent")


def _routed(route: Route) -> WorkerEvent:
    data = {"selected_agent": route.agent, "confidence": route.score, "reason": route.reason}
    return WorkerEvent("agent_routed", data)
