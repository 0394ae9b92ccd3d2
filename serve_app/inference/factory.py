"""Settings -> the language model and the embedder they ask for. Light to import: engines load their
libraries on `start`.
"""

from __future__ import annotations

from typing import Protocol

from serve_app.domain.errors import ConfigError
from serve_app.domain.ports import Embedder, LanguageModel
from serve_app.inference import weights
from serve_app.inference.echo import EchoModel
from serve_app.inference.embed_hash import HashEmbedder
from serve_app.inference.embed_torch import TorchEmbedder
from serve_app.inference.llamacpp import LlamaCppModel
from serve_app.inference.vllm import VllmModel
from serve_app.settings import Settings


class Managed(Protocol):
    """A thing with a life: `start` before use, `close` after; `healthy` for whoever watches it."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def healthy(self) -> bool: ...


class ManagedModel(LanguageModel, Managed, Protocol):
    """A LanguageModel with a life."""


class ManagedEmbedder(Embedder, Managed, Protocol):
    """An Embedder with a life."""


def build_language_model(settings: Settings) -> ManagedModel:
    """Not started yet. Raises ConfigError (unknown engine) or ModelError (weights not set up)."""
    match settings.llm.engine:
        case "llamacpp":
            return LlamaCppModel(weights.resolve_language_model(settings), settings.llm)
        case "vllm":
            return VllmModel(settings.llm)
        case "echo":
            return EchoModel(settings.llm)
        case other:
            raise ConfigError(f"llm.engine is `{other}`; it may be llamacpp, vllm or echo.")


def build_embedder(settings: Settings) -> ManagedEmbedder:
    """Not started yet. Raises ConfigError (unknown backend) or ModelError (weights not set up)."""
    match settings.embedder.backend:
        case "torch":
            path = weights.resolve_embedder(settings)
            return TorchEmbedder(path, settings.embedder, weights.embedder_sums(settings))
        case "hash":
            return HashEmbedder()
        case other:
            raise ConfigError(f"embedder.backend is `{other}`; it may be torch or hash.")
