"""Requests go to the agent a person would send them to, with the embedder and without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from serve_app.agents.routing import (
    AGENTS,
    EXAMPLES,
    Router,
    by_nearness,
    by_rules,
    subject,
    urls_in,
)
from serve_app.domain.errors import Unavailable
from serve_app.domain.language import EmbedderInfo
from serve_app.domain.ports import Vectors

LABELLED = [
    ("general", "hi"),
    ("general", "Hello there!"),
    ("general", "Good morning"),
    ("general", "hey brain"),
    ("general", "Thanks a lot!"),
    ("general", "thank you, that was very helpful"),
    ("general", "ok, thanks"),
    ("general", "bye, see you tomorrow"),
    ("general", "Great, thank you for the quick answer."),
    ("general", "Who are you?"),
    ("general", "Hello, what can you do?"),
    ("general", "How are you today?"),
    ("general", "are you a robot?"),
    ("general", "help"),
    ("general", "17 + 25"),
    ("general", "What is 12 * (3 + 4)?"),
    ("general", "Tell me a joke"),
    ("general", "Could you write a short poem about rain?"),
    ("general", "Translate 'good evening' into Spanish"),
    ("general", "what's the weather like today?"),
    ("qa", "Who led the Panthers in sacks?"),
    ("qa", "How many employees does the company have?"),
    ("qa", "Thanks! And when was it founded?"),
    ("qa", "Hi, what is the capital of Styria?"),
    ("qa", "How do I add a website?"),
    ("qa", "What can you tell me about the Normans?"),
    ("qa", "What is the difference between TCP and UDP?"),
    ("qa", "Explain how photosynthesis works"),
    ("qa", "In which year did the bridge open?"),
    ("qa", "Is the museum open on Mondays?"),
    ("qa", "Can I export my pages?"),
    ("qa", "tell me about the Treaty of Versailles"),
    ("qa", "List the members of the committee"),
    ("qa", "Define entropy."),
    ("qa", "the population of Graz in 2020?"),
    ("qa", "Where are tokens stored and who can see them?"),
    ("qa", "Why did the project fail?"),
    ("qa", "Does the crawler obey robots.txt?"),
    ("qa", "Which compiler do I need?"),
    ("qa", "capital of Norway"),
    ("research", "Research the history of tidal power"),
    ("research", "Please research solid-state batteries"),
    ("research", "Do some research on bee decline"),
    ("research", "Can you find out more about the Antikythera mechanism?"),
    ("research", "Investigate the causes of the outage"),
    ("research", "Look into sodium ion cells for me"),
    ("research", "Learn about Ray Serve"),
    ("research", "Gather sources on glacier retreat"),
    ("research", "Find me new papers on graph coloring"),
    ("research", "I need a detailed report on urban heat"),
    ("research", "Search the web for wind turbine recycling"),
    ("research", "deep dive into the Hanseatic League"),
    ("analysis", "Compare https://a.example/x and https://b.example/y"),
    ("analysis", "Summarise https://a.example/long-article please"),
    ("analysis", "https://a.example/post what does this say?"),
    ("analysis", "compare the two release notes"),
    ("analysis", "Could you summarize the annual report?"),
    ("analysis", "Give me a short summary of the guide"),
    ("analysis", "How reliable is this article?"),
    ("analysis", "What are the main differences between the two articles?"),
    ("analysis", "Review these documents and assess their quality"),
    ("analysis", "tl;dr of the changelog"),
]


class AwayEmbedder:
    async def info(self) -> EmbedderInfo:
        raise Unavailable("The embedder is away.")

    async def embed(self, texts: Sequence[str], *, bulk: bool = False) -> Vectors:
        raise Unavailable("The embedder is away.")


class AxisEmbedder:
    """One axis for each agent; a text lies on the axis of the agent whose name it holds, else nowhere."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    async def info(self) -> EmbedderInfo:
        return EmbedderInfo("axis", len(AGENTS), "fake", "float32")

    async def embed(self, texts: Sequence[str], *, bulk: bool = False) -> Vectors:
        self.calls.append(len(texts))
        agent_of = {s: a for a, examples in EXAMPLES.items() for s in examples}
        rows = np.zeros((len(texts), len(AGENTS)), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for axis, agent in enumerate(AGENTS):
                row[axis] = float(agent_of.get(text) == agent or agent in text)
        return rows


async def test_labelled_requests_reach_their_agent_without_an_embedder() -> None:
    router = Router(AwayEmbedder())
    wrong = [
        (agent, text, route.agent)
        for agent, text in LABELLED
        if (route := await router.route(text)).agent != agent
    ]
    assert len(LABELLED) >= 60
    assert len(wrong) <= 0.05 * len(LABELLED), wrong


async def test_scores_are_shares_and_reasons_are_words() -> None:
    router = Router(AwayEmbedder())
    for _, text in LABELLED:
        route = await router.route(text)
        assert route.agent in AGENTS
        assert 0 < route.score <= 1
        assert " " in route.reason


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_forced_agent_is_taken_as_it_is(agent: str) -> None:
    route = await Router(AwayEmbedder()).route("Hello!", agent)
    assert (route.agent, route.score) == (agent, 1.0)


async def test_what_no_rule_knows_goes_to_the_nearest_examples() -> None:
    embedder = AxisEmbedder()
    router = Router(embedder)
    for agent in AGENTS:
        text = f"something in the manner of {agent} perhaps"
        assert by_rules(text) is None
        assert (await router.route(text)).agent == agent
    examples = sum(len(e) for e in EXAMPLES.values())
    assert embedder.calls == [examples, 1, 1, 1, 1]  # the examples are embedded once


async def test_what_is_near_to_nothing_is_looked_up() -> None:
    route = await Router(AxisEmbedder()).route("xyzzy plugh")
    assert route.agent == "qa"


async def test_rules_need_no_embedding() -> None:
    embedder = AxisEmbedder()
    await Router(embedder).route("Who wrote it?")
    assert embedder.calls == []


def test_nearness_grows_with_the_lead() -> None:
    n = sum(len(e) for e in EXAMPLES.values())
    examples = np.zeros((n, 2), dtype=np.float32)
    examples[0] = (1, 0)  # the first research example
    clear = by_nearness(np.array([1, 0], dtype=np.float32), examples)
    examples[len(EXAMPLES["research"])] = (0.9, 0.43589)
    close = by_nearness(np.array([1, 0], dtype=np.float32), examples)
    assert clear.agent == close.agent == "research"
    assert clear.score > close.score


def test_long_input_is_read_in_bounded_time() -> None:
    for text in ("thanks " * 1000, "1+" * 4000, "hi, " * 2000, "who are you " * 600):
        by_rules(text)


def test_addresses_are_found_once_and_without_the_sentence_around_them() -> None:
    text = "Compare (https://a.example/x), https://b.example/y?q=1. And https://a.example/x!"
    assert urls_in(text) == ["https://a.example/x", "https://b.example/y?q=1"]


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("Please research the tides of Fundy.", "the tides of Fundy"),
        ("Summarise the history of Warsaw", "the history of Warsaw"),
        ("Compare", "Compare"),
        ("Who wrote it?", "Who wrote it?"),
        ("https://a.example/x and more", "https://a.example/x and more"),
    ],
)
def test_the_subject_of_a_request(text: str, about: str) -> None:
    assert subject(text) == about
