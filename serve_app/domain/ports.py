"""The seams of the house: small Protocols, each with a fake beside its real thing and one contract suite.

LanguageModel   writes text                 inference/        deployment LLM
Embedder        texts -> vectors            inference/        deployment Embedder
Knowledge       pages, search, frontier     knowledge/        deployment Knowledge
Crawler         reads the web               crawler/          deployment Crawler
Worker          runs one attempt at a task  agents/, crawler/, knowledge/
SearchProvider  topic -> addresses          agents/
Ledger          tasks, people, talks        tasks/            actor TaskManager
Clock           time
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from serve_app.domain.knowledge import (
    LinkCandidate,
    Page,
    PageDraft,
    PageList,
    PageQuery,
    SearchQuery,
    SearchResult,
    StalePage,
    StoredPage,
    Upload,
    WorkReport,
    WriteKey,
)
from serve_app.domain.language import Delta, EmbedderInfo, Generation
from serve_app.domain.people import Conversation, Principal, TokenInfo, User
from serve_app.domain.tasks import (
    Assignment,
    Schedule,
    Task,
    TaskEvent,
    TaskSpec,
    TaskStatus,
    WorkerEvent,
)
from serve_app.domain.web import (
    Candidate,
    CrawlCounts,
    CrawlJob,
    CrawlUpdate,
    FetchOutcome,
    FrontierUrl,
)

Vectors = NDArray[np.float32]  # shape (n, dim), rows of length 1


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class LanguageModel(Protocol):
    async def name(self) -> str:
        """The model's name as shown to people (`model_used`)."""
        ...

    def stream(self, request: Generation) -> AsyncIterator[Delta]:
        """Write. Closing the iterator frees the slot. Raises Overloaded when the bounded queue is full."""
        ...


class Embedder(Protocol):
    async def info(self) -> EmbedderInfo: ...

    async def embed(self, texts: Sequence[str], *, bulk: bool = False) -> Vectors:
        """(len(texts), dim), rows of length 1. `bulk` work gives way to queries."""
        ...


class Knowledge(Protocol):
    # reading
    async def search(self, query: SearchQuery) -> SearchResult: ...

    async def get_page(self, page_id: int) -> Page:
        """Raises NotFound."""
        ...

    async def find_page(self, url: str) -> Page | None:
        """By normalised URL. A duplicate answers with the page that is kept."""
        ...

    async def list_pages(self, query: PageQuery) -> PageList: ...

    async def stats(self) -> Mapping[str, Any]: ...

    async def link_candidates(self, topic: str, limit: int) -> list[LinkCandidate]:
        """Addresses linked from known pages, never read, whose link words fit the topic, best first."""
        ...

    # writing; each call is one transaction, applied once by its WriteKey
    async def store_pages(self, key: WriteKey, pages: Sequence[PageDraft]) -> list[StoredPage]: ...

    async def delete_page(self, page_id: int) -> None:
        """Gone from store, words and vectors when this returns. Raises NotFound."""
        ...

    async def put_upload(self, upload: Upload) -> None: ...

    async def get_upload(self, upload_id: str) -> Upload:
        """Raises NotFound."""
        ...

    # the crawl frontier
    async def open_crawl(
        self, crawl_id: str, key: WriteKey, seeds: Sequence[FrontierUrl]
    ) -> CrawlCounts:
        """Idempotent. Leases of earlier attempts go back to pending; those attempts are fenced off."""
        ...

    async def lease_urls(self, crawl_id: str, key: WriteKey, limit: int) -> list[FrontierUrl]:
        """Up to `limit` pending addresses, shallow first, then first found."""
        ...

    async def record_fetches(
        self, crawl_id: str, key: WriteKey, outcomes: Sequence[FetchOutcome]
    ) -> CrawlUpdate:
        """Store pages, settle leases and add what was found, in one transaction."""
        ...

    async def crawl_counts(self, crawl_id: str) -> CrawlCounts: ...

    # upkeep
    async def embed_pending(self, limit: int, crawl_id: str | None = None) -> WorkReport:
        """Embed and index up to `limit` pages that wait for it (of one crawl, or any)."""
        ...

    async def assess_quality(self, limit: int) -> WorkReport: ...

    async def stale_pages(self, limit: int) -> list[StalePage]: ...

    async def clean_up(self) -> WorkReport:
        """Drop finished frontiers, old uploads and write keys."""
        ...

    def export(self) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """All pages of the main collections as JSON objects, in batches."""
        ...


class Crawler(Protocol):
    def crawl(self, job: CrawlJob) -> AsyncIterator[CrawlUpdate]:
        """Run or go on with a crawl; the last update has `done`. A failure of a page is no failure of the crawl."""
        ...


class Worker(Protocol):
    def run(self, assignment: Assignment) -> AsyncIterator[Sequence[WorkerEvent]]:
        """Run one attempt. Batches of events; the last event of all is `result`. Errors are raised."""
        ...


class SearchProvider(Protocol):
    name: str

    async def find(self, topic: str, limit: int) -> list[Candidate]: ...


class Ledger(Protocol):
    # tasks
    async def submit(self, spec: TaskSpec) -> Task:
        """On disk when this returns. The same idempotency key and user answers with the same task."""
        ...

    async def get(self, task_id: str, who: Principal) -> Task:
        """Raises NotFound, for another user's task too. `position` needs `queue_position`."""
        ...

    async def queue_position(self, task_id: str) -> int | None: ...

    async def list_tasks(
        self,
        who: Principal,
        *,
        status: TaskStatus | None = None,
        queue: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[Task], str | None]: ...

    async def cancel(self, task_id: str, who: Principal) -> Task: ...

    async def retry(self, task_id: str, who: Principal) -> Task:
        """Queue a failed or cancelled task again. Raises Conflict otherwise."""
        ...

    def events(self, task_id: str, who: Principal, after: int = 0) -> AsyncIterator[TaskEvent]:
        """Replay what came after `after`, then follow; ends with the task's last event."""
        ...

    async def queues(self) -> Mapping[str, Any]: ...

    # schedules
    async def schedules(self) -> list[Schedule]: ...

    async def run_schedule(self, name: str, who: Principal) -> Task: ...

    async def update_schedule(
        self, name: str, *, cron: str | None = None, enabled: bool | None = None
    ) -> Schedule: ...

    # people
    async def authenticate(self, token: str) -> Principal | None: ...

    async def users(self) -> list[User]: ...

    async def create_user(self, name: str, role: str) -> User: ...

    async def delete_user(self, user_id: str) -> None: ...

    async def tokens(self, who: Principal) -> list[TokenInfo]: ...

    async def create_token(
        self, who: Principal, name: str, user_id: str | None = None
    ) -> tuple[TokenInfo, str]:
        """The token's text is answered here and nowhere else."""
        ...

    async def delete_token(self, who: Principal, token_id: str) -> None: ...

    # conversations
    async def conversations(
        self, who: Principal, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Conversation], str | None]: ...

    async def conversation(self, conversation_id: str, who: Principal) -> Conversation: ...

    async def rename_conversation(
        self, conversation_id: str, who: Principal, title: str
    ) -> Conversation: ...

    async def delete_conversation(self, conversation_id: str, who: Principal) -> None: ...
