"""The guide is what the brain says of itself, so what it says is held to the code."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from omeruta import Brain
from omeruta.cli import main
from serve_app.api.app import create_api
from serve_app.api.services import Services
from serve_app.settings import Settings

ROOT = Path(__file__).parents[3]
PAGES = sorted((ROOT / "docs" / "guide").glob("*.md"))
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_API_PATH = re.compile(r"(?<![\w.])/(?:api|ws)/[\w/{}<>-]*|/healthz|/readyz|/docs\b|/openapi\.json")


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, match[2])
        for page in PAGES
        for match in _FENCE.finditer(page.read_text())
        if match[1] == language
    ]


def shell_lines() -> Iterator[tuple[str, str]]:
    for page, block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield page, line


def inline_commands() -> set[str]:
    text = "\n".join(_FENCE.sub("", page.read_text()) for page in PAGES)
    return set(re.findall(r"`(omeruta [^`]+)`", text))


def parse(words: list[str]) -> None:
    """Parse a command line as `omeruta` would, without running it. Raises click's usage errors."""
    command: click.Command = main
    context = main.make_context("omeruta", words)
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest and command.invoke_without_command:
            return
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)


def test_there_is_a_guide() -> None:
    assert len(PAGES) == 12
    assert "## How do I add a website?" in (ROOT / "docs/guide/02-add-knowledge.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sections_are_questions_that_stand_alone(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    sections = re.split(r"^## ", _FENCE.sub("", text), flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, body = section.partition("\n")
        assert heading.endswith("?") or heading.startswith("What does it mean"), heading
        assert 0 < len(body.split()) <= 200, heading


def test_no_question_is_asked_twice() -> None:
    headings = re.findall(r"^## (.+)$", "\n".join(p.read_text() for p in PAGES), re.MULTILINE)
    assert len(headings) == len(set(headings)) > 90


def test_every_command_line_is_one_that_the_program_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("report.pdf", "notes.md", "brain.jsonl.gz"):
        (tmp_path / name).touch()
    found = [line for _, line in shell_lines() if line.startswith("omeruta ")]
    assert len(found) > 30
    for line in found:
        parse(shlex.split(line)[1:])


def test_commands_named_in_sentences_exist() -> None:
    for named in inline_commands():
        words = [word for word in shlex.split(named)[1:] if not word.startswith("-")]
        command: click.Command = main
        for word in words[:2]:
            if isinstance(command, click.Group):
                assert word in command.commands, named
                command = command.commands[word]


def test_other_shell_lines_use_known_programs() -> None:
    first = {shlex.split(line)[0] for _, line in shell_lines() if line.strip()}
    assert first <= {"omeruta", "make", "curl", "export"}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    inline = re.findall(r"`make ([a-z-]+)`", "\n".join(page.read_text() for page in PAGES))
    typed = [line.removeprefix("make ") for _, line in shell_lines() if line.startswith("make ")]
    assert {*inline, *typed} == {"up", "down"} & targets


@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_python_examples_compile_and_call_what_is_there(page: str, block: str) -> None:
    compile(block, page, "exec")
    for method in re.findall(r"\bbrain\.(\w+)\(", block):
        assert hasattr(Brain, method), method


@pytest.mark.parametrize(("page", "block"), blocks("json"))
def test_json_examples_are_json(page: str, block: str) -> None:
    assert isinstance(json.loads(block), dict)


def routes() -> set[str]:
    nothing: Any = None
    services = Services(nothing, nothing, nothing, nothing, Settings(), nothing)
    api = create_api(services).openapi()["paths"]
    other = {"/ws/agent/", "/docs", "/openapi.json"}
    return {re.sub(r"\{\w+\}", "*", path) for path in api} | other


def test_every_address_named_is_one_that_the_brain_answers() -> None:
    known = routes()
    text = "\n".join(page.read_text() for page in PAGES)
    named = {re.sub(r"\{\w+\}|TASK_ID", "*", path) for path in _API_PATH.findall(text)}
    named = {re.sub(r"/schedules/[a-z_]+/", "/schedules/*/", path) for path in named}
    assert len(named) > 20
    assert named <= known


def settings_of(model: type[BaseModel], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name.upper()}"
        if isinstance(field.default, BaseModel):
            found |= settings_of(type(field.default), f"{variable}__")
        else:
            found[variable] = field.default
    return found


def test_every_setting_is_told_with_its_default() -> None:
    page = (ROOT / "docs/guide/12-settings.md").read_text()
    told = dict(re.findall(r"^\| `(OMERUTA_\w+)` \| (.+?) \|", page, re.MULTILINE))
    real = settings_of(Settings, "OMERUTA_")
    assert set(told) == set(real)
    for name, default in real.items():
        if name in ("OMERUTA_HOME", "OMERUTA_MODELS"):
            continue
        if isinstance(default, str):
            shown = default
        else:
            shown = json.dumps(default, separators=(",", ":")).removesuffix(".0")
        assert told[name].strip("`").replace("empty", "") == shown, name


def test_settings_named_anywhere_exist() -> None:
    real = set(settings_of(Settings, "OMERUTA_")) | {"OMERUTA_URL", "OMERUTA_TOKEN", "OMERUTA_"}
    for page in PAGES:
        assert set(re.findall(r"OMERUTA_[A-Z_]*", page.read_text())) <= real, page.name
