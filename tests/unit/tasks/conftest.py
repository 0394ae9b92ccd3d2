"""A task engine on a clock that stands still, for tests of what happens when."""

import asyncio
from collections import Counter

import pytest

from serve_app.domain.clock import FakeClock
from serve_app.domain.people import Principal, Role
from serve_app.domain.tasks import TaskSpec
from serve_app.settings import Settings
from serve_app.tasks import MemoryTaskStore, TaskEngine
from serve_app.tasks.scripted import ScriptedWorker, result


class Bench:
    """An engine with scripted workers; every stop and start keeps store and clock."""

    owner = Principal("ann", "Ann", Role.OWNER, "none")

    def __init__(self, home):
        self.store = MemoryTaskStore()
        self.clock = FakeClock()
        self.settings = Settings(home=home)
        self.workers = {"knowledge": ScriptedWorker([result()])}
        self.engine = None

    async def start(self, *script, **settings):
        """With `script` as the first attempt of chats and crawls, unless workers were set by hand."""
        if script:
            self.workers |= {
                "orchestrator": ScriptedWorker(script),
                "crawler": ScriptedWorker(script),
            }
        if settings:
            self.settings = self.settings.model_copy(update=settings)
        self.engine = TaskEngine(self.store, self.workers, self.clock, self.settings)
        await self.engine.start()
        return self.engine

    async def submit(self, kind="chat", **spec):
        return await self.engine.submit(TaskSpec(kind, {"message": "Hi"}, "ann", **spec))

    async def get(self, task):
        return await self.engine.get(task.id, self.owner)

    async def settle(self):
        """Let everything that can run without time passing run."""
        await self.clock.advance(0)
        for _ in range(100):
            await asyncio.sleep(0)

    async def log(self, task):
        page = await self.store.events(task.id, 0, 10_000)
        assert [event.seq for event in page.events] == list(range(1, len(page.events) + 1))
        return page.events

    async def types(self, task):
        return [event.type for event in await self.log(task)]

    async def kinds_waiting(self):
        return Counter(task.kind for task in await self.store.unfinished())


@pytest.fixture
async def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    if made.engine is not None:
        await made.engine.stop(0.0)
