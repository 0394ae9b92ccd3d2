"""The library: add, list, read and delete pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from serve_app.api import answers, schemas, wire
from serve_app.api.render import safe_html
from serve_app.api.schemas import Cursor, IdempotencyKey, PageId
from serve_app.api.security import Caller, Owner
from serve_app.api.services import Brain, Services
from serve_app.api.work import Work, accept
from serve_app.domain.knowledge import PageQuery, Upload

router = APIRouter(prefix="/api/pages", tags=["knowledge"])

ITEMS_TYPE = "application/x-omeruta-items+json"

Sort = Literal["-fetched_at", "fetched_at", "title", "url", "-quality", "quality"]


async def add_items(services: Services, items: Sequence[dict[str, Any]]) -> Work:
    """Lay the items down beside the knowledge and name the work that reads them in.

    Bulk text travels so, never through the ledger. An upload that no task asks for is cleaned up.
    """
    data = json.dumps(items, ensure_ascii=False).encode()
    upload_id = uuid4().hex
    await services.knowledge.put_upload(Upload(upload_id, "items.json", ITEMS_TYPE, data))
    count = len(items)
    told = "The page is being read in." if count == 1 else f"{count} pages are being read in."
    return Work("add_pages", {"upload_id": upload_id, "count": count}, told)


@router.post("/", response_model=answers.Accepted, status_code=202)
async def add_pages(
    body: schemas.Pages, brain: Brain, who: Caller, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Add one address, one text, or up to 500 of them. The task's result has the ids of the pages."""
    items = [item.model_dump(exclude_none=True) for item in body.all()]
    return await accept(brain, who, await add_items(brain, items), idempotency_key)


@router.get("/", response_model=answers.PageList)
async def list_pages(  # noqa: PLR0913 - each is a query parameter of its own
    brain: Brain,
    who: Caller,
    q: Annotated[str | None, Query(max_length=500)] = None,
    site: Annotated[str | None, Query(max_length=253)] = None,
    status: Literal["active", "duplicate", "gone"] | None = None,
    sort: Sort = "-fetched_at",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Cursor | None = None,
) -> JSONResponse:
    """The pages held, without their text. All users of a brain share its pages."""
    found = await brain.knowledge.list_pages(PageQuery(q, site, status, sort, limit, cursor))
    items = [wire.page_item(page) for page in found.items]
    return JSONResponse({"items": items, "next_cursor": found.next_cursor, "total": found.total})


@router.get("/{page_id}/", response_model=answers.Page)
async def get_page(page_id: PageId, brain: Brain, who: Caller) -> JSONResponse:
    """One page with its markdown, also as safe HTML."""
    page = await brain.knowledge.get_page(page_id)
    html = await asyncio.to_thread(safe_html, page.clean_markdown)
    return JSONResponse({**wire.plain(page), "html": html})


@router.delete("/{page_id}/", status_code=204)
async def delete_page(page_id: PageId, brain: Brain, who: Owner) -> Response:
    """Owners only, since pages are everybody's. Gone from every index when this answers."""
    await brain.knowledge.delete_page(page_id)
    return Response(status_code=204)
