"""The command line: `omeruta COMMAND`. Errors are sentences on stderr; exit code 1, or 2 for wrong usage."""

from __future__ import annotations

import click

from omeruta.cli.knowledge import add, crawl, expand, export, import_, pages, search, stats, upload
from omeruta.cli.server import down, status, token, up
from omeruta.cli.shared import root
from omeruta.cli.talk import analyze, ask, research
from omeruta.cli.work import schedules, tasks

COMMANDS: tuple[click.Command, ...] = (
    *(up, down, status, token),
    *(ask, research, analyze, search),
    *(crawl, add, upload, expand, pages, export, import_, stats),
    *(tasks, schedules),
)
for command in COMMANDS:
    root.add_command(command)

main = root

__all__ = ["main"]
