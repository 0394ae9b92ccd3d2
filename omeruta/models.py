"""What the SDK answers with: frozen values, read from the brain's JSON.

Field names are the wire's own, but for `Answer`. Fields that a newer brain adds are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from omeruta.errors import ServerError
from omeruta.render import answer_html, answer_markdown, answer_text


@dataclass(frozen=True, slots=True)
class _Wire:
    @classmethod
    def from_wire(cls, wire: object, **given: object) -> Self:
        """Read JSON; `given` overrides. Raises ServerError when a needed field is missing."""
        body: Mapping[str, Any] = wire if isinstance(wire, Mapping) else {}
        values = {
            known.name: _value(str(known.type), body[known.name])
            for known in fields(cls)
            if body.get(known.name) is not None
        }
        try:
            return cls(**{**values, **given})
        except TypeError as error:
            raise ServerError(f"The brain's {cls.__name__} is not complete: {error}.") from error


def _value(annotation: str, value: Any) -> Any:
    if annotation.startswith("datetime") and isinstance(value, str):
        return datetime.fromisoformat(value)
    if annotation.startswith("tuple") and isinstance(value, list):
        return tuple(value)
    return value


@dataclass(frozen=True, slots=True)
class Source(_Wire):
    """A quoted source of an answer; `n` is its number in the text.

    `quote` is the markdown of page `page_id` from `start` to `end`, character by character.
    """

    n: int
    title: str = ""
    url: str = ""
    quote: str = ""
    score: float = 0.0
    page_id: int | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Expansion(_Wire):
    """What going out to learn brought, in counts, and why addresses could not be read (`url`, `reason`, …)."""

    urls_crawled: int = 0
    pages_added: int = 0
    chunks_added: int = 0
    failed: int = 0
    failures: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its sources. Printed it is text; in a notebook it is shown with its quotes.

    `text` is markdown, `html` the same as safe HTML. `confidence` is 0..1, `seconds` the time the brain
    took. `notes` say what limited the answer: a search leg that was away, a provider that failed.
    """

    text: str
    html: str
    sources: tuple[Source, ...]
    agent: str
    confidence: float | None
    model: str
    seconds: float
    conversation_id: str | None
    task_id: str
    expansion: Expansion | None = None
    quality: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_result(cls, result: Mapping[str, Any], task_id: str) -> Answer:
        """Read a result object of the brain."""
        text = str(result.get("response") or "")
        expanded = result.get("expansion_info")
        return cls(
            text=text,
            html=str(result.get("response_html") or answer_html(text)),
            sources=tuple(Source.from_wire(source) for source in result.get("sources") or ()),
            agent=str(result.get("selected_agent") or ""),
            confidence=result.get("confidence_score"),
            model=str(result.get("model_used") or ""),
            seconds=float(result.get("processing_time") or 0.0),
            conversation_id=result.get("conversation_id"),
            task_id=str(result.get("task_id") or task_id),
            expansion=Expansion.from_wire(expanded) if expanded else None,
            quality=result.get("quality_assessment"),
            notes=tuple(result.get("notes") or ()),
        )

    def __str__(self) -> str:
        return answer_text(self.text, self.sources)

    def _repr_markdown_(self) -> str:
        return answer_markdown(self.text, self.sources)

    def _repr_html_(self) -> str:
        return answer_html(self.text, self.sources, self.html)


