"""LLM: one language model engine a replica. The engine batches; Serve only brings requests to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from ray import serve

from deployments.replica import start_replica
from serve_app.domain.errors import Unavailable
from serve_app.domain.language import Delta, Generation
from serve_app.domain.streams import closing
from serve_app.inference.factory import build_language_model


@serve.deployment
class LLM:
    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]
        self._model = build_language_model(start_replica(settings))
        await self._model.start()

    async def name(self) -> str:
        return await self._model.name()

    async def stream(self, request: Generation) -> AsyncIterator[Delta]:
        async with closing(self._model.stream(request)) as stream:
            async for delta in stream:
                yield delta

    async def check_health(self) -> None:
        if not await self._model.healthy():
            raise Unavailable("The language model's engine does not answer.")

    async def __del__(self) -> None:
        await self._model.close()
