"""The Python SDK of Omeruta Brain.

    from omeruta import Brain

    with Brain() as brain:
        brain.crawl("https://docs.example.org/", max_pages=50)
        print(brain.ask("How do I install it?"))

Everything goes over HTTP to a running brain; nothing of the brain itself is imported here.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from omeruta.client import Brain
from omeruta.errors import (
    BadRequest,
    BrainError,
    ConfigError,
    Conflict,
    Forbidden,
    NotFound,
    NotReachable,
    Overloaded,
    ServerError,
    StillRunning,
    TaskCancelled,
    TaskFailed,
    TooLarge,
    Unauthenticated,
)
from omeruta.models import (
    Added,
    Answer,
    Conversation,
    CrawlReport,
    Event,
    Expansion,
    Health,
    Hit,
    Imported,
    Message,
    Page,
    Schedule,
    Source,
    Task,
    Token,
)

try:
    __version__ = version("omeruta-brain")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0"

__all__ = [
    "Added",
    "Answer",
    "BadRequest",
    "Brain",
    "BrainError",
    "ConfigError",
    "Conflict",
    "Conversation",
    "CrawlReport",
    "Event",
    "Expansion",
    "Forbidden",
    "Health",
    "Hit",
    "Imported",
    "Message",
    "NotFound",
    "NotReachable",
    "Overloaded",
    "Page",
    "Schedule",
    "ServerError",
    "Source",
    "StillRunning",
    "Task",
    "TaskCancelled",
    "TaskFailed",
    "Token",
    "TooLarge",
    "Unauthenticated",
]
