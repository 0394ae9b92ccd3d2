"""A thin typed face of llama.cpp: one model, one context, the dozen calls that batching needs.

Everything here must be called from ONE thread, the one that made the object. A context is not safe to
share, and each further thread that enters an OpenMP region gets a team of its own, which costs a third
of the decode speed.

Imports llama_cpp on import; only the engine thread imports this module.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import llama_cpp as llama

from serve_app.domain.errors import ModelError
from serve_app.domain.language import Generation
from serve_app.inference.engine import Row
from serve_app.inference.templates import Segment

logger = logging.getLogger(__name__)

_TOP_K = 40
_PENALTY_WINDOW = 64  # tokens back that the repeat penalty looks
_LEVELS = {3: logging.WARNING, 4: logging.ERROR}  # ggml.h; the rest is talk for its developers


def _log(level: int, text: bytes, _: Any) -> None:
    logger.log(_LEVELS.get(level, logging.DEBUG), "%s", text.decode("utf-8", "replace").rstrip())


_LOG_CALLBACK = llama.llama_log_callback(_log)  # llama.cpp keeps the pointer; this keeps the object


class LlamaContext:
    """Loads a model whose file has been verified. Raises ModelError when llama.cpp refuses it.

    `pool`: tokens in the shared cache. `batch`: most rows of one `decode`. `sequences`: ids 0..n-1.
    """

    def __init__(self, path: Path, *, pool: int, batch: int, sequences: int, threads: int) -> None:
        llama.llama_log_set(_LOG_CALLBACK, ctypes.c_void_p(0))
        llama.llama_backend_init()
        self._model = llama.llama_model_load_from_file(
            str(path).encode(), llama.llama_model_default_params()
        )
        if not self._model:
            raise ModelError(f"llama.cpp cannot load the model file {path}.")
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = pool, batch, batch
        params.n_seq_max, params.kv_unified = sequences, True
        params.n_threads = params.n_threads_batch = threads
        self._context = llama.llama_init_from_model(self._model, params)
        if not self._context:
            llama.llama_model_free(self._model)
            raise ModelError(f"llama.cpp has no room for a context of {pool} tokens.")
        self._vocab = llama.llama_model_get_vocab(self._model)
        self._memory = llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(batch, 0, 1)
        self.trained_context = int(llama.llama_model_n_ctx_train(self._model))

    def tokenise(self, segments: Iterable[Segment]) -> list[int]:
        """Special tokens are recognised in control segments only."""
        tokens: list[int] = []
        for segment in segments:
            data = segment.text.encode("utf-8", "replace")
            room = len(data) + 8  # a token has at least one byte; some models add a leading space
            buffer = (llama.llama_token * room)()
            count = llama.llama_tokenize(
                self._vocab, data, len(data), buffer, room, False, segment.control
            )
            if count < 0:
                raise ModelError("The model's tokeniser failed on the prompt.")
            tokens += buffer[:count]
        return tokens

    def opening(self) -> list[int]:
        """What the model expects before any text: its begin token, or nothing."""
        if llama.llama_vocab_get_add_bos(self._vocab):
            return [int(llama.llama_vocab_bos(self._vocab))]
        return []

    def piece(self, token: int) -> bytes:
        """The bytes of a token, possibly a part of a character. Control tokens have none."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def ends(self, token: int) -> bool:
        """Whether the answer ends with this token: an end mark, or any other mark of the template."""
        return bool(
            llama.llama_vocab_is_eog(self._vocab, token)
            or llama.llama_vocab_is_control(self._vocab, token)
        )

    def decode(self, rows: list[Row]) -> int:
        """Compute the rows as one batch. 0: done; engine.NO_ROOM: nothing done; else broken."""
        batch = self._batch
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        batch.n_tokens = len(rows)
        return int(llama.llama_decode(self._context, batch))

    def copy(self, source: int, target: int, count: int) -> None:
        """Let `target` share the first `count` positions of `source`; no data is moved."""
        llama.llama_memory_seq_cp(self._memory, source, target, 0, count)

    def clear(self, sequence: int) -> None:
        """Forget a whole sequence. Cells shared with another stay with that one."""
        llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def sampler(self, request: Generation) -> Any:
        """A sampler chain for a request, in llama.cpp's own order; to be given back to `free_sampler`."""
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        links = []
        if request.repeat_penalty != 1.0:
            vocabulary = llama.llama_vocab_n_tokens(self._vocab)
            links.append(
                llama.llama_sampler_init_penalties(
                    vocabulary, _PENALTY_WINDOW, request.repeat_penalty, 0.0, 0.0
                )
            )
        if request.temperature == 0:
            links.append(llama.llama_sampler_init_greedy())
        else:
            links.append(llama.llama_sampler_init_top_k(_TOP_K))
            links.append(llama.llama_sampler_init_top_p(request.top_p, 1))
            links.append(llama.llama_sampler_init_temp(request.temperature))
            links.append(llama.llama_sampler_init_dist(request.seed))
        for link in links:
            llama.llama_sampler_chain_add(chain, link)
        return chain

    def free_sampler(self, sampler: Any) -> None:
        llama.llama_sampler_free(sampler)

    def sample(self, sampler: Any, row: int) -> int:
        """The next token after a row of the last `decode`; the sampler remembers it."""
        return int(llama.llama_sampler_sample(sampler, self._context, row))

    def close(self) -> None:
        llama.llama_batch_free(self._batch)
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)
