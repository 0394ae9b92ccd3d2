from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from omeruta import Brain, Event
from omeruta.cli import main, server
from omeruta.cli.shared import clean

Run = Callable[..., Result]
ACCEPTED = {"task_id": "t1", "status": "processing"}
MULTIAGENT = "/api/agents/async/multiagent_async/"
SOURCE = {"n": 1, "title": "Oven", "url": "http://docs.test/oven", "quote": "Bake.", "score": 0.9}
RESULT = {
    "response": "> Bake. [1]\n\nIt bakes. [1]",
    "sources": [SOURCE],
    "selected_agent": "qa",
    "confidence_score": 0.81,
    "model_used": "smollm2",
    "processing_time": 1.2,
    "conversation_id": "c1",
}


@pytest.fixture
def run(stand_in: Any) -> Run:
    def invoke(*args: str, **options: Any) -> Result:
        return CliRunner().invoke(main, ["--url", stand_in.url, "--token", "t", *args], **options)

    return invoke


def asked(stand_in: Any, *events: dict[str, Any]) -> None:
    stand_in.on("POST", MULTIAGENT, ACCEPTED, 202)
    stand_in.task("t1", [*events, {"type": "task_completed", "result": RESULT}])


def test_ask_shows_sources_then_the_text_as_it_comes(stand_in: Any, run: Run) -> None:
    asked(
        stand_in,
        {"type": "task_update", "progress": 25, "message": "Searching"},
        {"type": "sources", "sources": [SOURCE]},
        {"type": "token", "text": "> Bake. [1]"},
        {"type": "token", "text": "\n\nIt bakes. [1]"},
    )
    result = run("ask", "How?")
    assert result.exit_code == 0
    assert result.stdout == "[1] Oven  http://docs.test/oven\n\n> Bake. [1]\n\nIt bakes. [1]\n"
    assert "agent qa · confidence 0.81 · model smollm2 · 1.2 s · conversation c1" in result.stderr


def test_ask_shows_all_where_only_the_result_came(stand_in: Any, run: Run) -> None:
    asked(stand_in)
    result = run("ask", "How?", "--agent", "qa", "--conversation", "c1")
    assert result.stdout == "[1] Oven  http://docs.test/oven\n\n> Bake. [1]\n\nIt bakes. [1]\n"
    body = stand_in.seen[0].json
    assert body == {"query": "How?", "agent_type": "qa", "conversation_id": "c1"}


def test_ask_says_when_an_answer_starts_again(stand_in: Any, run: Run) -> None:
    asked(
        stand_in,
        {"type": "token", "text": "Half"},
        {"type": "token", "text": "Whole.", "attempt": 2},
    )
    result = run("ask", "How?")
    assert "Half" in result.stdout
    assert "starts again" in result.stderr
    assert result.stdout.index("Half") < result.stdout.index("Whole.")


def test_ask_as_json_prints_the_result_alone(stand_in: Any, run: Run) -> None:
    asked(stand_in, {"type": "token", "text": "It bakes."})
    assert json.loads(run("ask", "How?", "--json").stdout) == RESULT


def test_a_failed_answer_is_a_sentence_on_stderr(stand_in: Any, run: Run) -> None:
    stand_in.on("POST", MULTIAGENT, ACCEPTED, 202)
    stand_in.task("t1", [{"type": "task_failed", "error": "The model is away."}])
    result = run("ask", "How?")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: The model is away.\n"


def test_nothing_that_a_page_wrote_steers_the_terminal(stand_in: Any, run: Run) -> None:
    asked(stand_in, {"type": "token", "text": "\x1b[2J\x9b31m\x07gone"})
    assert run("ask", "How?").stdout.startswith("[2J31mgone")
    assert clean("a\x00b\x7fc\n\td é") == "abc\n\td é"


def interrupt(self: Brain, *args: Any, **kwargs: Any) -> Iterator[Event]:
    raise KeyboardInterrupt


