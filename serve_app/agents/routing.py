"""Which agent takes a request: rules first, then nearness to example sentences. No language model.

The rules are a table of patterns; the first that fits decides. What no rule knows goes to the agent
whose examples are nearest by cosine, and, with the embedder away, to qa: it says plainly when it
does not know, so it is the safest place for a request that nobody understood.
"""

from __future__ import annotations

import logging
import re
from asyncio import timeout
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serve_app.agents.smalltalk import reply_to
from serve_app.domain.errors import BrainError
from serve_app.domain.ports import Embedder, Vectors

log = logging.getLogger(__name__)

AGENTS = ("research", "analysis", "qa", "general")
EMBED_TIMEOUT = 2.0  # seconds; a cold embedder must not hold up an answer
NEAR = 0.35  # cosine under which two sentences have nothing to do with each other
URL = re.compile(r"https?://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]}]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Route:
    """The agent chosen, how sure (0..1), and why in words."""

    agent: str
    score: float
    reason: str


# Prototype sentences, not test data: each agent's kind of request in a few wordings.
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "research": (
        "Research the history of this topic and write a report.",
        "Find out everything you can about this on the web.",
        "Go and gather new sources about a subject.",
        "Learn about this topic from the internet.",
        "Investigate what is known and what is missing.",
        "I need an overview report with many sources.",
    ),
    "analysis": (
        "Compare these two pages with each other.",
        "Summarise this article for me.",
        "Give me the key points of the document.",
        "How good is the quality of this page?",
        "List similarities and differences between the texts.",
        "Review these articles and contrast their claims.",
    ),
    "qa": (
        "What is the capital of the country?",
        "Who invented this and when?",
        "How do I configure the setting?",
        "Why does this happen?",
        "Tell me the number of people who live there.",
        "Explain how the mechanism works.",
        "How do I add a website to the brain?",
    ),
    "general": (
        "Hello, how are you today?",
        "Thank you very much, that was kind.",
        "Tell me a joke.",
        "Write a short poem about the sea.",
        "Who are you and what can you do?",
        "I feel a bit tired this morning.",
        "Translate this sentence into French.",
        "What is twelve times eight?",
    ),
}


_POLITE = (
    r"^\W*(?:(?:hey|hi|hello|ok|okay|so|now|please|kindly|thanks)\b\W*)*"
    r"(?:(?:can|could|would|will) you |i(?:'d| would) like you to |i (?:want|need) you to |let'?s )?"
    r"(?:please )?"
)


def _opens(*phrases: str) -> re.Pattern[str]:
    """Messages that open with one of the phrases, said politely or not."""
    return re.compile(rf"{_POLITE}(?:{'|'.join(phrases)})\b", re.IGNORECASE)


_SOME = r"(?:\w+ ){0,2}"  # adjectives
_MATTER = r"(?:sources|information|material|papers|articles|literature)"
_TEXTS = r"(?:page|article|source|site|text|document|content|post)s?"

# (agent, score, pattern, why). In order: the first that fits decides.
RULES: tuple[tuple[str, float, re.Pattern[str], str], ...] = (
    (
        "general",
        0.95,
        _opens(
            rf"tell (?:me|us) (?:a|another|some) {_SOME}(?:joke|story|riddle)s?",
            rf"(?:write|compose|make up|invent) (?:me |us )?(?:a|an|some) {_SOME}"
            r"(?:poem|haiku|story|song|limerick|letter|e-?mail|tweet|toast|slogan)s?",
            r"sing|translate|rephrase|proofread|pretend|role-?play",
            r"say (?:hello|hi|something)|chat with me|talk to me",
        ),
        "talk or writing, which needs no source",
    ),
    ("analysis", 0.95, URL, "it names pages to read"),
    (
        "research",
        0.95,
        _opens(
            rf"(?:do )?{_SOME}research|investigate|look into|dig into|(?:do )?(?:a )?deep[- ]dive",
            r"find out (?:more|everything|all|what you can|as much as)|read up on|study up",
            r"(?:learn|go (?:and )?(?:learn|read)) (?:more |everything |all )?(?:about|on)",
            rf"(?:gather|collect|find)(?: me)? {_SOME}{_MATTER}",
            r"search the (?:web|internet|net)|expand (?:your|the) knowledge",
            rf"(?:write|prepare|make|produce|give me|i need)(?: me)? an? {_SOME}"
            r"(?:report|dossier|briefing|literature review)",
        ),
        "it asks to find and read sources",
    ),
    (
        "analysis",
        0.9,
        _opens(
            r"compare|contrast|summari[sz]e|sum up|analy[sz]e|assess|evaluate|review|rate|tl;?dr",
            rf"give (?:me )?(?:an? |the )?{_SOME}(?:summary|comparison|key points|gist)",
            r"(?:list|show|what are) the (?:main |key )?(?:similarities|differences|(?:key )?points)",
            rf"how (?:good|reliable|trustworthy) (?:is|are) (?:this|that|these|those|the) {_SOME}{_TEXTS}",
        ),
        "it asks to compare, sum up or judge texts",
    ),
    (
        "qa",
        0.85,
        _opens(
            r"(?:\w+ )?(?:who|whom|whose|what|when|where|which|why|how)",
            r"is|are|was|were|does|do|did|has|have|had|can|could|should|would|will|may",
            r"explain|define|describe|name|list|show|(?:tell|give) (?:me|us)|according to",
        ),
        "a question",
    ),
)
_QUESTION_MARK = re.compile(r"\?\s*$")


