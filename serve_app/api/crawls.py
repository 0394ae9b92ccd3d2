"""Starting a crawl. Watching and stopping it is a matter of its task."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from serve_app.api import answers, schemas
from serve_app.api.schemas import IdempotencyKey
from serve_app.api.security import Caller
from serve_app.api.services import Brain
from serve_app.api.work import Work, accept

router = APIRouter(prefix="/api/crawls", tags=["knowledge"])


@router.post("/", response_model=answers.Accepted, status_code=202)
async def start_crawl(
    body: schemas.Crawl, brain: Brain, who: Caller, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Read a site from `url` on. Patterns are globs over whole addresses (`*/docs/*`)."""
    work = Work("crawl", body.model_dump(), f"The crawl of {body.url} has been started.")
    return await accept(brain, who, work, idempotency_key)
