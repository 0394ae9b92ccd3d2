"""Questions, research and analysis: `/api/agents`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from serve_app.api import answers, schemas, wire, work
from serve_app.api.follow import finished
from serve_app.api.limits import Permits
from serve_app.api.schemas import IdempotencyKey, PathId
from serve_app.api.security import Caller
from serve_app.api.services import Brain

router = APIRouter(prefix="/api/agents", tags=["agents"])


@router.post("/tinyllama/chat/", response_model=answers.Result)
async def chat_and_wait(
    body: schemas.Chat,
    brain: Brain,
    who: Caller,
    permits: Permits,
    idempotency_key: IdempotencyKey = None,
) -> JSONResponse:
    """Ask and wait for the answer. A caller who hangs up loses nothing: the task goes on and stays to be read."""
    with permits.hold(who.token_id):
        asked = work.chat(body, brain.settings.limits)
        task = await work.submit(brain, who, asked, idempotency_key)
        done = await finished(brain, task.id, who)
    return JSONResponse({**wire.with_html(done.result or {}), "processed_async": False})


@router.post("/async/chat_async/", response_model=answers.Accepted, status_code=202)
async def chat_async(
    body: schemas.ChatAsync, brain: Brain, who: Caller, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Ask; the answer is a task."""
    return await work.accept(brain, who, work.chat(body, brain.settings.limits), idempotency_key)


@router.post("/async/multiagent_async/", response_model=answers.Accepted, status_code=202)
async def multiagent_async(
    body: schemas.MultiAgent, brain: Brain, who: Caller, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Ask through the orchestrator, which picks the agent unless `agent_type` names one."""
    asked = work.multiagent(body, brain.settings.limits)
    return await work.accept(brain, who, asked, idempotency_key)


@router.post("/async/research_topic/", response_model=answers.Accepted, status_code=202)
async def research_topic(
    body: schemas.Research, brain: Brain, who: Caller, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Report on a topic; with `expand_knowledge` after reading new sources."""
    asked = work.research(body, brain.settings.limits)
    return await work.accept(brain, who, asked, idempotency_key)


@router.post("/async/analyze_content/", response_model=answers.Accepted, status_code=202)
async def analyze_content(
    body: schemas.Analysis, brain: Brain, who: Caller, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Compare, summarise or assess 1 to 20 pages, reading those that are not held yet."""
    asked = work.analysis(body, brain.settings.limits)
    return await work.accept(brain, who, asked, idempotency_key)


@router.post("/async/expand_knowledge/", response_model=answers.Accepted, status_code=202)
async def expand_knowledge(
    body: schemas.Expansion, brain: Brain, who: Caller, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Find, read and index new sources on a topic."""
    asked = work.expansion(body, brain.settings.limits)
    return await work.accept(brain, who, asked, idempotency_key)


@router.get("/async/status/{task_id}/", response_model=answers.Status)
async def task_status(task_id: PathId, brain: Brain, who: Caller) -> JSONResponse:
    """How far a task is, and its result once it has one."""
    task = await brain.ledger.get(task_id, who)
    return JSONResponse(await wire.status_now(brain.ledger, task))
