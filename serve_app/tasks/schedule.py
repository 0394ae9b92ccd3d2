"""Periodic work: when it is due (pure, cron in UTC), and the four schedules of contract section 7."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from croniter import croniter

from serve_app.domain.errors import BadRequest
from serve_app.domain.tasks import Schedule


def check_cron(cron: str) -> None:
    """Raise BadRequest unless `cron` is a five-field expression that fires at all."""
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise BadRequest(f"{cron!r} is not a cron expression of five fields.", field="cron")
    try:
        next_after(cron, datetime(2000, 1, 1, tzinfo=UTC))
    except ValueError as error:
        raise BadRequest(f"{cron!r} names a time that never comes.", field="cron") from error


def next_after(cron: str, since: datetime) -> datetime:
    """The first due time after `since`."""
    fires: datetime = croniter(cron, since).get_next(datetime)
    return fires


def due(cron: str, since: datetime, now: datetime) -> datetime | None:
    """The newest due time after `since` and up to `now`: firings missed in between count as one."""
    newest: datetime = croniter(cron, now + timedelta(seconds=1)).get_prev(datetime)
    return newest if since < newest <= now else None


def default_schedules() -> tuple[Schedule, ...]:
    """What a new brain does by itself."""
    return (
        Schedule(
            name="clean_up",
            cron="0 * * * *",
            kind="clean_up",
            args={},
            description="Drop expired results, old statuses and temporary data.",
        ),
        Schedule(
            name="embed_pending",
            cron="*/30 * * * *",
            kind="embed_pending",
            args={"limit": 50},
            description="Embed pages that are not embedded yet, 50 a batch.",
        ),
        Schedule(
            name="refresh_stale",
            cron="0 2 * * *",
            kind="refresh_stale",
            args={"limit": 10},
            description="Find stale pages and read up to 10 of them again.",
        ),
        Schedule(
            name="assess_quality",
            cron="0 3 * * 1",
            kind="assess_quality",
            args={"limit": 100},
            description="Assess the quality of pages, 100 a batch.",
        ),
    )
