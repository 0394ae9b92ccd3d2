"""Handles as ports, on a stand-in for Serve: what is let go, and what is said when a part is not there."""

import warnings
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Self, cast

import pytest

from serve_app.domain.errors import Unavailable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own modules warn of each other while they are imported
    from deployments import handles
    from deployments.handles import Remote, RemoteCrawler, RemoteKnowledge, RemoteWorker


class FakeHandle:
    """Each method streams numbers for ever; `cancelled` counts the requests that were let go."""

    def __init__(self) -> None:
        self.cancelled = 0

    def options(self, *, stream: bool) -> Self:
        return self

    def __getattr__(self, method: str) -> Self:
        return self

    def remote(self, *args: Any) -> Self:
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    async def __aiter__(self) -> AsyncIterator[int]:
        number = 0
        while True:
            number += 1
            yield number


@pytest.mark.parametrize(
    "open_stream",
    [
        lambda: RemoteWorker("Orchestrator").run(cast(Any, None)),
        lambda: RemoteCrawler().crawl(cast(Any, None)),
        lambda: RemoteKnowledge().export(),
        lambda: handles.RemoteLanguageModel().stream(cast(Any, None)),
    ],
)
async def test_a_stream_that_is_left_lets_the_request_go_at_once(
    open_stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = FakeHandle()
    monkeypatch.setattr(handles.serve, "get_deployment_handle", lambda name, app: handle)
    async with aclosing(open_stream()) as stream:
        assert await anext(stream) == 1
        assert handle.cancelled == 0
    assert handle.cancelled == 1


async def test_a_part_that_is_not_deployed_is_away_and_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str, app: str) -> Any:
        raise KeyError(f"{name} does not exist.")

    monkeypatch.setattr(handles.serve, "get_deployment_handle", missing)
    with pytest.raises(Unavailable, match="Crawler is not deployed yet"):
        await Remote("Crawler").call("crawl")
