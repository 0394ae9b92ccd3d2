"""The JSON search API against a server on this machine that answers well, oddly, too much, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from serve_app.agents import providers
from serve_app.agents.providers import JsonSearchProvider
from serve_app.domain.errors import ConfigError, Unavailable
from serve_app.settings import SearchSettings

RESULTS = [
    {"url": "https://a.example/1", "title": "One", "snippet": "First " * 200},
    {"link": "https://a.example/2", "name": "Two", "description": "Second"},
    {"url": "ftp://a.example/3"},
    {"url": "https://a.example/" + "x" * 3000},
    {"title": "no address"},
    "not an object",
    {"url": 7},
]


class StandIn:
    """Answers with `body` and keeps the requests it got."""

    def __init__(self) -> None:
        self.url = ""
        self.body: Any = {"results": RESULTS}
        self.status = 200
        self.delay = 0.0
        self.requests: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        await asyncio.sleep(self.delay)
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Location": "https://elsewhere.example/"} if self.status == 302 else {}
        return web.Response(status=self.status, body=body, headers=headers)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    api = StandIn()
    app = web.Application()
    app.router.add_get("/search", api.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    api.url = f"http://{host}:{port}/search?lang=en"
    try:
        yield api
    finally:
        await runner.cleanup()


async def test_results_are_read_in_their_usual_spellings_and_odd_ones_left_out(
    stand_in: StandIn,
) -> None:
    found = await JsonSearchProvider(SearchSettings(url=stand_in.url)).find("tide & mill", 5)
    assert [(c.url, c.title) for c in found] == [
        ("https://a.example/1", "One"),
        ("https://a.example/2", "Two"),
    ]
    assert len(found[0].snippet) == 300
    (request,) = stand_in.requests
    assert dict(request.query) == {"lang": "en", "q": "tide & mill"}
    assert "Authorization" not in request.headers


async def test_token_parameter_and_path_are_settings(stand_in: StandIn, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    stand_in.body = {"web": {"results": RESULTS}}
    settings = SearchSettings(
        url=stand_in.url, token_file=str(secret), query_param="query", results_field="web.results"
    )
    assert len(await JsonSearchProvider(settings).find("mill", 1)) == 1
    (request,) = stand_in.requests
    assert request.headers["Authorization"] == "Bearer s3cret"
    assert request.query["query"] == "mill"


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (500, b"", "answered 500"),
        (302, b"", "answered 302"),
        (200, b"<html>", "did not answer with JSON"),
        (200, b"\xff\xfe\xfa", "did not answer with JSON"),
        (200, b"[" * 100_000, "did not answer with JSON"),
        (200, b"[]", "has no list “results”"),
        (200, b'{"results": {"a": 1}}', "has no list “results”"),
        (200, b" " * (providers.MAX_BODY + 1), "too large"),
    ],
)
async def test_malformed_answers_are_sentences(
    stand_in: StandIn, status: int, body: bytes, sentence: str
) -> None:
    stand_in.status, stand_in.body = status, body
    with pytest.raises(Unavailable, match=sentence):
        await JsonSearchProvider(SearchSettings(url=stand_in.url)).find("mill", 5)


async def test_a_slow_or_absent_api_is_unavailable(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(providers, "TIMEOUT", 0.05)
    stand_in.delay = 1.0
    absent = str(tmp_path / "none")
    for settings in (
        SearchSettings(url=stand_in.url),
        SearchSettings(url="http://127.0.0.1:9/search"),
        SearchSettings(url=stand_in.url, token_file=absent),
    ):
        with pytest.raises(Unavailable, match="could not be reached"):
            await JsonSearchProvider(settings).find("mill", 5)


@pytest.mark.parametrize(
    "url", ["", "http://search.example/", "ftp://x/", "nonsense", "https://", "http://[::1"]
)
def test_the_address_must_be_https(url: str) -> None:
    with pytest.raises(ConfigError):
        JsonSearchProvider(SearchSettings(url=url))
