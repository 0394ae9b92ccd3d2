"""What the commands share: the root with its options, the connection, tables, and leaving work running."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from typing import Any

import click

from omeruta.client import Brain
from omeruta.errors import BrainError

INTERRUPTED = 130  # what shells give a command that Ctrl-C ended


class Root(click.Group):
    """Shows the SDK's errors as sentences."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrainError as error:
            raise click.ClickException(clean(str(error))) from error


@dataclass(frozen=True, slots=True)
class Place:
    url: str | None
    token: str | None

    def brain(self, progress: bool = True) -> Brain:
        return Brain(self.url, self.token, progress=progress)


@click.group(cls=Root, name="omeruta", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", envvar="OMERUTA_URL", help="Address of the brain.")
@click.option("--token", envvar="OMERUTA_TOKEN", help="Default: this machine's owner token.")
@click.version_option(package_name="omeruta-brain", prog_name="omeruta")
@click.pass_context
def root(ctx: click.Context, url: str | None, token: str | None) -> None:
    """Omeruta Brain: reads the web, remembers it, and answers with quotes and sources."""
    ctx.obj = Place(url, token)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def clean(text: str) -> str:
    """Without control characters: what a page wrote must not steer the terminal."""
    return "".join(c for c in text if c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f"))


def say(text: str = "", *, newline: bool = True) -> None:
    click.echo(clean(text), nl=newline)


def note(text: str) -> None:
    """To stderr: for people, not for pipes."""
    click.echo(clean(text), err=True)


def print_json(value: object) -> None:
    # Text is escaped to ASCII, so no control character reaches the terminal.
    click.echo(json.dumps(value, default=_plain, indent=2))


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as they need to be; a sentence instead when there is nothing."""
    if not rows:
        note("There are none.")
        return
    cells = [[clean(str(cell)).replace("\n", " ") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def when(at: datetime | None) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M") if at else "-"


@contextmanager
def leaves_running(task_id: str) -> Iterator[None]:
    """Ctrl-C stops the waiting, never the work; say so."""
    try:
        yield
    except KeyboardInterrupt:
        note(
            f"\nTask {task_id} goes on. Look at it with `omeruta tasks show {task_id}`, "
            f"stop it with `omeruta tasks cancel {task_id}`."
        )
        sys.exit(INTERRUPTED)
