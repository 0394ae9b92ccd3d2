"""What the door needs behind it, and how routers get at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from serve_app.domain.ports import Embedder, Knowledge, LanguageModel, Ledger
from serve_app.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """The ports of one brain. `health` answers each part's readiness: name -> "ok" or a sentence."""

    ledger: Ledger
    knowledge: Knowledge
    language_model: LanguageModel
    embedder: Embedder
    settings: Settings
    health: Callable[[], Awaitable[Mapping[str, Any]]]


def services_of(connection: HTTPConnection) -> Services:
    return cast(Services, connection.app.state.services)


Brain = Annotated[Services, Depends(services_of)]
