"""Both search indexes do the same; a saved index is used only when it mirrors the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.knowledge.index import FaissIndex, MemoryIndex, SearchIndex

DIM = 16
VECTORS = np.random.default_rng(7).standard_normal((40, DIM)).astype(np.float16)
UNIT = VECTORS.astype(np.float32)
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)
UNIT = UNIT.astype(np.float16).astype(np.float32)


@pytest.fixture(params=[MemoryIndex, FaissIndex])
def index(request: pytest.FixtureRequest) -> SearchIndex:
    made: SearchIndex = request.param(DIM)
    return made


def test_the_nearest_come_first(index: SearchIndex) -> None:
    index.put(range(100, 140), UNIT)
    found = index.search(UNIT[7], 5)
    assert found[0] == (107, pytest.approx(1.0, abs=1e-2))
    exact = np.argsort(-(UNIT @ UNIT[7]))[:5] + 100
    assert [chunk_id for chunk_id, _ in found] == exact.tolist()


def test_an_empty_index_finds_nothing(index: SearchIndex) -> None:
    assert index.search(UNIT[0], 5) == []
    index.remove([1])
    assert (len(index), index.ids().tolist()) == (0, [])


def test_a_put_of_a_known_id_replaces(index: SearchIndex) -> None:
    index.put([1, 2], UNIT[:2])
    index.put([2], UNIT[5:6])
    assert index.ids().tolist() == [1, 2]
    assert index.search(UNIT[5], 1)[0][0] == 2


def test_removed_ids_are_never_found(index: SearchIndex) -> None:
    index.put(range(40), UNIT)
    index.remove([3, 4, 99])
    assert len(index) == 38
    assert not {3, 4} & {chunk_id for chunk_id, _ in index.search(UNIT[3], 40)}


def test_only_allowed_ids_are_found(index: SearchIndex) -> None:
    index.put(range(40), UNIT)
    allowed = np.array([5, 6, 77], dtype=np.int64)
    assert {chunk_id for chunk_id, _ in index.search(UNIT[0], 9, allowed)} == {5, 6}
    assert index.search(UNIT[0], 9, allowed[:0]) == []


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 39), max_size=6)), max_size=12))
@settings(max_examples=25, deadline=None)
def test_both_hold_the_same_after_any_changes(changes: list[tuple[bool, set[int]]]) -> None:
    indexes = (MemoryIndex(DIM), FaissIndex(DIM))
    for is_put, ids in changes:
        for index in indexes:
            if is_put and ids:
                index.put(sorted(ids), UNIT[sorted(ids)])
            else:
                index.remove(sorted(ids))
    memory, faiss = (index.search(UNIT[0], 40) for index in indexes)
    assert [i for i, _ in memory] == [i for i, _ in faiss]
    assert indexes[0].ids().tolist() == indexes[1].ids().tolist()


def test_a_saved_index_comes_back(tmp_path: Path) -> None:
    index = FaissIndex(DIM)
    index.put(range(40), UNIT)
    index.save(tmp_path / "i", 7, "model")
    loaded = FaissIndex.load(tmp_path / "i", DIM, 7, "model")
    assert loaded is not None
    assert loaded.search(UNIT[3], 9) == index.search(UNIT[3], 9)
    loaded.remove([3])
    assert len(loaded) == 39
    assert [p.name for p in tmp_path.iterdir()] == ["i"]


def test_another_generation_embedder_or_shape_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "i"
    FaissIndex(DIM).save(path, 7, "model")
    assert FaissIndex.load(path, DIM, 8, "model") is None
    assert FaissIndex.load(path, DIM, 7, "other") is None
    assert FaissIndex.load(path, 32, 7, "model") is None
    assert FaissIndex.load(tmp_path / "none", DIM, 7, "model") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "words", "list"])
def test_a_damaged_file_is_not_loaded(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "i"
    index = FaissIndex(DIM)
    index.put(range(40), UNIT)
    index.save(path, 7, "model")
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-30] ^= 0xFF
    path.write_bytes(
        {
            "cut": good[: len(good) // 2],
            "flip": bytes(flipped),
            "empty": b"",
            "words": b"hello\nworld",
            "list": b"[1]\n",
        }[damage]
    )
    assert FaissIndex.load(path, DIM, 7, "model") is None
