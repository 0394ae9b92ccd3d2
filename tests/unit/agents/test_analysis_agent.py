"""Pages are read where they are missing and analysed in their own words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from serve_app.agents.orchestrator import Orchestrator
from serve_app.domain.errors import FetchError
from serve_app.domain.tasks import Assignment
from serve_app.domain.web import CrawlCounts, CrawlFailure, CrawlJob, CrawlUpdate
from serve_app.inference.embed_hash import HashEmbedder

MILL, WIND, SIHWA = (
    "https://tides.example/rance",
    "https://wind.example/park",
    "https://tides.example/sihwa",
)
GONE = "https://tides.example/gone"


async def test_a_comparison_sets_side_by_side_what_both_pages_speak_of(brain: Any) -> None:
    run = await brain.run("analyze", urls=[MILL, WIND])
    result = run.result
    assert result["selected_agent"] == "analysis"
    assert result["confidence_score"] == 1.0
    assert brain.crawler.jobs == []  # both are held
    aspects = [part for part in result["response"].split("### ") if part]
    assert aspects
    for aspect in aspects:
        assert "**The tide mill of Rance**: " in aspect
        assert "**The wind park of Horns**: " in aspect
    cited = [line for line in result["response"].splitlines() if line.startswith("- ")]
    assert len(cited) == len(result["sources"])
    assert all(line.endswith(f"[{n}]") for n, line in enumerate(cited, 1))


async def test_what_is_missing_is_read_first_and_counted(brain: Any) -> None:
    run = await brain.run("analyze", urls=[MILL, SIHWA], analysis_type="summary")
    (job,) = brain.crawler.jobs
    assert (job.crawl_id, job.seeds, job.max_depth) == ("task-1/read", (SIHWA,), 0)
    counts = [e["counts"] for e in run.of("task_update") if "counts" in e]
    assert counts[0] == {"pages": 2, "read": 1, "failed": 0}
    assert counts[-1] == {"pages": 2, "read": 2, "failed": 0}
    assert {s["url"] for s in run.result["sources"]} == {MILL, SIHWA}
    assert "254 megawatts" in run.result["response"]
    assert run.progress == sorted(run.progress)
    assert run.progress[-1] == 100


async def test_a_page_that_cannot_be_read_is_named_and_the_rest_goes_on(brain: Any) -> None:
    run = await brain.run(
        "analyze", urls=[MILL, GONE, "ftp://x.example/a"], analysis_type="summary"
    )
    assert "### Could not be read" in run.result["response"]
    assert "answered 404" in run.result["response"]
    assert run.result["failures"] == [
        {"url": GONE, "reason": "http_404"},
        {"url": "ftp://x.example/a", "reason": "unread"},
    ]
    assert run.result["confidence_score"] == pytest.approx(1 / 3, abs=0.001)


async def test_it_fails_only_when_nothing_can_be_read(brain: Any) -> None:
    with pytest.raises(FetchError, match="None of the pages could be read") as caught:
        await brain.run("analyze", urls=[GONE])
    assert caught.value.reason == "none_readable"


async def test_quality_is_what_the_knowledge_base_says(brain: Any) -> None:
    result = (await brain.run("analyze", urls=[MILL, WIND], analysis_type="quality")).result
    assessment = result["quality_assessment"]
    assert [p["url"] for p in assessment["pages"]] == [MILL, WIND]
    assert all(0 <= p["score"] <= 1 and p["parts"] for p in assessment["pages"])
    assert 0 <= assessment["score"] <= 1
    assert f"Score {assessment['pages'][0]['score']:.2f}" in result["response"]


async def test_addresses_in_a_message_are_analysed(brain: Any) -> None:
    result = (await brain.run("multiagent", query=f"Summarise {MILL} please")).result
    assert result["selected_agent"] == "analysis"
    assert {s["url"] for s in result["sources"]} == {MILL}


@pytest.mark.parametrize(
    ("query", "shows"),
    [
        (f"Compare {MILL} with {WIND}", "**The wind park of Horns**: "),
        (
            "Compare the construction costs of tide mill and wind park",
            "**The wind park of Horns**: ",
        ),
        (f"How reliable is the page {MILL}", "Score "),
        (f"Summarise {MILL}", "### [The tide mill of Rance]"),
    ],
)
async def test_the_words_of_a_message_say_which_analysis(
    brain: Any, query: str, shows: str
) -> None:
    result = (await brain.run("multiagent", query=query, agent_type="analysis")).result
    assert shows in result["response"]


async def test_nothing_held_and_nothing_named_is_said(brain: Any) -> None:
    result = (await brain.run("multiagent", query="Summarise quantum chromodynamics")).result
    assert result["response"].startswith("No address was named")
    assert result["confidence_score"] == 0


async def test_without_an_address_the_pages_held_on_it_are_taken(brain: Any) -> None:
    result = (await brain.run("multiagent", query="Summarise the tide mill of Rance")).result
    assert result["selected_agent"] == "analysis"
    assert MILL in {s["url"] for s in result["sources"]}
    assert brain.crawler.jobs == []


class EndlessCrawler:
    """Goes on telling that nothing has come yet."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.closed = False

    async def crawl(self, job: CrawlJob) -> AsyncIterator[CrawlUpdate]:
        try:
            while True:
                await self._clock.advance(60)
                failure = CrawlFailure(GONE, "timeout", f"{GONE} did not answer in time.")
                yield CrawlUpdate(CrawlCounts(found=2, failed=1), failures=(failure,))
        finally:
            self.closed = True


async def test_at_the_soft_deadline_it_tells_what_it_has(brain: Any) -> None:
    crawler = EndlessCrawler(brain.clock)
    worker = Orchestrator(brain.knowledge, brain.llm, HashEmbedder(), crawler, [], brain.clock)
    task = Assignment(
        "t", 1, "analyze", {"urls": [MILL, SIHWA]}, "u",
        soft_deadline=brain.clock.now() + timedelta(seconds=300),
    )  # fmt: skip
    events = [event async for batch in worker.run(task) for event in batch]
    assert crawler.closed
    assert events[-1].type == "result"
    assert {s["url"] for s in events[-1].data["sources"]} == {MILL}