@dataclass(frozen=True, slots=True)
class Event(_Wire):
    """Something that happened in a task. `seq` counts 1, 2, 3 … within it; `data` is what the type carries.

    A higher `attempt` than before means that the text of the answer starts again.
    """

    type: str
    task_id: str
    seq: int = 0
    attempt: int = 0
    conversation_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_last(self) -> bool:
        return self.type in ("task_completed", "task_failed", "task_cancelled")

    @property
    def text(self) -> str:
        """The piece of the answer that a `token` event brings."""
        return str(self.data.get("text") or "")

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that a `sources` event brings."""
        return tuple(Source.from_wire(source) for source in self.data.get("sources") or ())


@dataclass(frozen=True, slots=True)
class Task(_Wire):
    """A task's status. `status`: queued, processing, completed, failed or cancelled; `progress`: 0..100."""

    task_id: str
    status: str
    progress: int = 0
    message: str = ""
    detail: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    attempt: int = 0
    queue: str = ""
    kind: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    position: int | None = None
    conversation_id: str | None = None
    result: Mapping[str, Any] | None = None
    expired: bool = False
    error: str | None = None
    error_code: str | None = None
    last_seq: int = 0

    @property
    def is_final(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class CrawlReport(_Wire):
    """A crawl in true counts.

    `reasons` counts the failures by short name (`robots`, `timeout`, …); `failures` are the first
    hundred of them (`url`, `reason`, `message`).
    """

    task_id: str
    url: str
    status: str
    found: int = 0
    fetched: int = 0
    stored: int = 0
    embedded: int = 0
    failed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        why = ", ".join(f"{name} {count}" for name, count in self.reasons.items())
        return (
            f"{self.url}: {self.stored} pages stored of {self.found} addresses found, "
            f"{self.failed} failed{f' ({why})' if why else ''}."
        )


@dataclass(frozen=True, slots=True)
class Added(_Wire):
    """What became of added pages: the ids of those stored, and why others were not (`url`, `reason`, …)."""

    task_id: str
    status: str
    page_ids: tuple[int, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Imported(_Wire):
    """An import: how many pages were handed in, and the tasks that take them in."""

    task_id: str
    pages: int = 0
    task_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit(_Wire):
    """A passage found: `text` is the page's markdown from `start` to `end`. `score` ranks within one search only."""

    page_id: int
    chunk_id: int
    title: str = ""
    url: str = ""
    text: str = ""
    start: int = 0
    end: int = 0
    score: float = 0.0
    heading: str = ""
    explain: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Page(_Wire):
    """A page as the brain holds it. `clean_markdown` is empty in listings."""

    id: int
    url: str
    title: str = ""
    clean_markdown: str = ""
    language: str | None = None
    status: str = ""
    content_hash: str = ""
    fetched_at: datetime | None = None
    published_at: datetime | None = None
    etag: str | None = None
    quality: Mapping[str, Any] | None = None
    freshness: Mapping[str, Any] | None = None
    is_processed_for_embeddings: bool = False
    chunks: int = 0
    site: str = ""
    words: int = 0


@dataclass(frozen=True, slots=True)
class Message(_Wire):
    role: str
    text: str
    at: datetime | None = None
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation(_Wire):
    """A conversation; `messages` are empty in listings."""

    id: str
    title: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    message_count: int = 0
    messages: tuple[Message, ...] = ()

    @classmethod
    def from_wire(cls, wire: object, **given: object) -> Self:
        messages = wire.get("messages") if isinstance(wire, Mapping) else None
        turns = tuple(Message.from_wire(turn) for turn in messages or ())
        # A class with slots is made anew, so super() without arguments would miss it.
        return super(Conversation, cls).from_wire(wire, messages=turns, **given)


@dataclass(frozen=True, slots=True)
class Schedule(_Wire):
    """Periodic work; `cron` has five fields and is read in UTC."""

    name: str
    cron: str = ""
    description: str = ""
    enabled: bool = True
    last_fired_at: datetime | None = None
    next_fire_at: datetime | None = None
    last_task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Token(_Wire):
    """A token as listed. `token`, its text, is there once: when it has just been created."""

    id: str
    name: str = ""
    user_id: str = ""
    created_at: datetime | None = None
    last_used_at: datetime | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`alive`: something answers. `ready`: it can answer questions. `details`: what it says of its parts."""

    alive: bool
    ready: bool
    details: Mapping[str, Any] = field(default_factory=dict)