def test_ctrl_c_leaves_the_task_running_and_says_so(
    stand_in: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.on("POST", MULTIAGENT, ACCEPTED, 202)
    stand_in.on("POST", "/api/crawls/", ACCEPTED, 202)
    monkeypatch.setattr(Brain, "events", interrupt)
    monkeypatch.setattr(Brain, "wait", interrupt)
    for command in (["ask", "How?"], ["crawl", "http://a.test/"]):
        result = run(*command)
        assert result.exit_code == 130
        assert "Task t1 goes on" in result.stderr
        assert "omeruta tasks cancel t1" in result.stderr
    assert not stand_in.calls("POST", "/api/tasks/t1/cancel/")


def test_research_and_analysis_go_through_the_same_screen(stand_in: Any, run: Run) -> None:
    asked(stand_in)
    stand_in.on("POST", "/api/agents/async/research_topic/", ACCEPTED, 202)
    stand_in.on("POST", "/api/agents/async/analyze_content/", ACCEPTED, 202)
    assert "It bakes." in run("research", "ovens", "--no-expand").stdout
    assert "It bakes." in run("analyze", "http://a.test/", "--type", "summary").stdout
    assert stand_in.seen[0].json["expand_knowledge"] is False
    bodies = [seen.json for seen in stand_in.seen if seen.method == "POST"]
    assert bodies[1] == {"urls": ["http://a.test/"], "analysis_type": "summary"}


def test_crawl_prints_true_counts(stand_in: Any, run: Run) -> None:
    stand_in.on("POST", "/api/crawls/", ACCEPTED, 202)
    counts = {"found": 9, "stored": 6, "failed": 2}
    result = {"reasons": {"robots": 2}}
    done = {"task_id": "t1", "status": "completed", "counts": counts, "result": result}
    stand_in.on("GET", "/api/tasks/t1/", done)
    shown = run("crawl", "http://a.test/", "--max-pages", "9", "--exclude", "*/old/*")
    assert shown.stdout == (
        "http://a.test/: 6 pages stored of 9 addresses found, 2 failed (robots 2).\n"
    )
    assert stand_in.seen[0].json["exclude"] == ["*/old/*"]
    assert run("crawl", "http://a.test/", "--no-wait").stdout == "t1\n"
    assert json.loads(run("crawl", "http://a.test/", "--json").stdout)["stored"] == 6


def test_add_takes_an_address_a_text_or_standard_input(stand_in: Any, run: Run) -> None:
    stand_in.on("POST", "/api/pages/", ACCEPTED, 202)
    missed = {"url": "u", "reason": "robots", "message": "robots.txt does not allow it."}
    done = {"task_id": "t1", "status": "completed", "result": {"pages": [4], "failed": [missed]}}
    stand_in.on("GET", "/api/tasks/t1/", done)
    assert run("add", "http://a.test/").stderr == "robots.txt does not allow it.\n"
    assert run("add", "http://a.test/").stdout == "Added as page 4.\n"
    assert run("add", "--title", "T", "--text", "-", input="Body").exit_code == 0
    bodies = [seen.json for seen in stand_in.calls("POST", "/api/pages/")]
    assert bodies[1:] == [{"url": "http://a.test/"}, {"text": "Body", "title": "T"}]
    assert run("add", "http://a.test/", "--no-wait").stdout == "t1\n"


def test_upload(stand_in: Any, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A")
    stand_in.on("POST", "/api/files/", ACCEPTED, 202)
    done = {"task_id": "t1", "status": "completed", "result": {"pages": [4]}}
    stand_in.on("GET", "/api/tasks/t1/", done)
    assert run("upload", str(tmp_path / "a.md")).stdout == "Added as page 4.\n"


@pytest.mark.parametrize(
    "args",
    [
        ["add"],
        ["add", "--text", "x"],
        ["ask"],
        ["ask", "How?", "--agent", "wizard"],
        ["crawl", "http://a.test/", "--max-pages", "0"],
        ["pages", "show", "seven"],
        ["upload", "no-such-file.md"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_exit_code_2_and_sends_nothing(
    stand_in: Any, run: Run, args: list[str]
) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert stand_in.seen == []


def test_expand(stand_in: Any, run: Run) -> None:
    stand_in.on("POST", "/api/agents/async/expand_knowledge/", ACCEPTED, 202)
    info = {"pages_added": 2, "chunks_added": 9}
    last = {"type": "task_completed", "result": {"expansion_info": info}}
    stand_in.task("t1", [last])
    assert run("expand", "ovens").stdout == "2 pages and 9 passages added.\n"


def test_search(stand_in: Any, run: Run) -> None:
    hit = {"page_id": 3, "chunk_id": 1, "title": "Oven", "url": "u", "text": "Bake\nit."}
    stand_in.on("POST", "/api/search/", {"hits": [hit]})
    stand_in.on("POST", "/api/search/", {"hits": []})
    shown = run("search", "bake", "--site", "a.test").stdout
    assert shown.startswith("1. Oven  (page 3)\n   u\n   Bake it.")
    assert stand_in.seen[0].json["filters"] == {"site": "a.test"}
    empty = run("search", "nothing")
    assert (empty.stdout, empty.stderr) == ("", "Nothing was found.\n")


def test_pages_are_listed_shown_and_deleted(stand_in: Any, run: Run) -> None:
    page = {"id": 3, "url": "http://a.test/", "title": "A\nB", "chunks": 2, "clean_markdown": "# A"}
    stand_in.on("GET", "/api/pages/", {"items": [page], "next_cursor": None})
    stand_in.on("GET", "/api/pages/3/", page)
    stand_in.on("DELETE", "/api/pages/3/", None, 204)
    listed = run("pages", "list", "--q", "A").stdout.splitlines()
    assert listed[0].split() == ["ID", "READ", "CHUNKS", "TITLE", "ADDRESS"]
    assert listed[1].split() == ["3", "-", "2", "A", "B", "http://a.test/"]
    assert run("pages", "show", "3").stdout == "# A\n"
    assert run("pages", "delete", "3").stderr == "Page 3 is deleted.\n"
    missing = run("pages", "delete", "4")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("Error: ")


def test_tasks(stand_in: Any, run: Run) -> None:
    task = {
        "task_id": "t1",
        "kind": "crawl",
        "status": "failed",
        "progress": 40,
        "counts": {"found": 2},
        "error": "It broke.",
        "created_at": "2026-01-02T03:04:05Z",
    }
    stand_in.on("GET", "/api/tasks/", {"items": [task], "next_cursor": None})
    stand_in.on("GET", "/api/tasks/t1/", task)
    stand_in.on("POST", "/api/tasks/t1/cancel/", {**task, "status": "processing"})
    stand_in.on("POST", "/api/tasks/t1/retry/", {**task, "status": "queued"})
    assert "crawl  failed  40%" in run("tasks", "list", "--status", "failed").stdout
    shown = run("tasks", "show", "t1").stdout
    assert "counts: found 2" in shown
    assert "error: It broke." in shown
    assert json.loads(run("tasks", "show", "t1", "--json").stdout)["error"] == "It broke."
    assert run("tasks", "cancel", "t1").stderr == "Task t1 is being cancelled.\n"
    assert run("tasks", "retry", "t1").stderr == "Task t1 is queued again.\n"
    assert run("tasks", "watch", "t1").stderr == "Error: It broke.\n"


def test_schedules(stand_in: Any, run: Run) -> None:
    entry = {"name": "clean_up", "cron": "0 * * * *", "description": "Tidies.", "enabled": False}
    stand_in.on("GET", "/api/schedules/", {"items": [entry]})
    stand_in.on("POST", "/api/schedules/clean_up/run/", ACCEPTED, 202)
    stand_in.on("GET", "/api/tasks/t1/", {"task_id": "t1", "status": "queued"})
    assert "clean_up  0 * * * *   off" in run("schedules", "list").stdout
    assert run("schedules", "run", "clean_up").stderr == "Started as task t1.\n"


def test_export_and_import(stand_in: Any, run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "brain.jsonl")
    stand_in.on("GET", "/api/export/", {"url": "u"})
    answer = {"task_id": "t1", "task_ids": ["t1"], "pages": 1}
    stand_in.on("POST", "/api/import/", answer, 202)
    stand_in.on("GET", "/api/tasks/t1/", {"task_id": "t1", "status": "completed"})
    assert "12 bytes" in run("export", path).stderr
    assert run("import", path).stderr == "Pages taken in: 1.\n"


def test_status_and_stats(stand_in: Any, run: Run) -> None:
    stand_in.on("GET", "/readyz", {"status": "ready", "parts": {"llm": "ok"}})
    stand_in.on("GET", "/readyz", {"status": "not_ready", "parts": {"llm": "Loading."}}, 503)
    queue = {"waiting": 2, "running": 1}
    told = {
        "knowledge": {"pages": 3, "chunks": 9, "oldest": None, "growth": [{"day": "x"}]},
        "queues": {"crawling": queue, "embeddings": queue},
        "models": {"language_model": "smollm2", "embedder": {"error": "Away."}},
    }
    stand_in.on("GET", "/api/stats/", told)
    stand_in.on("GET", "/api/stats/", {"knowledge": told["knowledge"]})
    ready, waiting = run("status"), run("status")
    assert ready.exit_code == 0
    assert ready.stdout == (
        f"The brain at {stand_in.url} is ready.\n  llm: ok\n"
        "  3 pages, 9 passages\n  4 tasks waiting, 2 running\n  model smollm2\n"
    )
    assert waiting.exit_code == 1
    assert "not ready yet" in waiting.stdout
    assert "llm: Loading." in waiting.stdout
    assert run("stats").stdout == "knowledge\n  pages: 3\n  chunks: 9\n  oldest: -\n"


def test_status_of_nothing_says_how_to_start() -> None:
    result = CliRunner().invoke(main, ["--url", "http://127.0.0.1:1", "--token", "t", "status"])
    assert result.exit_code == 1
    assert result.stderr == (
        "No brain answers at http://127.0.0.1:1. Start it with `omeruta up`.\n"
    )


def test_a_command_without_a_token_says_how_to_get_one() -> None:
    result = CliRunner().invoke(main, ["stats"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There is no token:")


def test_tokens(stand_in: Any, run: Run, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "owner-token").write_text("owner\n")
    stand_in.on("POST", "/api/auth/tokens/", {"id": "k1", "name": "laptop", "token": "abc"}, 201)
    stand_in.on("GET", "/api/auth/tokens/", {"items": [{"id": "k1", "name": "laptop"}]})
    stand_in.on("DELETE", "/api/auth/tokens/k1/", None, 204)
    assert run("token").stdout == "owner\n"
    assert run("token", "create", "laptop").stdout == "abc\n"
    assert "k1  laptop" in run("token", "list").stdout
    assert run("token", "delete", "k1").exit_code == 0


def test_up_and_down_run_the_brains_own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    class Process:
        interrupts = 1

        def __init__(self, command: list[str]) -> None:
            started.append(command)

        def wait(self) -> int:
            if Process.interrupts:
                Process.interrupts -= 1
                raise KeyboardInterrupt
            return 3

    monkeypatch.setattr(server, "find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "Popen", Process)
    for command in ("up", "down"):
        assert CliRunner().invoke(main, [command]).exit_code == 3
    assert started == [[sys.executable, "-m", "deployments.lifecycle", c] for c in ("up", "down")]


def test_up_without_the_server_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None if name == "ray" else object())
    result = CliRunner().invoke(main, ["up"])
    assert result.exit_code == 1
    assert "pip install 'omeruta-brain[server]'" in result.stderr


def commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


def test_every_command_says_what_it_does() -> None:
    found = list(commands(main))
    assert {c.name for c in found} >= {"up", "down", "status", "token", "crawl", "ask", "search"}
    assert [c.name for c in found if not (c.help or "").strip()] == []
