"""Embedder on sentence-transformers and torch: one worker thread, dynamic batches.

torch and its thread team live on the one worker thread; torch is imported there too, on `start`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from serve_app.domain.errors import ConfigError, ModelError, Unavailable
from serve_app.domain.language import EmbedderInfo
from serve_app.domain.ports import Vectors
from serve_app.inference import weights
from serve_app.inference.batching import BatchQueue, Item, Job, fail, settle
from serve_app.inference.machine import cores, has_bfloat16
from serve_app.settings import EmbedderSettings

logger = logging.getLogger(__name__)

_DTYPES = ("auto", "float32", "bfloat16")


class TorchEmbedder:
    """Loads the sentence-transformers folder `path`. `sums`: file -> sha256 that is checked before the load."""

    def __init__(
        self, path: Path, settings: EmbedderSettings, sums: Mapping[str, str] | None = None
    ) -> None:
        if settings.dtype not in _DTYPES:
            raise ConfigError(f"embedder.dtype is `{settings.dtype}`; it may be {_DTYPES}.")
        self._path = path
        self._settings = settings
        self._sums = sums or {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._queue = BatchQueue(settings.batch_size, settings.max_queue)
        self._model: Any = None
        self._info: EmbedderInfo | None = None
        self._arrived = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Verify and load the weights. Raises ModelError or ConfigError."""
        loop = asyncio.get_running_loop()
        self._info = await loop.run_in_executor(self._worker, self._load)
        self._pump = asyncio.create_task(self._run(), name="embedder")

    async def close(self) -> None:
        """Waiting calls end with Unavailable. Safe to call twice."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def healthy(self) -> bool:
        return self._pump is not None and not self._pump.done()

    async def info(self) -> EmbedderInfo:
        if self._info is None:
            raise Unavailable("The embedder is not running.")
        return self._info

    async def embed(self, texts: Sequence[str], *, bulk: bool = False) -> Vectors:
        """(len(texts), dim) float32. Raises Overloaded, TooLarge, Unavailable."""
        dim = (await self.info()).dim
        if self._pump is None or self._pump.done():
            raise Unavailable("The embedder is not running.")
        if not texts:
            return np.zeros((0, dim), dtype=np.float32)
        job = Job(list(texts), asyncio.get_running_loop().create_future())
        self._queue.add(job, bulk=bulk)
        self._arrived.set()
        return await job.future

    async def _run(self) -> None:
        """Batch after batch; a batch that fails takes its own calls with it and no others."""
        loop = asyncio.get_running_loop()
        batch: list[Item] = []
        try:
            while True:
                batch = self._queue.take()
                if not batch:
                    self._arrived.clear()
                    await self._arrived.wait()
                    continue
                try:
                    vectors = await loop.run_in_executor(
                        self._worker, self._encode, [item.text for item in batch]
                    )
                except Exception as error:
                    # Supervision: one odd text (tokenisers raise TypeError too) must not end all embedding.
                    logger.exception("A batch of %d texts could not be embedded", len(batch))
                    fail(batch, ModelError(f"The embedder failed: {error}"))
                else:
                    settle(batch, vectors)
        finally:
            fail([*batch, *self._queue.drain()], Unavailable("The embedder is shutting down."))

    def _load(self) -> EmbedderInfo:
        """On the worker thread."""
        weights.verify(self._path, self._sums)
        os.environ["HF_HUB_OFFLINE"] = "1"  # read on import; a folder must never send us out
        try:
            import torch
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise ConfigError(
                "The torch embedder needs sentence-transformers and torch (extra `server`)."
            ) from error
        disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(self._settings.threads or cores())
        device = self._settings.device
        try:
            model = SentenceTransformer(str(self._path), device=device, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"The embedder in {self._path} cannot be loaded: {error}") from error
        dtype = self._settings.dtype
        if dtype == "auto":
            dtype = "bfloat16" if device == "cpu" and has_bfloat16() else "float32"
        if dtype == "bfloat16":
            model.bfloat16()
        self._model = model.eval()
        dim = len(self._encode(["dimension"])[0])
        return EmbedderInfo(self._path.name, dim, "torch", dtype)

    def _encode(self, texts: list[str]) -> Vectors:
        """On the worker thread. Normalised in float32, so that bfloat16 rounding does not bend lengths."""
        tensor = self._model.encode(
            texts,
            batch_size=len(texts),
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        vectors: Vectors = tensor.float().cpu().numpy()
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = vectors / np.maximum(lengths, np.float32(1e-12))
        return unit
