"""A deterministic Embedder without weights, for tests: texts that share words have similar vectors.

Each word stands for 64 signs taken from its hash, a text for the sum over its words: random projection
of the bag of words (Achlioptas, "Database-friendly random projections", 2003).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from serve_app.domain.language import EmbedderInfo
from serve_app.domain.ports import Vectors

_DIM = 64
_WORD = re.compile(r"\w+")


class HashEmbedder:
    """Words are compared in lower case; a text without words has a fixed vector of its own."""

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def healthy(self) -> bool:
        return True

    async def info(self) -> EmbedderInfo:
        return EmbedderInfo("hash", _DIM, "hash", "float32")

    async def embed(self, texts: Sequence[str], *, bulk: bool = False) -> Vectors:
        vectors = np.zeros((len(texts), _DIM), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = _vector(text)
        return vectors


def _vector(text: str) -> Vectors:
    total = np.zeros(_DIM, dtype=np.float32)
    for word in _WORD.findall(text.lower()):
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=_DIM // 8).digest()
        total += np.unpackbits(np.frombuffer(digest, dtype=np.uint8)).astype(np.float32) * 2 - 1
    length = float(np.linalg.norm(total))
    if length == 0.0:  # no words, or words that cancel out
        total[0] = length = 1.0
    return total / np.float32(length)
