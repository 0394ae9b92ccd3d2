"""Embedder: texts to vectors, in dynamic batches, queries first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ray import serve

from deployments.replica import start_replica
from serve_app.domain.errors import Unavailable
from serve_app.domain.language import EmbedderInfo
from serve_app.domain.ports import Vectors
from serve_app.inference.factory import build_embedder


@serve.deployment
class Embedder:
    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]
        self._embedder = build_embedder(start_replica(settings))
        await self._embedder.start()

    async def info(self) -> EmbedderInfo:
        return await self._embedder.info()

    async def embed(self, texts: Sequence[str], *, bulk: bool = False) -> Vectors:
        return await self._embedder.embed(texts, bulk=bulk)

    async def check_health(self) -> None:
        if not await self._embedder.healthy():
            raise Unavailable("The embedder does not answer.")

    async def __del__(self) -> None:
        await self._embedder.close()
