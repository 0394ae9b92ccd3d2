"""What is said to a language model and what comes back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: str  # "system" | "user" | "assistant"
    content: str


@dataclass(frozen=True, slots=True)
class Generation:
    """A request to write. `temperature` 0 is greedy, and then the seed has no effect."""

    messages: tuple[ChatMessage, ...]
    max_tokens: int = 300
    temperature: float = 0.0
    top_p: float = 0.95
    seed: int = 0
    repeat_penalty: float = 1.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of text. The last one carries `finish_reason` (`stop`, `length`, `cancelled`) and the counts."""

    text: str
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EmbedderInfo:
    """By what a vector was made. Vectors of different infos are never mixed in one index."""

    model: str
    dim: int
    backend: str
    dtype: str

    @property
    def key(self) -> str:
        return f"{self.model}/{self.backend}/{self.dtype}/{self.dim}"
