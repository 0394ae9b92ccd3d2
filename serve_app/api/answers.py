"""Wire models of what the brain answers, for the reference (`/openapi.json`) only: nothing is validated on the way out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class Error(BaseModel):
    """Every error body."""

    error: str
    code: str
    field: str | None = None


class Accepted(BaseModel):
    """A task was taken on. It is on disk."""

    task_id: str
    status: Literal["processing"]
    message: str
    check_status_url: str
    conversation_id: str | None


class Source(BaseModel):
    n: int
    title: str
    url: str
    quote: str
    score: float


class Result(BaseModel):
    """An answer (contract: a result)."""

    response: str
    response_html: str
    model_used: str
    selected_agent: str
    context_used: bool
    context_sources: int
    sources: list[Source]
    confidence_score: float
    processing_time: float
    task_id: str
    user_id: str
    conversation_id: str | None
    processed_async: bool
    knowledge_expanded: bool | None = None
    expansion_info: dict[str, Any] | None = None
    quality_assessment: dict[str, Any] | None = None


class Status(BaseModel):
    """Where a task is. Chats and research have a `Result`, other work its own facts."""

    task_id: str
    status: Literal["queued", "processing", "completed", "failed", "cancelled"]
    detail: str | None = None
    progress: int
    counts: dict[str, int]
    message: str
    attempt: int
    queue: str
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    result: dict[str, Any] | None = None
    expired: bool | None = None
    error: str | None = None
    position: int | None = None


class StatusList(BaseModel):
    items: list[Status]
    next_cursor: str | None


class PageItem(BaseModel):
    id: int
    url: str
    title: str
    language: str | None
    status: Literal["active", "duplicate", "gone"]
    content_hash: str
    fetched_at: str
    published_at: str | None
    etag: str | None
    quality: dict[str, Any] | None
    freshness: dict[str, Any] | None
    is_processed_for_embeddings: bool
    chunks: int


class Page(PageItem):
    clean_markdown: str
    html: str


class PageList(BaseModel):
    items: list[PageItem]
    next_cursor: str | None
    total: int


class Hit(BaseModel):
    page_id: int
    chunk_id: int
    title: str
    url: str
    text: str
    start: int
    end: int
    score: float
    heading: str


class Hits(BaseModel):
    hits: list[Hit]
    degraded: str | None


class Schedule(BaseModel):
    name: str
    cron: str
    kind: str
    description: str
    enabled: bool
    last_fired_at: str | None
    next_fire_at: str | None
    last_task_id: str | None


class ScheduleList(BaseModel):
    items: list[Schedule]


class Person(BaseModel):
    id: str
    name: str
    role: Literal["owner", "member"]


class WhoAmI(BaseModel):
    user: Person
    token_id: str


class User(Person):
    created_at: str


class UserList(BaseModel):
    items: list[User]


class TokenInfo(BaseModel):
    id: str
    user_id: str
    name: str
    created_at: str
    last_used_at: str | None


class TokenList(BaseModel):
    items: list[TokenInfo]


class NewToken(TokenInfo):
    """The only time that `token` is told."""

    token: str


class ConversationItem(BaseModel):
    id: str
    user_id: str
    title: str
    created_at: str
    updated_at: str
    message_count: int


class ConversationList(BaseModel):
    items: list[ConversationItem]
    next_cursor: str | None


class Conversation(ConversationItem):
    messages: list[dict[str, Any]]


class Imported(BaseModel):
    """An import in parts, each a task of its own; `task_id` is the last."""

    task_id: str
    status: Literal["processing"]
    message: str
    check_status_url: str
    task_ids: list[str]
    pages: int


class Ready(BaseModel):
    status: Literal["ready", "not_ready"]
    parts: dict[str, Any]
