"""The search index over vectors: a cache of the store that can always be built again from it.

`FaissIndex` scans all vectors in half precision (`IndexScalarQuantizer`, `QT_fp16`): exact for what the
store holds, no training, deletes at once, about 5 ms of CPU a query at 100,000 chunks of 384 dimensions.
`MemoryIndex` does the same in numpy and is its fake.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from serve_app.domain.ports import Vectors

log = logging.getLogger(__name__)

Ids = NDArray[np.int64]  # chunk ids, shape (n,)


class SearchIndex(Protocol):
    """Vectors of length 1 by chunk id. Safe to use from several threads."""

    kind: str
    dim: int

    def __len__(self) -> int: ...

    def ids(self) -> Ids:
        """In ascending order."""
        ...

    def put(self, ids: Sequence[int] | Ids, vectors: Vectors) -> None:
        """Add or replace; ids are distinct, vectors (len(ids), dim)."""
        ...

    def remove(self, ids: Sequence[int]) -> None:
        """Unknown ids are passed over."""
        ...

    def search(
        self, vector: NDArray[np.float32], limit: int, allowed: Ids | None = None
    ) -> list[tuple[int, float]]:
        """Up to `limit` (id, cosine), best first, among `allowed` ids where given."""
        ...


class MemoryIndex:
    """Brute force over a dictionary."""

    kind = "memory"

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._vectors: dict[int, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    def ids(self) -> Ids:
        with self._lock:
            return np.array(sorted(self._vectors), dtype=np.int64)

    def put(self, ids: Sequence[int] | Ids, vectors: Vectors) -> None:
        with self._lock:
            self._vectors.update(zip((int(i) for i in ids), vectors, strict=True))

    def remove(self, ids: Sequence[int]) -> None:
        with self._lock:
            for chunk_id in ids:
                self._vectors.pop(chunk_id, None)

    def search(
        self, vector: NDArray[np.float32], limit: int, allowed: Ids | None = None
    ) -> list[tuple[int, float]]:
        with self._lock:
            wanted = self._vectors.keys() if allowed is None else {int(i) for i in allowed}
            held = [(i, v) for i, v in self._vectors.items() if i in wanted]
        scores = [(i, float(v @ vector)) for i, v in held]
        return sorted(scores, key=lambda pair: (-pair[1], pair[0]))[:limit]


class FaissIndex:
    """FAISS, all vectors scanned. One lock: a search takes milliseconds and a put less."""

    kind = "faiss-flat-fp16"

    def __init__(self, dim: int) -> None:
        self.dim = dim
        flat = faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        self._index: Any = faiss.IndexIDMap2(flat)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> Ids:
        with self._lock:
            return np.sort(faiss.vector_to_array(self._index.id_map)).astype(np.int64)

    def put(self, ids: Sequence[int] | Ids, vectors: Vectors) -> None:
        keys = np.asarray(ids, dtype=np.int64)
        with self._lock:
            # `add_with_ids` of a known id would make a second entry.
            if self._index.ntotal:
                self._index.remove_ids(faiss.IDSelectorBatch(keys))
            self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), keys)

    def remove(self, ids: Sequence[int]) -> None:
        if ids:
            with self._lock:
                self._index.remove_ids(faiss.IDSelectorBatch(np.asarray(ids, dtype=np.int64)))

    def search(
        self, vector: NDArray[np.float32], limit: int, allowed: Ids | None = None
    ) -> list[tuple[int, float]]:
        parameters = None
        if allowed is not None:
            selector = faiss.IDSelectorBatch(allowed)
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
        with self._lock:
            scores, ids = self._index.search(query, limit, params=parameters)
        return [
            (int(i), float(score)) for i, score in zip(ids[0], scores[0], strict=True) if i >= 0
        ]

    def save(self, path: Path, generation: int, embedder: str) -> None:
        """Write the file whole or not at all, marked with what of the store it mirrors."""
        with self._lock:
            body = faiss.serialize_index(self._index).tobytes()
        head = {
            "kind": self.kind,
            "dim": self.dim,
            "generation": generation,
            "embedder": embedder,
            "crc32": zlib.crc32(body),
        }
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            file.write(json.dumps(head).encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    @classmethod
    def load(cls, path: Path, dim: int, generation: int, embedder: str) -> FaissIndex | None:
        """The saved index; None when the file is missing, damaged or mirrors something else."""
        try:
            head_line, _, body = path.read_bytes().partition(b"\n")
            head = json.loads(head_line)
            wanted = {"kind": cls.kind, "dim": dim, "generation": generation, "embedder": embedder}
            if {name: head[name] for name in wanted} != wanted or head["crc32"] != zlib.crc32(body):
                return None
            index = cls(dim)
            index._index = faiss.deserialize_index(np.frombuffer(body, dtype=np.uint8))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            log.warning("The saved search index cannot be read and is built again: %s", error)
            return None
        return index
