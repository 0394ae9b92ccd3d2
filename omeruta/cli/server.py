"""Starting, stopping and looking at the brain of this machine, and its tokens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NoReturn

import click

from omeruta.cli.shared import Place, as_json, note, print_json, say, table, when
from omeruta.config import owner_token


@click.command()
def up() -> None:
    """Start the brain on this machine and wait until it is ready."""
    _lifecycle("up")


@click.command()
def down() -> None:
    """Stop the brain of this machine. What it knows stays."""
    _lifecycle("down")


def _lifecycle(command: str) -> NoReturn:
    if find_spec("deployments") is None or find_spec("ray") is None:
        raise click.ClickException(
            "Only the client is installed here. To run a brain on this machine: "
            "pip install 'omeruta-brain[server]'."
        )
    process = subprocess.Popen([sys.executable, "-m", "deployments.lifecycle", command])
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue  # the process got the Ctrl-C too and tidies up: its end is the end
        sys.exit(code if code >= 0 else 128 - code)


@click.command()
@as_json
@click.pass_obj
def status(place: Place, as_json: bool) -> None:
    """Say whether the brain is ready, and what it holds. Exit code 1 when it is not ready."""
    with place.brain() as brain:
        health = brain.health()
        stats = brain.stats() if health.ready else {}
        if as_json:
            print_json({"url": brain.url, "health": health, "stats": stats})
        elif not health.alive:
            note(f"No brain answers at {brain.url}. Start it with `omeruta up`.")
        else:
            say(f"The brain at {brain.url} is {'ready' if health.ready else 'not ready yet'}.")
            show_nested(health.details.get("parts", {}))
            for line in _summary(stats):
                say(f"  {line}")
    if not health.ready:
        sys.exit(1)


def show_nested(value: object, depth: int = 1) -> None:
    """A mapping as indented lines, `name: value`; lists are left out."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict):
            say(f"{'  ' * depth}{name}")
            show_nested(inner, depth + 1)
        elif not isinstance(inner, list):  # series are for `--json`
            say(f"{'  ' * depth}{name}: {'-' if inner is None else inner}")


def _summary(stats: Mapping[str, Any]) -> list[str]:
    """What a brain holds and does, in a few lines; parts that are away are left out."""
    knowledge, queues, models = (stats.get(k) or {} for k in ("knowledge", "queues", "models"))
    lines = []
    if "pages" in knowledge:
        lines.append(f"{knowledge['pages']} pages, {knowledge.get('chunks', 0)} passages")
    counted = [q for q in queues.values() if isinstance(q, dict) and "waiting" in q]
    if counted:
        waiting, running = (sum(q.get(k, 0) for q in counted) for k in ("waiting", "running"))
        lines.append(f"{waiting} tasks waiting, {running} running")
    if isinstance(models.get("language_model"), str):
        lines.append(f"model {models['language_model']}")
    return lines


@click.group(invoke_without_command=True)
@click.pass_context
def token(ctx: click.Context) -> None:
    """Print this machine's owner token; with a command, manage tokens."""
    if ctx.invoked_subcommand is None:
        click.echo(owner_token())


@token.command("create")
@click.argument("name")
@click.option("--user", "user_id", help="Id of the user it is for (owners only).")
@click.pass_obj
def create_token(place: Place, name: str, user_id: str | None) -> None:
    """Make a token and print it, this once."""
    with place.brain() as brain:
        made = brain.create_token(name, user_id)
    note(f"Token “{made.name}” ({made.id}). It is shown only now.")
    say(made.token or "")


@token.command("list")
@as_json
@click.pass_obj
def list_tokens(place: Place, as_json: bool) -> None:
    """List tokens: names and dates, never the tokens themselves."""
    with place.brain() as brain:
        found = brain.tokens()
    if as_json:
        print_json(found)
        return
    rows = [(t.id, t.name, when(t.created_at), when(t.last_used_at)) for t in found]
    table(("ID", "NAME", "MADE", "LAST USED"), rows)


@token.command("delete")
@click.argument("token_id")
@click.pass_obj
def delete_token(place: Place, token_id: str) -> None:
    """Delete a token: who has it is locked out."""
    with place.brain() as brain:
        brain.delete_token(token_id)
    note(f"Token {token_id} is deleted.")
