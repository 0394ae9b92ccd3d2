"""Periodic work: shown to all, run and changed by owners."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

from serve_app.api import answers, schemas, wire
from serve_app.api.schemas import PathId
from serve_app.api.security import Caller, Owner
from serve_app.api.services import Brain
from serve_app.api.work import accepted_body

router = APIRouter(prefix="/api/schedules", tags=["schedules"])


@router.get("/", response_model=answers.ScheduleList)
async def list_schedules(brain: Brain, who: Caller) -> JSONResponse:
    """What runs when (UTC)."""
    entries = await brain.ledger.schedules()
    return JSONResponse({"items": [wire.plain(entry) for entry in entries]})


@router.post("/{name}/run/", response_model=answers.Accepted, status_code=202)
async def run_schedule(name: PathId, brain: Brain, who: Owner) -> JSONResponse:
    """Run it now, besides its times."""
    task = await brain.ledger.run_schedule(name, who)
    return JSONResponse(accepted_body(task, f"'{name}' has been started."), 202)


@router.patch("/{name}/", response_model=answers.Schedule)
async def change_schedule(
    name: PathId, body: schemas.ScheduleChange, brain: Brain, who: Owner
) -> JSONResponse:
    """Change the times (five cron fields, UTC), or switch it off and on."""
    changed = await brain.ledger.update_schedule(name, cron=body.cron, enabled=body.enabled)
    return JSONResponse(wire.plain(changed))
