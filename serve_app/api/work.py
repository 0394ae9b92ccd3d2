"""From a request to a task: which kind of work it is and what the worker is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse

from serve_app.api import schemas
from serve_app.api.limits import check_length
from serve_app.api.services import Services
from serve_app.domain.people import Principal
from serve_app.domain.tasks import Task, TaskSpec
from serve_app.settings import LimitSettings


@dataclass(frozen=True, slots=True)
class Work:
    """A task to be: `message` is what its accepter tells the person."""

    kind: str
    args: Mapping[str, Any]
    message: str
    conversation_id: str | None = None


def chat(body: schemas.ChatAsync, limits: LimitSettings) -> Work:
    check_length("message", body.message, limits)
    args = body.model_dump(exclude={"conversation_id"})
    return Work("chat", args, "Your question is being answered.", body.conversation_id)


def multiagent(body: schemas.MultiAgent, limits: LimitSettings) -> Work:
    check_length("query", body.query, limits)
    args = body.model_dump(exclude={"conversation_id"})
    return Work(
        "multiagent", args, "Your question is on its way to an agent.", body.conversation_id
    )


def socket_chat(body: schemas.StartChat, limits: LimitSettings) -> Work:
    """A chat over the socket goes through the orchestrator, so that people see which agent answers and why."""
    check_length("message", body.message, limits)
    args = {
        "query": body.message,
        "agent_type": body.agent_type or "auto",
        "use_context": body.use_context,
    }
    return Work("multiagent", args, "Your question is being answered.", body.conversation_id)


def research(body: schemas.Research, limits: LimitSettings) -> Work:
    check_length("topic", body.topic, limits)
    args = body.model_dump(include=set(schemas.Research.model_fields))
    return Work("research", args, "The research has been started.")


def analysis(body: schemas.Analysis, limits: LimitSettings) -> Work:
    args = body.model_dump(include=set(schemas.Analysis.model_fields))
    return Work("analyze", args, f"{len(body.urls)} pages are being analysed.")


def expansion(body: schemas.Expansion, limits: LimitSettings) -> Work:
    check_length("topic", body.topic, limits)
    return Work("expand", body.model_dump(), "New sources are being looked for.")


async def submit(services: Services, who: Principal, work: Work, key: str | None) -> Task:
    """On disk when this returns. Raises NotFound for a conversation that is not the caller's."""
    spec = TaskSpec(
        kind=work.kind,
        args=work.args,
        user_id=who.user_id,
        conversation_id=work.conversation_id,
        idempotency_key=key,
    )
    return await services.ledger.submit(spec)


def accepted_body(task: Task, message: str) -> dict[str, Any]:
    """What a submit answers (contract section 2), whatever the queue does with it."""
    return {
        "task_id": task.id,
        "status": "processing",
        "message": message,
        "check_status_url": f"/api/agents/async/status/{task.id}/",
        "conversation_id": task.conversation_id,
    }


async def accept(services: Services, who: Principal, work: Work, key: str | None) -> JSONResponse:
    """Submit and answer at once with 202."""
    task = await submit(services, who, work, key)
    return JSONResponse(accepted_body(task, work.message), 202)
