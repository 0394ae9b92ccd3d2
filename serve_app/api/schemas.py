"""Wire models of what clients send: unknown fields are refused, every text and list has a bound.

Lengths of questions and topics are a setting (`limits.message_chars`) and checked where they are used.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from fastapi import Header, Path
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from serve_app.domain.people import Role

MAX_ITEMS = 500
MAX_REF = 100
MAX_TITLE = 500


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname)
    except ValueError:
        named = False
    if not named or parts.scheme.lower() not in ("http", "https"):
        raise ValueError("this is not an http or https address.")
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TITLE)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")]
Cursor = Annotated[str, StringConstraints(max_length=500)]
WebAddress = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2048),
    AfterValidator(_web_address),
]
AgentType = Literal["auto", "research", "analysis", "qa", "general"]
AnalysisType = Literal["comparison", "summary", "quality"]

PathId = Annotated[str, Path(max_length=100)]
PageId = Annotated[int, Path(ge=1, le=2**63 - 1)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="the same key of the same user answers with the same task",
    ),
]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# agents


class ChatAsync(Body):
    message: Text
    use_context: bool = True
    conversation_id: Id | None = None


class Chat(ChatAsync):
    max_tokens: int = Field(300, ge=1, le=4096)


class MultiAgent(Body):
    query: Text
    conversation_id: Id | None = None
    agent_type: AgentType = "auto"


class Research(Body):
    topic: Text
    expand_knowledge: bool = True
    max_sources: int = Field(5, ge=1, le=20)


class Analysis(Body):
    urls: list[WebAddress] = Field(min_length=1, max_length=20)
    analysis_type: AnalysisType = "comparison"


class Expansion(Body):
    topic: Text
    max_urls: int = Field(5, ge=1, le=50)


# knowledge


class Crawl(Body):
    url: WebAddress
    max_pages: int = Field(100, ge=1, le=100_000)
    max_depth: int = Field(5, ge=0, le=50)
    include: list[Pattern] = Field([], max_length=50)
    exclude: list[Pattern] = Field([], max_length=50)


class PageItem(Body):
    """An address to read, or a text (markdown) with its title and, where it has one, its address."""

    url: WebAddress | None = None
    title: Title | None = None
    text: Text | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.text is None and (self.url is None or self.title is not None):
            raise ValueError("Give either 'url', or 'title' and 'text'.")
        if self.text is not None and self.title is None:
            raise ValueError("A 'text' needs a 'title'.")
        return self


class Pages(Body):
    """One of `{url}`, `{title, text, url?}` or `{items: [...]}`."""

    url: WebAddress | None = None
    title: Title | None = None
    text: Text | None = None
    items: list[PageItem] | None = Field(None, min_length=1, max_length=MAX_ITEMS)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        single = any(value is not None for value in (self.url, self.title, self.text))
        if single == (self.items is not None):
            raise ValueError("Give one of 'url', 'title' and 'text', or 'items'.")
        if single:
            PageItem.model_validate(self.model_dump(exclude={"items"}))
        return self

    def all(self) -> list[PageItem]:
        if self.items is not None:
            return self.items
        return [PageItem(url=self.url, title=self.title, text=self.text)]


class ImportLine(BaseModel):
    """A page of an export. Fields that this version does not know are left out, so that newer exports can be read."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    title: Annotated[str, StringConstraints(max_length=2000)] = ""
    text: Annotated[str, StringConstraints(min_length=1)] = Field(
        validation_alias=AliasChoices("clean_markdown", "markdown", "text")
    )
    language: Annotated[str, StringConstraints(max_length=35)] | None = None
    author: Annotated[str, StringConstraints(max_length=500)] | None = None
    published_at: datetime | None = None
    fetched_at: datetime | None = None
    etag: Annotated[str, StringConstraints(max_length=500)] | None = None
    last_modified: Annotated[str, StringConstraints(max_length=100)] | None = None


class Filters(Body):
    site: Annotated[str, StringConstraints(max_length=253)] | None = None
    language: Annotated[str, StringConstraints(max_length=35)] | None = None
    page_ids: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field([], max_length=1000)
    fetched_after: datetime | None = None
    min_quality: float | None = Field(None, ge=0, le=1)
    collection: Annotated[str, StringConstraints(max_length=100)] | None = None

    @model_validator(mode="after")
    def _aware(self) -> Self:
        if self.fetched_after is not None and self.fetched_after.tzinfo is None:
            raise ValueError("'fetched_after' needs a time zone, as in 2026-01-31T00:00:00Z.")
        return self


class Search(Body):
    query: Text
    mode: Literal["hybrid", "lexical", "semantic"] = "hybrid"
    limit: int = Field(10, ge=1, le=50)
    filters: Filters = Filters()
    explain: bool = False


# people, talks, schedules


class Login(Body):
    token: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=512)]


class NewToken(Body):
    name: Name
    user_id: Id | None = None


class NewUser(Body):
    name: Name
    role: Role = Role.MEMBER


class Rename(Body):
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class ScheduleChange(Body):
    cron: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=9, max_length=100)]
        | None
    ) = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.cron is None and self.enabled is None:
            raise ValueError("Give 'cron', 'enabled' or both.")
        return self


# the socket: `ref` is handed back in the answer, so that a client can tell its answers apart


class Action(Body):
    ref: Annotated[str, StringConstraints(max_length=MAX_REF)] | None = None


class _Start(Action):
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class StartChat(_Start):
    message: Text
    conversation_id: Id | None = None
    use_context: bool = True
    agent_type: AgentType | None = None


class StartResearch(_Start, Research):
    pass


class AnalyzeContent(_Start, Analysis):
    pass


class OnTask(Action):
    task_id: Id


class Subscribe(OnTask):
    after: int = Field(0, ge=0, le=2**53)