class Router:
    """Routes requests. The examples are embedded once, at the first request that no rule decides."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._examples: Vectors | None = None

    async def route(self, text: str, agent_type: str = "auto") -> Route:
        """Choose an agent. A forced `agent_type` is taken as it is. Never fails for want of an embedder."""
        if agent_type != "auto":
            return Route(agent_type, 1.0, "the agent asked for")
        decided = by_rules(text)
        if decided is not None:
            return decided
        try:
            async with timeout(EMBED_TIMEOUT):
                vector, examples = await self._vectors(text)
        except (BrainError, TimeoutError) as error:
            log.warning("routing without the embedder: %s", error)
            return Route("qa", 0.5, "no rule fits and the embedder is away: treated as a question")
        return by_nearness(vector, examples)

    async def _vectors(self, text: str) -> tuple[Vectors, Vectors]:
        if self._examples is None:
            sentences = [s for agent in AGENTS for s in EXAMPLES[agent]]
            self._examples = await self._embedder.embed(sentences)
        return (await self._embedder.embed([text]))[0], self._examples


def by_rules(text: str) -> Route | None:
    """The first rule that fits, or None. Pure."""
    if reply_to(text) is not None:
        return Route("general", 0.97, "small talk, or about the brain itself")
    for agent, score, pattern, reason in RULES:
        if pattern.search(text):
            return Route(agent, score, reason)
    if _QUESTION_MARK.search(text):
        return Route("qa", 0.75, "it ends with a question mark")
    return None


def by_nearness(vector: Vectors, examples: Vectors) -> Route:
    """The agent with the nearest example. Score: the mean of its cosine and its lead, cut to 0..1.

    `vector` (dim,), `examples` (n, dim) in the order of AGENTS and EXAMPLES, rows of length 1. Pure.
    """
    cosines = examples @ vector
    best: dict[str, float] = {}
    nearest: dict[str, str] = {}
    at = 0
    for agent in AGENTS:
        own = cosines[at : at + len(EXAMPLES[agent])]
        best[agent] = float(np.max(own))
        nearest[agent] = EXAMPLES[agent][int(np.argmax(own))]
        at += len(own)
    first, second = sorted(AGENTS, key=lambda a: -best[a])[:2]
    if best[first] < NEAR:
        return Route("qa", 0.5, "near to no example: looked up like a question")
    lead = best[first] - best[second]
    score = min(1.0, max(0.0, 0.5 * best[first] + min(0.5, 2 * lead)))
    return Route(first, round(score, 3), f"nearest to “{nearest[first]}”")


def subject(text: str) -> str:
    """What a request to research or analyse is about: the text without its opening. Pure.

    “Please research the tides of Fundy” -> “the tides of Fundy”; other texts stay as they are.
    """
    for agent, _, pattern, _ in RULES:
        opening = pattern.match(text) if agent in ("research", "analysis") else None
        if opening is not None and pattern is not URL:
            return text[opening.end() :].strip(" \t\n:,.;?!-") or text
    return text


def urls_in(text: str) -> Sequence[str]:
    """Addresses named in a message, each once, in order."""
    return list(dict.fromkeys(URL.findall(text)))
