"""What the brain holds and how busy it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from serve_app.api.security import Caller
from serve_app.api.services import Brain
from serve_app.api.wire import plain
from serve_app.domain.errors import BrainError

router = APIRouter(prefix="/api/stats", tags=["operation"])

PATIENCE = 5.0  # seconds for each part


async def _part(asked: Awaitable[Any]) -> Any:
    """A part that is away says so in its place; the others are shown all the same."""
    try:
        return plain(await asyncio.wait_for(asked, PATIENCE))
    except BrainError as error:
        return error.body()
    except TimeoutError:
        return {"error": "This part did not answer in time.", "code": "unavailable"}


@router.get("/", response_model=dict[str, Any])
async def stats(brain: Brain, who: Caller) -> JSONResponse:
    """Counts, bytes and index of the knowledge, the queues, and the models at work."""
    knowledge, queues, writer, embedder = await asyncio.gather(
        _part(brain.knowledge.stats()),
        _part(brain.ledger.queues()),
        _part(brain.language_model.name()),
        _part(brain.embedder.info()),
    )
    models = {"language_model": writer, "embedder": embedder}
    return JSONResponse({"knowledge": knowledge, "queues": queues, "models": models})
