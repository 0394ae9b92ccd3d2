"""Tasks and schedules."""

from __future__ import annotations

import click

from omeruta.cli.shared import Place, as_json, leaves_running, note, print_json, say, table, when
from omeruta.models import Task

STATUSES = ("queued", "processing", "completed", "failed", "cancelled")
QUEUES = ("ai_high_priority", "ai_processing", "crawling", "embeddings")


@click.group()
def tasks() -> None:
    """List, watch, cancel and retry tasks."""


@tasks.command("list")
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--queue", type=click.Choice(QUEUES))
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@as_json
@click.pass_obj
def list_tasks(
    place: Place, status: str | None, queue: str | None, limit: int, as_json: bool
) -> None:
    """List tasks, newest first."""
    with place.brain() as brain:
        found = list(brain.tasks(status, queue, limit))
    if as_json:
        print_json(found)
        return
    rows = [(t.task_id, t.kind, t.status, f"{t.progress}%", when(t.created_at)) for t in found]
    table(("ID", "KIND", "STATUS", "DONE", "MADE"), rows)


@tasks.command("show")
@click.argument("task_id")
@as_json
@click.pass_obj
def show_task(place: Place, task_id: str, as_json: bool) -> None:
    """Show how far a task is, and its result or error."""
    with place.brain() as brain:
        task = brain.task(task_id)
    if as_json:
        print_json(task)
    else:
        _say_task(task)


@tasks.command("watch")
@click.argument("task_id")
@click.pass_obj
def watch_task(place: Place, task_id: str) -> None:
    """Wait for a task with a progress bar."""
    with place.brain() as brain, leaves_running(task_id):
        _say_task(brain.wait(task_id))


@tasks.command("cancel")
@click.argument("task_id")
@click.pass_obj
def cancel_task(place: Place, task_id: str) -> None:
    """Cancel a task, queued or running."""
    with place.brain() as brain:
        task = brain.cancel(task_id)
    done = "is cancelled" if task.status == "cancelled" else "is being cancelled"
    note(f"Task {task.task_id} {done}.")


@tasks.command("retry")
@click.argument("task_id")
@click.pass_obj
def retry_task(place: Place, task_id: str) -> None:
    """Queue a failed or cancelled task again."""
    with place.brain() as brain:
        task = brain.retry(task_id)
    note(f"Task {task.task_id} is {task.status} again.")


def _say_task(task: Task) -> None:
    say(f"{task.task_id}  {task.kind}  {task.status}  {task.progress}%")
    told = {
        "message": task.message,
        "detail": task.detail,
        "position": task.position,
        "counts": ", ".join(f"{name} {count}" for name, count in task.counts.items()),
        "attempt": task.attempt,
        "made": when(task.created_at),
        "started": when(task.started_at),
        "finished": when(task.finished_at),
        "error": task.error,
        "result": "no longer kept" if task.expired else (task.result or {}).get("response"),
    }
    for name, value in told.items():
        if value not in (None, "", "-"):
            say(f"  {name}: {value}")


@click.group()
def schedules() -> None:
    """List periodic work, or run it now."""


@schedules.command("list")
@as_json
@click.pass_obj
def list_schedules(place: Place, as_json: bool) -> None:
    """List periodic work. Times of the cron expression are UTC."""
    with place.brain() as brain:
        found = brain.schedules()
    if as_json:
        print_json(found)
        return
    rows = [
        (s.name, s.cron, "on" if s.enabled else "off", when(s.next_fire_at), s.description)
        for s in found
    ]
    table(("NAME", "CRON (UTC)", "", "NEXT", "WHAT"), rows)


@schedules.command("run")
@click.argument("name")
@click.pass_obj
def run_schedule(place: Place, name: str) -> None:
    """Start a schedule's work now."""
    with place.brain() as brain:
        task = brain.run_schedule(name)
    note(f"Started as task {task.task_id}.")
