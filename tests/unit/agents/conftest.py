"""A knowledge base in memory with a few pages, models that say what they are told to, and a run to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from crawler.fake import FakeCrawler
from serve_app.agents.orchestrator import Orchestrator
from serve_app.domain.clock import FakeClock
from serve_app.domain.knowledge import SYSTEM, Link, PageDraft, WriteKey
from serve_app.domain.language import Delta, Generation
from serve_app.domain.ports import Knowledge, LanguageModel, SearchProvider
from serve_app.domain.tasks import Assignment, WorkerEvent
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.knowledge import KnowledgeBase


def page(url: str, title: str, text: str, links: tuple[Link, ...] = ()) -> PageDraft:
    return PageDraft(url=url, fetched_url=url, title=title, markdown=text, links=links)


MILL = page(
    "https://tides.example/rance",
    "The tide mill of Rance",
    "# The tide mill of Rance\n\n"
    "The tide mill at Rance opened in 1966 after five years of construction. It feeds 240 megawatts "
    "into the grid of Brittany. The turbines turn in both directions of the tide.\n\n"
    "## Costs\n\nThe construction of the tide mill cost 620 million francs. Maintenance of the "
    "turbines is done every ten years by a crew of divers.\n",
    (Link("https://tides.example/sihwa", "Sihwa tide mill in Korea"),),
)
WIND = page(
    "https://wind.example/park",
    "The wind park of Horns",
    "# The wind park of Horns\n\n"
    "The wind park at Horns opened in 2002 in the North Sea. It has eighty turbines on steel towers.\n\n"
    "## Costs\n\nThe construction of the wind park cost 270 million euros. Maintenance of the "
    "turbines needs a ship and calm weather.\n",
)
SIHWA = page(
    "https://tides.example/sihwa",
    "The tide mill of Sihwa",
    "# The tide mill of Sihwa\n\nThe Sihwa tide mill opened in 2011 on the coast of Korea. "
    "It feeds 254 megawatts into the grid, more than any other tide mill.\n",
)
GUIDE = PageDraft(
    url="guide:crawl",
    fetched_url="guide:crawl",
    title="Add a website",
    markdown="# Add a website\n\nTo add a website, run `omeruta crawl` with its address. "
    "The brain then reads its pages and shows the progress.\n",
    source="docs",
    collection=SYSTEM,
)


class ScriptedModel:
    """Says `text` in pieces of seven characters, or raises `error` after it. Keeps what it was asked."""

    def __init__(
        self, text: str = "", error: Exception | None = None, finish: str = "stop"
    ) -> None:
        self.text, self.error, self.finish = text, error, finish
        self.asked: list[Generation] = []
        self.closed = 0

    async def name(self) -> str:
        return "scripted"

    async def stream(self, request: Generation) -> AsyncIterator[Delta]:
        self.asked.append(request)
        try:
            for at in range(0, len(self.text), 7):
                yield Delta(self.text[at : at + 7])
            if self.error is not None:
                raise self.error
            yield Delta("", self.finish, 10, 10)
        finally:
            self.closed += 1


@dataclass
class Run:
    """All that one assignment told."""

    events: list[WorkerEvent] = field(default_factory=list)
    batches: int = 0

    @property
    def result(self) -> Mapping[str, Any]:
        assert [e.type for e in self.events].count("result") == 1
        assert self.events[-1].type == "result"
        return self.events[-1].data

    @property
    def text(self) -> str:
        return "".join(e.data["text"] for e in self.events if e.type == "token")

    @property
    def progress(self) -> list[int]:
        told = [
            e.data["progress"]
            for e in self.events
            if e.type == "task_update" and "progress" in e.data
        ]
        return list(dict.fromkeys(told))

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [e.data for e in self.events if e.type == kind]


@dataclass
class Brain:
    """An orchestrator and everything under it."""

    knowledge: KnowledgeBase
    crawler: FakeCrawler
    clock: FakeClock
    llm: LanguageModel = field(default_factory=ScriptedModel)
    providers: Sequence[SearchProvider] = ()
    over: Knowledge | None = None  # stands in for the knowledge base when set

    async def run(self, kind: str, history: tuple[tuple[str, str], ...] = (), **args: Any) -> Run:
        knowledge = self.over or self.knowledge
        orchestrator = Orchestrator(
            knowledge, self.llm, HashEmbedder(), self.crawler, self.providers, self.clock
        )
        task = Assignment("task-1", 1, kind, args, "user-1", "talk-1", history)
        run = Run()
        async for batch in orchestrator.run(task):
            run.batches += 1
            run.events.extend(batch)
        assert run.text == run.result["response"]
        for source in run.result["sources"]:
            held = await self.knowledge.get_page(source["page_id"])
            assert held.clean_markdown[source["start"] : source["end"]] == source["quote"]
        return run

    async def add(self, *drafts: PageDraft) -> None:
        await self.knowledge.store_pages(WriteKey("setup", 1, drafts[0].url), drafts)
        while (await self.knowledge.embed_pending(100)).remaining:
            pass


@pytest.fixture
async def empty_brain() -> AsyncIterator[Brain]:
    clock = FakeClock()
    knowledge = KnowledgeBase(None, HashEmbedder(), clock, system_pages=[GUIDE])
    await knowledge.open()
    try:
        await knowledge.embed_pending(10)
        yield Brain(
            knowledge, FakeCrawler(knowledge, {p.url: p for p in (MILL, WIND, SIHWA)}), clock
        )
    finally:
        await knowledge.close()


@pytest.fixture
async def brain(empty_brain: Brain) -> Brain:
    await empty_brain.add(MILL, WIND)
    return empty_brain


@pytest.fixture
def scripted() -> Callable[..., ScriptedModel]:
    return ScriptedModel
