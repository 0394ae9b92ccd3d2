"""Orchestrator: routes questions to agents and runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ray import serve

from deployments.handles import (
    RemoteCrawler,
    RemoteEmbedder,
    RemoteKnowledge,
    RemoteLanguageModel,
)
from deployments.replica import start_replica
from serve_app.agents import orchestrator
from serve_app.agents.providers import JsonSearchProvider, LinkGraphProvider
from serve_app.domain.clock import SystemClock
from serve_app.domain.ports import SearchProvider
from serve_app.domain.streams import closing
from serve_app.domain.tasks import Assignment, WorkerEvent


@serve.deployment
class Orchestrator:
    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]
        read = start_replica(settings)
        knowledge = RemoteKnowledge()
        providers: list[SearchProvider] = [LinkGraphProvider(knowledge)]
        if read.search.url:
            providers.append(JsonSearchProvider(read.search))
        self._orchestrator = orchestrator.Orchestrator(
            knowledge=knowledge,
            llm=RemoteLanguageModel(),
            embedder=RemoteEmbedder(),
            crawler=RemoteCrawler(),
            providers=providers,
            clock=SystemClock(),
        )

    async def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        async with closing(self._orchestrator.run(assignment)) as stream:
            async for batch in stream:
                yield batch
