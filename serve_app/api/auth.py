"""Who am I, tokens and users."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from serve_app.api import answers, schemas, wire
from serve_app.api.schemas import PathId
from serve_app.api.security import Caller, Door, Owner
from serve_app.api.services import Brain

router = APIRouter(prefix="/api/auth", tags=["people"])


@router.post("/login/", response_model=answers.WhoAmI)
async def login(body: schemas.Login, gate: Door) -> JSONResponse:
    """Whose token is this? Needs none in the header."""
    gate.count_login()
    return JSONResponse(wire.whoami(await gate.principal(body.token)))


@router.get("/tokens/", response_model=answers.TokenList)
async def list_tokens(brain: Brain, who: Caller) -> JSONResponse:
    """Without their text, which is stored nowhere."""
    return JSONResponse({"items": [wire.plain(info) for info in await brain.ledger.tokens(who)]})


@router.post("/tokens/", response_model=answers.NewToken, status_code=201)
async def create_token(body: schemas.NewToken, brain: Brain, who: Caller) -> JSONResponse:
    """A new token, told this once. Owners may make one for another user."""
    info, text = await brain.ledger.create_token(who, body.name, body.user_id)
    return JSONResponse({**wire.plain(info), "token": text}, 201, {"Cache-Control": "no-store"})


@router.delete("/tokens/{token_id}/", status_code=204)
async def delete_token(token_id: PathId, brain: Brain, who: Caller, gate: Door) -> Response:
    """The token opens nothing any more."""
    await brain.ledger.delete_token(who, token_id)
    gate.forget()
    return Response(status_code=204)


@router.get("/users/", response_model=answers.UserList)
async def list_users(brain: Brain, who: Owner) -> JSONResponse:
    """Owners only."""
    return JSONResponse({"items": [wire.plain(person) for person in await brain.ledger.users()]})


@router.post("/users/", response_model=answers.User, status_code=201)
async def create_user(body: schemas.NewUser, brain: Brain, who: Owner) -> JSONResponse:
    """Owners only. The user gets in by a token made for them."""
    person = await brain.ledger.create_user(body.name, body.role.value)
    return JSONResponse(wire.plain(person), 201)


@router.delete("/users/{user_id}/", status_code=204)
async def delete_user(user_id: PathId, brain: Brain, who: Owner, gate: Door) -> Response:
    """Owners only; with their tokens. The last owner stays."""
    await brain.ledger.delete_user(user_id)
    gate.forget()
    return Response(status_code=204)
