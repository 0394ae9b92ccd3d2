"""A question is answered with quotes first; the model adds what they support, or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serve_app.agents.qa import carried_words, refusal
from serve_app.domain.errors import BadRequest, ModelError, Overloaded, Unavailable, WorkerLost
from serve_app.domain.knowledge import SYSTEM, SearchQuery, SearchResult

QUESTION = "When did the tide mill at Rance open?"
QUOTE = "The tide mill at Rance opened in 1966 after five years of construction."


class AwayKnowledge:
    async def search(self, query: SearchQuery) -> SearchResult:
        raise WorkerLost("The knowledge base is restarting.")


async def test_quotes_come_before_any_text_of_the_model(brain: Any, scripted: Any) -> None:
    brain.llm = scripted("The tide mill opened in 1966. It was built by Myselisk.")
    run = await brain.run("chat", message=QUESTION)
    kinds = [e.type for e in run.events if e.type in ("sources", "token")]
    assert kinds[:2] == ["sources", "token"]
    assert run.of("token")[0]["text"].startswith(f"> {QUOTE} [1]")
    assert run.of("sources")[0]["sources"][0]["quote"] == QUOTE
    assert run.result["response"].endswith("\n\nThe tide mill opened in 1966. [1]")
    assert run.result["model_used"] == "scripted"
    assert run.result["model_sentences"] == {"released": 1, "dropped": {"name": 1}}
    assert brain.llm.closed == 1


async def test_progress_and_words_of_a_chat(brain: Any) -> None:
    run = await brain.run("chat", message=QUESTION)
    assert run.progress == [0, 25, 40, 60, 75, 100]
    messages = [e["message"] for e in run.of("task_update")]
    found = len(run.result["sources"])
    assert messages[0] == "Starting the agent"
    assert messages[1] == "Searching the knowledge base"
    assert messages[2].startswith(f"Found {found} source")


async def test_a_model_that_supports_nothing_leaves_the_quotes(brain: Any, scripted: Any) -> None:
    brain.llm = scripted("The company car is red. It was sold in 1999.")
    result = (await brain.run("chat", message=QUESTION)).result
    assert result["model_used"] == "none"
    assert result["response"].startswith(f"> {QUOTE} [1]")
    assert "company" not in result["response"]
    assert sum(result["model_sentences"]["dropped"].values()) == 2


@pytest.mark.parametrize(
    "error", [Overloaded("Full."), Unavailable("Away."), ModelError("Bad."), BadRequest("Long.")]
)
async def test_without_the_model_the_quotes_are_the_answer(
    brain: Any, scripted: Any, error: Exception
) -> None:
    brain.llm = scripted("", error)
    result = (await brain.run("chat", message=QUESTION)).result
    assert f"> {QUOTE} [1]" in result["response"]
    assert result["response"].endswith("the sources' own words.*")
    assert result["context_used"] is True


async def test_a_sentence_cut_off_by_length_is_not_released(brain: Any, scripted: Any) -> None:
    brain.llm = scripted("The tide mill opened in 1966", finish="length")
    result = (await brain.run("chat", message=QUESTION)).result
    assert result["model_sentences"] == {"released": 0, "dropped": {"unfinished": 1}}


async def test_a_chatty_model_is_stopped(brain: Any, scripted: Any) -> None:
    brain.llm = scripted("The tide mill opened in 1966. " * 50)
    result = (await brain.run("chat", message=QUESTION)).result
    assert result["model_sentences"]["released"] == 3
    assert brain.llm.closed == 1


async def test_what_is_not_held_is_said_plainly_and_the_model_is_not_asked(brain: Any) -> None:
    run = await brain.run("chat", message="Who won the chess championship in Reykjavik?")
    result = run.result
    assert result["response"].startswith("The sources in the knowledge base do not answer this.")
    assert "https://" in result["response"]  # the nearest pages
    assert (result["context_used"], result["context_sources"], result["sources"]) == (False, 0, [])
    assert run.of("sources") == [{"sources": []}]
    assert result["confidence_score"] < 0.5
    assert brain.llm.asked == []


def test_an_empty_knowledge_base_says_so() -> None:
    assert refusal(SearchResult(())).startswith("The knowledge base holds nothing on this.")


async def test_how_to_use_the_brain_is_answered_from_its_guide(brain: Any) -> None:
    result = (await brain.run("chat", message="How do I add a website?")).result
    assert result["sources"][0]["collection"] == SYSTEM
    assert "`omeruta crawl`" in result["sources"][0]["quote"]


async def test_only_the_quotes_reach_the_model(brain: Any, scripted: Any) -> None:
    brain.llm = scripted("No.")
    run = await brain.run("chat", message=QUESTION, max_tokens=2000)
    (asked,) = brain.llm.asked
    prompt = asked.messages[-1].content
    assert asked.max_tokens <= 100
    assert all(source["quote"] in prompt for source in run.result["sources"])
    assert "divers" not in prompt


async def test_a_lost_knowledge_base_is_the_ledgers_to_retry(brain: Any) -> None:
    brain.over = AwayKnowledge()
    with pytest.raises(WorkerLost):
        await brain.run("chat", message=QUESTION)


async def test_a_follow_up_is_searched_with_the_last_question(brain: Any) -> None:
    history = (("user", QUESTION), ("assistant", "In 1966."))
    asked = (await brain.run("chat", history=history, message="How much did it cost?")).result
    assert "620 million francs" in asked["sources"][0]["quote"]


@pytest.mark.parametrize(
    ("message", "leans"),
    [
        ("What did it cost?", True),
        ("And Horns?", True),
        ("Why?", True),
        ("What is HNSW?", False),
        ("Where is the wind park of Horns?", False),
        ("Does the wind park of Horns feed its power into Danish grids by cable?", False),
    ],
)
def test_what_leans_on_the_last_question(message: str, leans: bool) -> None:
    history = [("user", QUESTION), ("assistant", "In 1966.")]
    assert carried_words(message, history) == ("tide mill rance open" if leans else "")
    assert carried_words(message, []) == ""


async def test_a_degraded_search_is_told(brain: Any) -> None:
    class Degraded:
        async def search(self, query: SearchQuery) -> SearchResult:
            found = await brain.knowledge.search(replace(query, mode="lexical"))
            return replace(found, degraded="Searched by words alone.")

    brain.over = Degraded()
    result = (await brain.run("chat", message=QUESTION)).result
    assert result["notes"] == ["Searched by words alone."]
    assert result["sources"][0]["quote"] == QUOTE
