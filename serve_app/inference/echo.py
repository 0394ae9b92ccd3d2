"""A deterministic LanguageModel without weights, for tests and for trying out everything around it.

It answers with a sentence made from the last user message, word by word, and keeps the port's promises:
slots, a bounded queue, stop strings, `max_tokens` and counts (a word with its space is a token).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from serve_app.domain.errors import BadRequest, Unavailable
from serve_app.domain.language import Delta, Generation
from serve_app.inference.generation import check_generation, overloaded
from serve_app.inference.textstream import TextStream
from serve_app.settings import LLMSettings

_TOKENS = re.compile(r"\s*\S+")


class EchoModel:
    """`delay`: seconds before each word, to make a slow model."""

    def __init__(self, settings: LLMSettings, delay: float = 0.0) -> None:
        self._settings = settings
        self._delay = delay
        self._slots = asyncio.Semaphore(settings.slots)
        self._open = 0
        self._running = False

    async def name(self) -> str:
        return "echo"

    async def start(self) -> None:
        self._running = True

    async def close(self) -> None:
        self._running = False

    async def healthy(self) -> bool:
        return self._running

    async def stream(self, request: Generation) -> AsyncIterator[Delta]:
        """Raises Overloaded (queue full), BadRequest (odd or too long request), Unavailable (not running)."""
        check_generation(request)
        if not self._running:
            raise Unavailable("The language model is not running.")
        if self._open >= self._settings.slots + self._settings.max_queue:
            waiting = self._open - self._settings.slots
            raise overloaded(waiting, self._settings.slots, seconds_each=1.0)
        self._open += 1
        try:
            async with self._slots:
                async for delta in self._answer(request):
                    yield delta
        finally:
            self._open -= 1

    async def _answer(self, request: Generation) -> AsyncIterator[Delta]:
        prompt = sum(len(_TOKENS.findall(message.content)) for message in request.messages)
        if prompt >= self._settings.context_tokens:
            raise BadRequest(
                f"The prompt has {prompt} tokens; the model reads fewer than "
                f"{self._settings.context_tokens}, its answer included.",
                field="messages",
            )
        words = _TOKENS.findall(_sentence(request))
        text, written = TextStream(request.stop), 0
        for word in words[: request.max_tokens]:
            await asyncio.sleep(self._delay)
            if not self._running:
                raise Unavailable("The language model is shutting down.")
            written += 1
            out = text.push(word.encode("utf-8", "replace"))
            if text.stopped:
                yield Delta(out, "stop", prompt, written)
                return
            if out:
                yield Delta(out)
        reason = "stop" if len(words) <= request.max_tokens else "length"
        yield Delta(text.finish(), reason, prompt, written)


def _sentence(request: Generation) -> str:
    for message in reversed(request.messages):
        if message.role == "user":
            return f"You said: {message.content.strip()}"
    raise BadRequest("There is no message to answer.", field="messages")
