"""LanguageModel on vLLM's AsyncLLM, for nodes with a GPU. vLLM batches by itself; we bound its queue.

The package is imported on `start` only: it is the extra `gpu` and takes seconds and gigabytes.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

from serve_app.domain.errors import BadRequest, ConfigError, ModelError, Unavailable
from serve_app.domain.language import Delta, Generation
from serve_app.inference.generation import check_generation, overloaded
from serve_app.inference.templates import recognise
from serve_app.settings import LLMSettings

_TINYLLAMA = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
_SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
_NAMES = {"auto": _TINYLLAMA, "tinyllama": _TINYLLAMA, "smollm2": _SMOLLM2}


class VllmModel:
    """`settings.model` is a Hugging Face name or folder; its chat template is ours, chosen by that name."""

    def __init__(self, settings: LLMSettings) -> None:
        self._settings = settings
        self._model = _NAMES.get(settings.model, settings.model)
        self._template = recognise(self._model)
        self._engine: Any = None
        self._open = 0

    async def name(self) -> str:
        return self._model.rsplit("/", 1)[-1]

    async def start(self) -> None:
        """Raises ConfigError without the package, ModelError when vLLM cannot load the model."""
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise ConfigError(
                "llm.engine is `vllm`, but vLLM is not installed: install the extra `gpu`, "
                "or set llm.engine to `llamacpp`."
            ) from error
        try:
            slots = self._settings.slots  # the context's length stays the model's own
            arguments = AsyncEngineArgs(model=self._model, max_num_seqs=slots)
            self._engine = AsyncLLM.from_engine_args(arguments)
        except (ValueError, RuntimeError, OSError) as error:
            raise ModelError(f"vLLM cannot load {self._model}: {error}") from error

    async def close(self) -> None:
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None

    async def healthy(self) -> bool:
        return self._engine is not None and not self._engine.errored

    async def stream(self, request: Generation) -> AsyncIterator[Delta]:
        """Raises Overloaded, BadRequest, Unavailable. Closing the iterator aborts the request in vLLM."""
        check_generation(request)
        if self._engine is None:
            raise Unavailable("The language model is not running.")
        slots = self._settings.slots
        if self._open >= slots + self._settings.max_queue:
            raise overloaded(self._open - slots, slots, seconds_each=5.0)
        prompt, params = self._template.render(request.messages).text, self._params(request)
        self._open += 1
        written = 0
        outputs = self._engine.generate(prompt, params, request_id=uuid.uuid4().hex)
        try:
            async for output in outputs:
                piece = output.outputs[0]
                written += len(piece.token_ids)
                if output.finished:
                    reason = "length" if piece.finish_reason == "length" else "stop"
                    yield Delta(piece.text, reason, len(output.prompt_token_ids or ()), written)
                elif piece.text:
                    yield Delta(piece.text)
        except ValueError as error:  # vLLM's answer to a prompt that does not fit
            raise BadRequest(f"The model cannot take this prompt: {error}") from error
        finally:
            self._open -= 1
            await outputs.aclose()

    def _params(self, request: Generation) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            repetition_penalty=request.repeat_penalty,
            stop=[*request.stop, *self._template.stop],
            output_kind=RequestOutputKind.DELTA,
        )
