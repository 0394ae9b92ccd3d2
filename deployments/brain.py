"""Brain: the door. HTTP, WebSocket, SSE and the web page; no state of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import Any

from fastapi import FastAPI
from ray import serve

from deployments.build import Build
from deployments.handles import RemoteEmbedder, RemoteKnowledge, RemoteLanguageModel
from deployments.ledger import RemoteLedger
from deployments.replica import start_replica
from deployments.task_manager import ensure_manager
from serve_app.api.app import create_api
from serve_app.api.services import Services
from serve_app.domain.errors import BrainError

log = logging.getLogger(__name__)

PROBE_SECONDS = 3.0
KEEP_SECONDS = 10.0


@serve.deployment
@serve.ingress()
class Brain:
    async def __init__(self, settings: Mapping[str, Any], build: Build, *_parts: object) -> None:  # type: ignore[misc]
        self._settings = start_replica(settings)
        await ensure_manager(settings, build)
        self._keeper = asyncio.create_task(_keep_manager(settings, build))
        self._ledger = RemoteLedger()
        self._knowledge = RemoteKnowledge()
        self._model = RemoteLanguageModel()
        self._embedder = RemoteEmbedder()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_api(
            Services(
                ledger=self._ledger,
                knowledge=self._knowledge,
                language_model=self._model,
                embedder=self._embedder,
                settings=self._settings,
                health=self._health,
            )
        )

    async def _health(self) -> Mapping[str, Any]:
        """Each part by name: `ok`, or a sentence why not."""
        probes: dict[str, Awaitable[Any]] = {
            "ledger": self._ledger.queues(),
            "knowledge": self._knowledge.stats(),
            "language_model": self._model.name(),
            "embedder": self._embedder.info(),
        }
        found = await asyncio.gather(*(_probe(work) for work in probes.values()))
        return dict(zip(probes, found, strict=True))

    async def __del__(self) -> None:
        self._keeper.cancel()
        await self._ledger.close()


async def _keep_manager(settings: Mapping[str, Any], build: Build) -> None:
    """Ray restarts a manager that dies, but gives up on one that can not start (a full disk): then make it again."""
    while True:
        await asyncio.sleep(KEEP_SECONDS)
        try:
            await ensure_manager(settings, build)
        except Exception as error:  # noqa: BLE001 - supervision: whatever it is, the next round tries again
            log.warning("the task manager could not be made: %s", error)


async def _probe(work: Awaitable[Any]) -> str:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await work
    except TimeoutError:
        return f"no answer within {PROBE_SECONDS:.0f} s"
    except BrainError as error:
        return error.message
    return "ok"
