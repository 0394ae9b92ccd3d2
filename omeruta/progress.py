"""A progress bar for whoever watches: in a terminal (on stderr) or in a notebook. Elsewhere nothing is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from omeruta.models import Event


def describe(event: Event) -> str:
    """The status line of an update: its message, then its counts (`found 12 · fetched 3`)."""
    counts = event.data.get("counts")
    told = counts.items() if isinstance(counts, Mapping) else ()
    shown = " · ".join(f"{name} {count}" for name, count in told)
    message = str(event.data.get("message") or "")
    return "  ".join(part for part in (message, shown) if part)


@contextmanager
def progress_bar(
    enabled: bool, console: Console | None = None
) -> Iterator[Callable[[Event], None]]:
    """A function to hand each event to. The bar goes away when the work is done."""
    console = console or Console(stderr=True)
    if not enabled or not _watched(console):
        yield lambda event: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        row = bar.add_task("Starting", total=100)

        def show(event: Event) -> None:
            if event.type == "task_update":
                bar.update(
                    row,
                    completed=float(event.data.get("progress") or 0),
                    description=escape(describe(event) or "Working"),
                )

        yield show


def _watched(console: Console) -> bool:
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None  # rich draws live output with it
    return console.is_terminal
