"""Only the modules of the table in docs/operations/connections.md may open a connection."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("serve_app", "crawler", "deployments", "omeruta")
TABLE = ROOT / "docs" / "operations" / "connections.md"
CLIENTS = {
    "aiohttp",
    "asyncpg",
    "ftplib",
    "grpc",
    "http.client",
    "httpx",
    "huggingface_hub",
    "imaplib",
    "poplib",
    "psycopg",
    "pycurl",
    "redis",
    "requests",
    "smtplib",
    "socket",
    "socketserver",
    "telnetlib",
    "trafilatura.downloads",
    "urllib.request",
    "urllib3",
    "websocket",
    "websockets",
    "xmlrpc.client",
}
CALLS = {
    "create_connection",
    "create_datagram_endpoint",
    "fetch_response",
    "fetch_url",
    "open_connection",
    "sock_connect",
    "urlopen",
}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def opens_connections(source: str) -> bool:
    tree = ast.parse(source)
    names = {".".join(name.split(".")[:length]) for name in imported(tree) for length in (1, 2)}
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    return bool(names & CLIENTS or called & CALLS)


def test_the_table_names_exactly_the_modules_that_connect() -> None:
    found = {str(p.relative_to(ROOT)) for p in modules() if opens_connections(p.read_text())}
    listed = set(re.findall(r"^\| `([^`]+\.py)` \|", TABLE.read_text(), re.MULTILINE))
    assert found == listed


def test_in_the_crawler_one_module_holds_the_client() -> None:
    holders = set()
    for path in (ROOT / "crawler").rglob("*.py"):
        if any(name.split(".")[0] == "aiohttp" for name in imported(ast.parse(path.read_text()))):
            holders.add(path.name)
    assert holders == {"fetch.py", "resolve.py"}


@pytest.mark.parametrize(
    "source",
    [
        "import httpx",
        "from urllib.request import urlopen",
        "from urllib import request",
        "import http.client as h",
        "from aiohttp.client import ClientSession",
        "async def f(): await asyncio.open_connection('a', 1)",
        "import trafilatura\ntrafilatura.fetch_url('http://a')",
    ],
)
def test_the_scan_sees_a_way_out(source: str) -> None:
    assert opens_connections(source)


def test_the_scan_lets_the_rest_be() -> None:
    assert not opens_connections(
        "from urllib.parse import quote\nfrom starlette.websockets import WebSocket"
    )
