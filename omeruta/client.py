"""`Brain`: everything a client can ask of a running brain, as methods.

Asking and learning stand here; pages are in `library.py`, tasks, schedules and people in `workshop.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import httpx

from omeruta.config import find_token, find_url
from omeruta.errors import NotReachable
from omeruta.library import Library
from omeruta.models import Answer, CrawlReport, Event, Expansion, Health
from omeruta.transport import Transport
from omeruta.workshop import Workshop, outcome

AGENTS = ("auto", "research", "analysis", "qa", "general")
ANALYSES = ("comparison", "summary", "quality")

OnEvent = Callable[[Event], None]


class Brain(Library, Workshop):
    """A running brain, reached over HTTP. Use it as a context manager, or call `close()`.

    `url`: default `OMERUTA_URL`, else http://127.0.0.1:8000. `token`: default `OMERUTA_TOKEN`, else
    this machine's owner token. `timeout` is in seconds for one HTTP answer, not for a task.
    `progress` shows a bar while waiting, in a terminal or notebook. Raises ConfigError.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        progress: bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = find_url(url)
        self._progress = progress
        self._http = Transport(
            self.url, find_token(token, self.url), timeout=timeout, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Brain({self.url!r})"  # never the token: reprs end up in logs and notebooks

    def close(self) -> None:
        self._http.close()

    # asking

    def ask(
        self,
        question: str,
        agent: str = "auto",
        on_event: OnEvent | None = None,
        conversation_id: str | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Ask and wait for the answer.

        `agent` is auto, research, analysis, qa or general; `on_event` is called with each event as it
        comes; `timeout` (seconds) bounds the wait, not the work. Raises TaskFailed, StillRunning.
        """
        task_id = self.submit_question(question, agent, conversation_id)
        return self._answer(task_id, on_event, timeout)

    def ask_stream(
        self,
        question: str,
        agent: str = "auto",
        conversation_id: str | None = None,
        timeout: float | None = None,
    ) -> Iterator[Event]:
        """Ask and yield the events as they come: `sources` before any `token`, `task_completed` last.

        A task that fails ends with `task_failed` (`data["error"]` is the reason); nothing is raised for it.
        """
        return self.events(self.submit_question(question, agent, conversation_id), timeout=timeout)

    def submit_question(
        self, question: str, agent: str = "auto", conversation_id: str | None = None
    ) -> str:
        """Ask without waiting: the task's id, for `events`, `task`, `wait` or `cancel`."""
        body = _given(query=question, agent_type=agent, conversation_id=conversation_id)
        return self._http.submit("/api/agents/async/multiagent_async/", json=body)

    def research(
        self,
        topic: str,
        expand: bool = True,
        max_sources: int = 5,
        on_event: OnEvent | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """What the brain knows of a topic, as a report with sources; with `expand` it reads new ones first."""
        return self._answer(self.submit_research(topic, expand, max_sources), on_event, timeout)

    def submit_research(self, topic: str, expand: bool = True, max_sources: int = 5) -> str:
        """Research without waiting: the task's id."""
        body = {"topic": topic, "expand_knowledge": expand, "max_sources": max_sources}
        return self._http.submit("/api/agents/async/research_topic/", json=body)

    def analyze(
        self,
        urls: Sequence[str],
        type: str = "comparison",
        on_event: OnEvent | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Read 1 to 20 pages and compare, summarise or judge them: comparison, summary or quality."""
        return self._answer(self.submit_analysis(urls, type), on_event, timeout)

    def submit_analysis(
        self,
        urls: Sequence[str],
        type: str = "comparison",
    ) -> str:
        """Analyse without waiting: the task's id."""
        body = {"urls": _texts(urls), "analysis_type": type}
        return self._http.submit("/api/agents/async/analyze_content/", json=body)

    # learning

    def expand(self, topic: str, max_urls: int = 5, timeout: float | None = None) -> Expansion:
        """Find, read and index up to `max_urls` new pages on a topic."""
        body = {"topic": topic, "max_urls": max_urls}
        task_id = self._http.submit("/api/agents/async/expand_knowledge/", json=body)
        result = self._result(task_id, timeout=timeout)
        return Expansion.from_wire(result.get("expansion_info") or {})

    def crawl(  # noqa: PLR0913 - the fields of one crawl
        self,
        url: str,
        max_pages: int = 100,
        max_depth: int = 5,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        *,
        wait: bool = True,
        progress: bool = True,
        on_event: OnEvent | None = None,
    ) -> CrawlReport:
        """Read a site: links within it, at most `max_depth` clicks deep, until `max_pages` are stored.

        `include` and `exclude` are globs over whole addresses (`*/docs/*`). Without `wait` the report comes
        at once, with the task's id and no counts. Raises TaskFailed.
        """
        body = {
            "url": url,
            "max_pages": max_pages,
            "max_depth": max_depth,
            "include": _texts(include),
            "exclude": _texts(exclude),
        }
        task_id = self._http.submit("/api/crawls/", json=body)
        if not wait:
            return CrawlReport(task_id, url, "processing")
        self._result(task_id, on_event, progress=progress)
        return self.crawl_report(task_id, url)

    def crawl_report(self, task_id: str, url: str = "") -> CrawlReport:
        """The counts of a crawl, running or done."""
        task = self.task(task_id)
        result = task.result or {}
        return CrawlReport.from_wire(
            {**task.counts, "reasons": result.get("reasons")},
            task_id=task_id,
            url=url,
            status=task.status,
            failures=tuple(result.get("failed") or ()),
        )

    # the brain itself

    def health(self) -> Health:
        """Whether the brain answers and is ready. Never raises for a brain that is away."""
        try:
            status, body = self._http.probe("/readyz")
        except NotReachable:
            return Health(alive=False, ready=False)
        details = body if isinstance(body, Mapping) else {}
        return Health(alive=status in (200, 503), ready=status == 200, details=details)

    def stats(self) -> Mapping[str, Any]:
        """Counts, bytes, index, queues and models, as the brain reports them."""
        stats: Mapping[str, Any] = self._http.get("/api/stats/")
        return stats

    def _answer(self, task_id: str, on_event: OnEvent | None, timeout: float | None) -> Answer:
        return Answer.from_result(self._result(task_id, on_event, timeout=timeout), task_id)

    def _result(
        self,
        task_id: str,
        on_event: OnEvent | None = None,
        *,
        progress: bool = True,
        timeout: float | None = None,
    ) -> Mapping[str, Any]:
        return outcome(self._watch(task_id, on_event, progress=progress, timeout=timeout))


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _texts(texts: Sequence[str]) -> list[str]:
    # One string is a sequence of its letters, which nobody means.
    return [texts] if isinstance(texts, str) else list(texts)
