"""An assignment read and checked: what the agents work from, and what they work with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve_app.agents.routing import AGENTS, urls_in
from serve_app.domain.errors import BadRequest
from serve_app.domain.ports import (
    Clock,
    Crawler,
    Embedder,
    Knowledge,
    LanguageModel,
    SearchProvider,
)
from serve_app.domain.tasks import Assignment

MAX_TEXT = 8_000  # characters of a message, query or topic
MAX_URLS = 20
MAX_SOURCES = 20
MAX_TOKENS = 2_000
ANALYSES = ("comparison", "summary", "quality")

_TEXT_FIELD = {
    "chat": "message",
    "multiagent": "query",
    "research": "topic",
    "expand": "topic",
    "analyze": "urls",
}


@dataclass(frozen=True, slots=True)
class Desk:
    """The ports an agent works with."""

    knowledge: Knowledge
    llm: LanguageModel
    embedder: Embedder
    crawler: Crawler
    providers: Sequence[SearchProvider]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt at a request, checked. Fields an agent has no use for hold their defaults."""

    assignment: Assignment
    text: str
    agent_type: str = "auto"
    use_context: bool = True
    max_tokens: int = 300
    urls: tuple[str, ...] = ()
    analysis_type: str = "auto"  # one of ANALYSES, or left to the words of the text
    expand: bool = True
    max_sources: int = 5
    report: bool = True

    @property
    def history(self) -> tuple[tuple[str, str], ...]:
        return self.assignment.history


def parse(assignment: Assignment) -> Request:
    """Raises BadRequest naming the field."""
    kind, args = assignment.kind, assignment.args
    if kind not in _TEXT_FIELD:
        raise BadRequest(f"There is no work of the kind “{kind}” here.", field="kind")
    if kind == "analyze":
        urls = _urls(args)
        return Request(
            assignment,
            text=" ".join(urls),
            agent_type="analysis",
            urls=urls,
            analysis_type=_choice(args, "analysis_type", "comparison", ANALYSES),
        )
    text = _text(args, _TEXT_FIELD[kind])
    if kind in ("research", "expand"):
        limit = "max_sources" if kind == "research" else "max_urls"
        return Request(
            assignment,
            text=text,
            agent_type="research",
            expand=kind == "expand" or _flag(args, "expand_knowledge"),
            max_sources=_number(args, limit, 5, MAX_SOURCES),
            report=kind == "research",
        )
    urls = tuple(urls_in(text)[:MAX_URLS])
    return Request(
        assignment,
        text=text,
        agent_type=_choice(args, "agent_type", "auto", ("auto", *AGENTS)),
        use_context=_flag(args, "use_context"),
        max_tokens=_number(args, "max_tokens", 300, MAX_TOKENS),
        urls=urls,
    )


def _text(args: Mapping[str, Any], field: str) -> str:
    value = args.get(field)
    if not isinstance(value, str) or not value.strip():
        raise BadRequest(f"“{field}” must be a text that is not empty.", field=field)
    if len(value) > MAX_TEXT:
        raise BadRequest(f"“{field}” may hold at most {MAX_TEXT} characters.", field=field)
    return value.strip()


def _urls(args: Mapping[str, Any]) -> tuple[str, ...]:
    value = args.get("urls")
    if not isinstance(value, list | tuple) or not all(isinstance(u, str) for u in value):
        raise BadRequest("“urls” must be a list of addresses.", field="urls")
    urls = tuple(dict.fromkeys(u.strip() for u in value if u.strip()))
    if not 1 <= len(urls) <= MAX_URLS:
        raise BadRequest(f"“urls” must name 1 to {MAX_URLS} addresses.", field="urls")
    return urls


def _flag(args: Mapping[str, Any], field: str) -> bool:
    value = args.get(field, True)
    if not isinstance(value, bool):
        raise BadRequest(f"“{field}” must be true or false.", field=field)
    return value


def _number(args: Mapping[str, Any], field: str, default: int, most: int) -> int:
    value = args.get(field, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadRequest(f"“{field}” must be a whole number from 1 to {most}.", field=field)
    return value


def _choice(args: Mapping[str, Any], field: str, default: str, allowed: Sequence[str]) -> str:
    value = args.get(field, default)
    if value not in allowed:
        raise BadRequest(f"“{field}” must be one of {', '.join(allowed)}.", field=field)
    return str(value)
