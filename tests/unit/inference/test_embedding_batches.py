"""Batches of the embedder: queries first, bounded, alike lengths together, nothing mixed up."""

import asyncio

import numpy as np
import pytest

from serve_app.domain.errors import ModelError, Overloaded, TooLarge
from serve_app.inference.batching import BatchQueue, Job, fail, settle


def job(*texts):
    return Job(texts, asyncio.get_running_loop().create_future())


def vectors_of(batch):
    return np.array([[len(item.text), 1.0] for item in batch], dtype=np.float32)


async def test_queries_go_before_bulk_and_are_not_mixed_with_it():
    queue = BatchQueue(8, 100)
    bulk, query = job("b1", "b2", "b3"), job("q")
    queue.add(bulk, bulk=True)
    queue.add(query, bulk=False)
    assert [item.text for item in queue.take()] == ["q"]
    assert [item.text for item in queue.take()] == ["b1", "b2"]
    assert [item.text for item in queue.take()] == ["b3"]
    assert queue.take() == []


async def test_small_calls_share_a_batch():
    queue = BatchQueue(4, 100)
    jobs = [job(c * (5 - i)) for i, c in enumerate("abcde")]
    for one in jobs:
        queue.add(one, bulk=False)
    assert [item.text for item in queue.take()] == ["dd", "ccc", "bbbb", "aaaaa"]
    assert [item.text for item in queue.take()] == ["e"]


async def test_rows_come_back_in_the_order_of_the_call():
    queue = BatchQueue(2, 100)
    one = job("ccc", "a", "bb", "dddd", "a")
    queue.add(one, bulk=False)
    sizes = []
    while batch := queue.take():
        sizes.append(len(batch))
        assert not one.future.done()
        settle(batch, vectors_of(batch))
    assert sizes == [2, 2, 1]
    assert (await one.future)[:, 0].tolist() == [3, 1, 2, 4, 1]


async def test_bounds():
    queue = BatchQueue(2, 4)
    queue.add(job("a", "b", "c"), bulk=True)
    with pytest.raises(Overloaded) as refused:
        queue.add(job("d", "e"), bulk=False)
    assert refused.value.retry_after >= 1
    with pytest.raises(TooLarge):
        queue.add(job(*"abcde"), bulk=False)
    queue.add(job("d"), bulk=False)
    assert len(queue) == 4


async def test_cancelled_calls_are_skipped():
    queue = BatchQueue(4, 100)
    gone, here = job("x", "y"), job("z")
    queue.add(gone, bulk=False)
    queue.add(here, bulk=False)
    gone.future.cancel()
    assert [item.text for item in queue.take()] == ["z"]


async def test_a_call_cancelled_under_way_does_not_disturb_the_others():
    queue = BatchQueue(4, 100)
    gone, here = job("x"), job("zz")
    queue.add(gone, bulk=False)
    queue.add(here, bulk=False)
    batch = queue.take()
    gone.future.cancel()
    settle(batch, vectors_of(batch))
    assert (await here.future)[0, 0] == 2


async def test_a_failed_batch_ends_its_calls_only():
    queue = BatchQueue(1, 100)
    bad, good = job("x", "y"), job("z")
    queue.add(bad, bulk=False)
    queue.add(good, bulk=False)
    fail(queue.take(), ModelError("no"))
    with pytest.raises(ModelError):
        await bad.future
    batch = queue.take()
    assert [item.text for item in batch] == ["z"]
    fail(queue.drain(), ModelError("never"))
    settle(batch, vectors_of(batch))
    assert (await good.future).shape == (1, 2)


async def test_drain_takes_all_out():
    queue = BatchQueue(4, 100)
    queue.add(job("a"), bulk=True)
    queue.add(job("b"), bulk=False)
    assert [item.text for item in queue.drain()] == ["b", "a"]
    assert len(queue) == 0
