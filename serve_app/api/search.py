"""Searching the knowledge without a model."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from serve_app.api import answers, schemas, wire
from serve_app.api.limits import check_length
from serve_app.api.security import Caller
from serve_app.api.services import Brain
from serve_app.domain.knowledge import SearchFilters, SearchQuery

router = APIRouter(prefix="/api/search", tags=["knowledge"])


@router.post("/", response_model=answers.Hits)
async def search(body: schemas.Search, brain: Brain, who: Caller) -> JSONResponse:
    """Passages, best first; `text` is the page's markdown from `start` to `end`."""
    check_length("query", body.query, brain.settings.limits)
    given = body.filters.model_dump()
    filters = SearchFilters(**{**given, "page_ids": tuple(given["page_ids"])})
    query = SearchQuery(
        body.query, mode=body.mode, limit=body.limit, filters=filters, explain=body.explain
    )
    found = await brain.knowledge.search(query)
    hits = [wire.hit(h, body.explain) for h in found.hits]
    return JSONResponse({"hits": hits, "degraded": found.degraded})
