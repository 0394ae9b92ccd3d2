"""Research says what is known and missing, reads what providers propose, and reports with sources."""

from __future__ import annotations

from typing import Any

import pytest

from serve_app.agents.providers import LinkGraphProvider
from serve_app.domain.errors import Unavailable
from serve_app.domain.web import Candidate

SIHWA = "https://tides.example/sihwa"
MILL = "https://tides.example/rance"


class ListProvider:
    def __init__(self, *urls: str, name: str = "list", error: Exception | None = None) -> None:
        self.name, self.urls, self.error = name, urls, error
        self.asked: list[tuple[str, int]] = []

    async def find(self, topic: str, limit: int) -> list[Candidate]:
        self.asked.append((topic, limit))
        if self.error is not None:
            raise self.error
        return [Candidate(url, provider=self.name) for url in self.urls]


async def test_it_learns_from_links_of_known_pages_and_reports(brain: Any) -> None:
    brain.providers = [LinkGraphProvider(brain.knowledge)]
    run = await brain.run("research", topic="Sihwa tide mill")
    result = run.result
    assert result["selected_agent"] == "research"
    assert result["knowledge_expanded"] is True
    assert result["expansion_info"]["pages_added"] == 1
    assert result["expansion_info"]["chunks_added"] >= 1
    assert run.of("knowledge_expanded") == [{"expansion_info": result["expansion_info"]}]
    assert SIHWA in {s["url"] for s in result["sources"]}
    for section in ("### Summary", "### Findings by source", "### What is still missing"):
        assert section in result["response"]
    findings = result["response"].split("### Findings by source")[1].split("### What is still")[0]
    lines = [line for line in findings.splitlines() if line.startswith("- ")]
    assert lines
    assert all(line.endswith("]") for line in lines)
    assert run.progress == sorted(run.progress)


async def test_when_asked_not_to_it_goes_nowhere(brain: Any) -> None:
    provider = ListProvider(SIHWA)
    brain.providers = [provider]
    result = (await brain.run("research", topic="tide mill Rance", expand_knowledge=False)).result
    assert provider.asked == []
    assert brain.crawler.jobs == []
    assert result["knowledge_expanded"] is False
    assert "expansion_info" not in result
    assert "as asked" in result["response"]
    assert result["sources"]


async def test_it_reads_what_is_new_once_and_no_more_than_asked(brain: Any) -> None:
    others = [f"https://more.example/{i}" for i in range(9)]
    brain.providers = [
        ListProvider(MILL, f"{SIHWA}#top", "javascript:alert(1)", name="one"),
        ListProvider(SIHWA, *others, name="two"),
    ]
    result = (await brain.run("research", topic="tide mills", max_sources=3)).result
    (job,) = brain.crawler.jobs
    assert job.seeds == (SIHWA, *others[:2])
    assert (job.max_depth, job.max_pages) == (0, 3)
    info = result["expansion_info"]
    assert (info["pages_added"], info["failed"]) == (1, 2)
    assert {f["reason"] for f in info["failures"]} == {"http_404"}
    assert "answered 404" in result["response"]


@pytest.mark.parametrize("error", [Unavailable("The search API answered 500."), TimeoutError()])
async def test_a_provider_that_fails_is_told_and_the_others_go_on(brain: Any, error: Any) -> None:
    brain.providers = [ListProvider(name="broken", error=error), ListProvider(SIHWA)]
    result = (await brain.run("research", topic="Sihwa tide mill")).result
    assert result["expansion_info"]["pages_added"] == 1
    assert any("“broken” could not be asked" in note for note in result["notes"])
    assert "“broken” could not be asked" in result["response"]


async def test_with_nothing_to_read_it_says_so(brain: Any) -> None:
    result = (await brain.run("research", topic="quantum chromodynamics")).result
    assert result["knowledge_expanded"] is False
    assert result["sources"] == []
    assert "holds nothing that fits this topic" in result["response"]
    assert "No new source was found to read." in result["response"]


async def test_expanding_learns_without_a_report(brain: Any) -> None:
    brain.providers = [ListProvider(SIHWA)]
    run = await brain.run("expand", topic="Sihwa tide mill", max_urls=1)
    assert run.result["knowledge_expanded"] is True
    assert run.of("sources") == []
    assert run.result["response"] == f"- Added [The tide mill of Sihwa]({SIHWA})"
    assert await brain.knowledge.find_page(SIHWA)


async def test_the_brains_own_guide_is_no_finding(brain: Any) -> None:
    result = (await brain.run("research", topic="add a website", expand_knowledge=False)).result
    assert all(s["collection"] != "system" for s in result["sources"])


async def test_a_request_to_research_is_routed_here(brain: Any) -> None:
    result = (await brain.run("multiagent", query="Research the tide mill at Rance")).result
    assert result["selected_agent"] == "research"
