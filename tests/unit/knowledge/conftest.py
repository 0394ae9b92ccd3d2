"""A small embedder that can be away, and knowledge bases on disk and in memory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from serve_app.domain.clock import FakeClock
from serve_app.domain.knowledge import PageDraft, WriteKey
from serve_app.domain.language import EmbedderInfo
from serve_app.domain.ports import Vectors
from serve_app.knowledge import KnowledgeBase


class ProbeEmbedder:
    """Bags of hashed words. `error` is raised when set; `texts` holds what was embedded in bulk, which waits at
    the `gate` where there is one."""

    def __init__(self, model: str = "probe", dim: int = 32) -> None:
        self.model, self.dim = model, dim
        self.error: Exception | None = None
        self.texts: list[str] = []
        self.busy = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def info(self) -> EmbedderInfo:
        if self.error:
            raise self.error
        return EmbedderInfo(self.model, self.dim, "probe", "float32")

    async def embed(self, texts: Sequence[str], *, bulk: bool = False) -> Vectors:
        if self.error:
            raise self.error
        if bulk:
            self.texts += texts
            self.busy.set()
            if self.gate:
                await self.gate.wait()
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Vectors:
        total = np.full(self.dim, 1e-3, dtype=np.float32)
        for word in re.findall(r"\w+", text.lower()):
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
            total += np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)
        return total / np.linalg.norm(total)


class Steps:
    """Write keys that are all different."""

    def __init__(self) -> None:
        self._n = 0

    def __call__(self, attempt: int = 1) -> WriteKey:
        self._n += 1
        return WriteKey("task", attempt, f"step {self._n}")


def make_draft(url: str, markdown: str, **more: object) -> PageDraft:
    more.setdefault("title", url.rpartition("/")[2])
    return PageDraft(url=url, fetched_url=url, markdown=markdown, **more)  # type: ignore[arg-type]


@pytest.fixture
def draft() -> Callable[..., PageDraft]:
    return make_draft


@pytest.fixture
def key() -> Steps:
    return Steps()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def embedder() -> ProbeEmbedder:
    return ProbeEmbedder()


@pytest.fixture
def new_embedder() -> type[ProbeEmbedder]:
    return ProbeEmbedder


@pytest.fixture
async def knowledge(embedder: ProbeEmbedder, clock: FakeClock) -> AsyncIterator[KnowledgeBase]:
    base = KnowledgeBase(None, embedder, clock)
    await base.open()
    yield base
    await base.close()


@pytest.fixture
def opened(
    tmp_path: Path, embedder: ProbeEmbedder, clock: FakeClock
) -> Callable[..., contextlib.AbstractAsyncContextManager[KnowledgeBase]]:
    """`async with opened() as base`: the same store on disk, opened again each time."""

    @contextlib.asynccontextmanager
    async def open_(**more: object) -> AsyncIterator[KnowledgeBase]:
        chosen = more.pop("embedder", embedder)
        base = KnowledgeBase(tmp_path / "kb", chosen, clock, **more)  # type: ignore[arg-type]
        await base.open()
        try:
            yield base
        finally:
            await base.close()

    return open_
