"""Is the brain alive, and can it answer?"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.responses import JSONResponse

from serve_app.api import answers
from serve_app.api.services import Brain
from serve_app.api.wire import plain
from serve_app.domain.errors import BrainError

router = APIRouter(tags=["operation"])

PATIENCE = 5.0  # seconds


@router.get("/healthz")
async def healthz() -> JSONResponse:
    """Alive: this process answers. Says nothing of the parts behind it."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", response_model=answers.Ready)
async def readyz(brain: Brain) -> JSONResponse:
    """200 once every part is "ok", else 503 with what each part says."""
    try:
        parts = plain(await asyncio.wait_for(brain.health(), PATIENCE))
    except BrainError as error:
        parts = {"brain": error.message}
    except TimeoutError:
        parts = {"brain": "The parts did not answer in time."}
    waiting = [name for name, state in parts.items() if state != "ok"]
    if not waiting:
        return JSONResponse({"status": "ready", "parts": parts})
    sentence = f"Not ready yet: {', '.join(sorted(waiting))}."
    body = {"status": "not_ready", "error": sentence, "code": "not_ready", "parts": parts}
    return JSONResponse(body, 503, {"Retry-After": "1"})
