"""The embedder's worker, with the arithmetic replaced: order of work, failures, shutdown."""

import asyncio
import threading

import numpy as np
import pytest

from serve_app.domain.errors import ModelError, Unavailable
from serve_app.domain.language import EmbedderInfo
from serve_app.inference.embed_torch import TorchEmbedder
from serve_app.settings import EmbedderSettings


class CountingEmbedder(TorchEmbedder):
    """Records the batches; each waits for `gate`."""

    def __init__(self, tmp_path):
        super().__init__(tmp_path, EmbedderSettings(batch_size=4))
        self.batches, self.gate = [], threading.Event()
        self.gate.set()

    def _load(self):
        return EmbedderInfo("counting", 2, "test", "float32")

    def _encode(self, texts):
        assert self.gate.wait(10)
        self.batches.append(texts)
        if "poison" in texts:
            raise RuntimeError("out of luck")
        if "no text" in texts:
            raise TypeError("out of luck, too")
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


@pytest.fixture
async def embedder(tmp_path):
    embedder = CountingEmbedder(tmp_path)
    await embedder.start()
    yield embedder
    embedder.gate.set()
    await embedder.close()


async def test_a_query_overtakes_bulk_work_that_waits(embedder):
    embedder.gate.clear()
    bulk = asyncio.create_task(embedder.embed(["b1", "b2", "b3"], bulk=True))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    query = asyncio.create_task(embedder.embed(["query"]))
    await asyncio.sleep(0)
    embedder.gate.set()
    assert (await query).shape == (1, 2)
    assert (await bulk).shape == (3, 2)
    assert embedder.batches.index(["query"]) <= 1


async def test_a_failed_batch_leaves_the_embedder_working(embedder, caplog):
    for text in ("poison", "no text"):
        with pytest.raises(ModelError, match="out of luck"):
            await embedder.embed([text])
    assert (await embedder.embed(["fine"])).tolist() == [[4, 1]]
    assert await embedder.healthy()


async def test_closing_tells_whoever_waits(embedder):
    embedder.gate.clear()
    waiting = asyncio.create_task(embedder.embed(["a", "b"], bulk=True))
    await asyncio.sleep(0.01)
    await embedder.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await embedder.embed(["late"])
    assert not await embedder.healthy()
