"""TaskManager: the detached, named actor that owns the task ledger and every ref of the work it starts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import ray
from ray.actor import ActorHandle

from deployments.build import Build
from deployments.errors import to_brain_error
from deployments.handles import RemoteWorker
from deployments.ledger import MANAGER, NAMESPACE
from deployments.replica import start_replica
from serve_app.domain.clock import SystemClock
from serve_app.domain.errors import BadRequest, Unavailable, WorkerLost
from serve_app.domain.ports import Ledger
from serve_app.domain.tasks import TaskEvent
from serve_app.tasks.engine import TaskEngine
from serve_app.tasks.store_sqlite import SqliteTaskStore

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
REPLACE_SECONDS = 120.0
CALLS = frozenset(name for name in vars(Ledger) if not name.startswith("_")) | {
    "subscribe",
    "unsubscribe",
}


@ray.remote
class TaskManager:
    async def __init__(self, settings: Mapping[str, Any], build: Build) -> None:  # type: ignore[misc]
        read = start_replica(settings)
        self._build = build
        self._store = SqliteTaskStore(read.ledger_path)
        self._engine = TaskEngine(self._store, self._workers(), SystemClock(), read)
        await self._engine.start()

    @staticmethod
    def _workers() -> dict[str, Any]:
        return {
            "orchestrator": RemoteWorker("Orchestrator"),
            "crawler": RemoteWorker("Crawler"),
            "knowledge": RemoteWorker("Knowledge"),
            "maintenance": RemoteWorker("Knowledge"),
        }

    async def build(self) -> Build:
        return self._build

    async def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """One method of the `Ledger` port."""
        if method not in CALLS:
            raise BadRequest(f"The ledger has no call named {method}.")
        return await getattr(self._engine, method)(*args, **kwargs)

    async def feed(self, subscriber: str) -> AsyncIterator[Sequence[TaskEvent]]:
        yield ()  # tells the other side that the stream stands
        async for events in self._engine.feed(subscriber):
            yield events

    async def drain(self) -> None:
        """Start nothing more, let running work end for a moment, and close the store. The rest runs again."""
        await self._engine.stop(DRAIN_SECONDS)


def _create(settings: Mapping[str, Any], build: Build) -> ActorHandle[Any]:
    return TaskManager.options(  # type: ignore[attr-defined, no-any-return]
        name=MANAGER,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=10_000,
        num_cpus=0.1,
        # The ledger's file lies on the head's disk.
        resources={"node:__internal_head__": 0.001},
    ).remote(settings, build)


async def ensure_manager(settings: Mapping[str, Any], build: Build) -> None:
    """Have a manager of this build, or of a later one. An older one is drained, ended and replaced.

    Safe to call from many replicas at once: the name is given once, and only a later deploy replaces.
    """
    give_up = time.monotonic() + REPLACE_SECONDS
    while True:
        manager = _create(settings, build)
        try:
            running: Build = await manager.build.remote()
            if not build.replaces(running):
                return
            log.info("replacing the task manager of an earlier deploy")
            await manager.drain.remote()
            ray.kill(manager, no_restart=True)
        except Exception as error:  # supervision: mapped, logged and tried again within a bound
            mapped = to_brain_error(error, "The task manager")
            if not isinstance(mapped, (WorkerLost, Unavailable)) or time.monotonic() > give_up:
                raise mapped from error
            log.info("waiting for the task manager: %s", mapped)
        await asyncio.sleep(0.5)
