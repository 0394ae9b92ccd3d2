"""Conversations: kept by the ledger as questions are asked; listed, read, renamed and deleted here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from serve_app.api import answers, schemas, wire
from serve_app.api.schemas import Cursor, PathId
from serve_app.api.security import Caller
from serve_app.api.services import Brain

router = APIRouter(prefix="/api/conversations", tags=["conversations"])


@router.get("/", response_model=answers.ConversationList)
async def list_conversations(
    brain: Brain,
    who: Caller,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Cursor | None = None,
) -> JSONResponse:
    """Last used first, without their messages."""
    talks, following = await brain.ledger.conversations(who, limit=limit, cursor=cursor)
    items = [wire.conversation_item(talk) for talk in talks]
    return JSONResponse({"items": items, "next_cursor": following})


@router.get("/{conversation_id}/", response_model=answers.Conversation)
async def get_conversation(conversation_id: PathId, brain: Brain, who: Caller) -> JSONResponse:
    """With all its messages, oldest first."""
    return JSONResponse(wire.conversation(await brain.ledger.conversation(conversation_id, who)))


@router.patch("/{conversation_id}/", response_model=answers.ConversationItem)
async def rename_conversation(
    conversation_id: PathId, body: schemas.Rename, brain: Brain, who: Caller
) -> JSONResponse:
    """Give it another title."""
    talk = await brain.ledger.rename_conversation(conversation_id, who, body.title)
    return JSONResponse(wire.conversation_item(talk))


@router.delete("/{conversation_id}/", status_code=204)
async def delete_conversation(conversation_id: PathId, brain: Brain, who: Caller) -> Response:
    """Delete it with its messages."""
    await brain.ledger.delete_conversation(conversation_id, who)
    return Response(status_code=204)
