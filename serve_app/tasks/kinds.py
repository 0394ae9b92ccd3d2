"""The kinds of work the ledger knows, and the queues they wait in (contract section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve_app.domain.tasks import TaskKind
from serve_app.settings import TaskSettings


@dataclass(frozen=True, slots=True)
class Queue:
    """`priority`: higher starts first. `limit`: tasks at once by default; 0 holds the queue."""

    name: str
    priority: int
    limit: int


def queues(model_slots: int) -> Mapping[str, Queue]:
    """The four queues; people who wait get as many places as the model has slots."""
    return {
        queue.name: queue
        for queue in (
            Queue("ai_high_priority", 9, model_slots),
            Queue("ai_processing", 6, 2),
            Queue("crawling", 4, 3),
            Queue("embeddings", 3, 1),
        )
    }


# kind -> (queue, worker). "ledger" is the engine itself.
_PLACES: Mapping[str, tuple[str, str]] = {
    "chat": ("ai_high_priority", "orchestrator"),
    "multiagent": ("ai_high_priority", "orchestrator"),
    "research": ("ai_processing", "orchestrator"),
    "analyze": ("ai_processing", "orchestrator"),
    "expand": ("ai_processing", "orchestrator"),
    "crawl": ("crawling", "crawler"),
    "add_pages": ("crawling", "crawler"),
    "add_file": ("crawling", "crawler"),
    "refresh_stale": ("crawling", "crawler"),
    "embed_pending": ("embeddings", "knowledge"),
    "assess_quality": ("ai_processing", "knowledge"),
    "clean_up": ("ai_processing", "ledger"),
}

# Parents of bounded batches: as long as their batches end, they may take as long as the web takes.
_WITHOUT_DEADLINE = frozenset({"crawl", "add_pages"})


def kinds(settings: TaskSettings) -> Mapping[str, TaskKind]:
    """name -> kind, with the limits of the settings."""
    return {
        name: TaskKind(
            name=name,
            queue=queue,
            worker=worker,
            soft_limit=None if name in _WITHOUT_DEADLINE else settings.soft_limit,
            hard_limit=None if name in _WITHOUT_DEADLINE else settings.hard_limit,
        )
        for name, (queue, worker) in _PLACES.items()
    }
