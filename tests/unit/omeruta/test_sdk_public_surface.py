"""What people may build on. A change here is a change of the product's promise: see CHANGELOG.md."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import omeruta
from omeruta import Brain, BrainError

PACKAGE = Path(omeruta.__file__).parent

NAMES = {
    *(
        "Brain",
        "Answer",
        "Source",
        "Event",
        "Task",
        "CrawlReport",
        "Added",
        "Imported",
        "Expansion",
    ),
    *("Hit", "Page", "Conversation", "Message", "Schedule", "Token", "Health"),
    *("BrainError", "ConfigError", "NotReachable", "BadRequest", "Unauthenticated", "Forbidden"),
    *("NotFound", "Conflict", "TooLarge", "Overloaded", "ServerError"),
    *("TaskFailed", "TaskCancelled", "StillRunning"),
}
METHODS = {
    *("ask", "ask_stream", "research", "analyze", "expand", "crawl", "crawl_report"),
    *("submit_question", "submit_research", "submit_analysis"),
    *("add", "added", "upload", "search", "pages", "page", "delete_page", "export", "import_"),
    *("events", "task", "tasks", "wait", "cancel", "retry", "schedules", "run_schedule"),
    *("conversations", "conversation", "delete_conversation"),
    *("tokens", "create_token", "delete_token", "health", "stats", "close"),
}


def test_the_names_of_the_package() -> None:
    assert set(omeruta.__all__) == NAMES
    assert all(hasattr(omeruta, name) for name in NAMES)


def test_the_methods_of_brain() -> None:
    assert {name for name in dir(Brain) if not name.startswith("_")} == METHODS
    undocumented = [
        name
        for name in METHODS - {"close", "schedules", "conversation", "delete_conversation"}
        - {"tokens", "delete_token"}
        if not inspect.getdoc(getattr(Brain, name))
    ]  # fmt: skip
    assert undocumented == []


def test_the_first_arguments_stay_as_they_are() -> None:
    def names(method: str) -> list[str]:
        return list(inspect.signature(getattr(Brain, method)).parameters)[1:]

    assert names("__init__")[:2] == ["url", "token"]
    assert names("ask")[:4] == ["question", "agent", "on_event", "conversation_id"]
    assert names("crawl")[:5] == ["url", "max_pages", "max_depth", "include", "exclude"]
    assert names("search")[:3] == ["query", "mode", "limit"]
    assert names("add")[:4] == ["url", "text", "title", "items"]


def test_every_error_is_a_brain_error() -> None:
    errors = [
        kind
        for name in omeruta.__all__
        if inspect.isclass(kind := getattr(omeruta, name)) and issubclass(kind, Exception)
    ]
    assert len(errors) == 14
    assert all(issubclass(kind, BrainError) for kind in errors)


def test_the_sdk_imports_nothing_of_the_brain() -> None:
    foreign = {"serve_app", "crawler", "deployments", "ray"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            assert not foreign & {name.partition(".")[0] for name in modules}, path
