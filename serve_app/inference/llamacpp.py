"""LanguageModel on llama.cpp with our own continuous batching.

Every call into llama.cpp, from loading to freeing, happens on one engine thread; the event loop only
hands tickets over and gets deltas back by `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable

from serve_app.domain.errors import BrainError, ConfigError, ModelError, Unavailable
from serve_app.domain.language import Delta, Generation
from serve_app.inference import weights
from serve_app.inference.engine import Engine, Outcome, Ticket
from serve_app.inference.generation import check_generation, overloaded
from serve_app.inference.machine import cores
from serve_app.inference.scheduler import Scheduler
from serve_app.inference.weights import ModelFile
from serve_app.settings import LLMSettings

logger = logging.getLogger(__name__)

_BATCH = 512  # tokens of one step, at most
_STEP_LIMIT = 60.0  # seconds after which a step counts as hung
_AVERAGING = 0.2  # weight of the newest request in the running mean of durations
_CLOSE_TIMEOUT = 30.0


class LlamaCppModel:
    """`start` loads the file; then any number of `stream`s share its slots. See the port LanguageModel."""

    def __init__(self, file: ModelFile, settings: LLMSettings) -> None:
        self._file = file
        self._settings = settings
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._open = 0  # streams that hold a slot or wait for one
        self._seconds = 5.0  # running mean of a request's duration, for Retry-After

    async def name(self) -> str:
        return self._file.name

    async def start(self) -> None:
        """Verify and load the weights. Raises ModelError or ConfigError."""
        loaded: concurrent.futures.Future[None] = concurrent.futures.Future()
        loaded.set_running_or_notify_cancel()  # from here on only the engine thread settles it
        self._thread = threading.Thread(
            target=self._work, args=(loaded,), name="llm-engine", daemon=True
        )
        self._thread.start()
        await asyncio.wrap_future(loaded)

    async def close(self) -> None:
        """End all streams with Unavailable, free the model. Safe to call twice."""
        self._closing = True
        if self._engine is not None:
            self._engine.stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _CLOSE_TIMEOUT)

    async def healthy(self) -> bool:
        """Loaded, the engine thread alive, and no step hanging."""
        if self._engine is None or self._thread is None or not self._thread.is_alive():
            return False
        started = self._engine.step_started
        return started is None or time.monotonic() - started < _STEP_LIMIT

    async def stream(self, request: Generation) -> AsyncIterator[Delta]:
        """Raises Overloaded (queue full), BadRequest (odd or too long request), Unavailable (not running)."""
        check_generation(request)
        engine = self._engine
        if engine is None:
            raise Unavailable("The language model is not running.")
        slots = self._settings.slots
        if self._open >= slots + self._settings.max_queue:
            raise overloaded(self._open - slots, slots, self._seconds)
        outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        ticket = Ticket(request, _deliver_to(outcomes))
        self._open += 1
        began = time.monotonic()
        try:
            engine.submit(ticket)
            while True:
                outcome = await outcomes.get()
                if isinstance(outcome, BrainError):
                    raise outcome
                yield outcome
                if outcome.finish_reason is not None:
                    self._seconds += _AVERAGING * (time.monotonic() - began - self._seconds)
                    return
        finally:
            self._open -= 1
            engine.cancel(ticket)

    def _work(self, loaded: concurrent.futures.Future[None]) -> None:
        """The engine thread: load, work, free."""
        failure: BrainError = ModelError("The language model failed while loading; see the log.")
        try:
            engine = self._engine = self._load()
        except BrainError as error:
            failure = error
            return
        finally:
            # Settled in any case: an error of a kind we did not foresee must not leave `start` waiting.
            if self._engine is None:
                loaded.set_exception(failure)
            else:
                loaded.set_result(None)
        if self._closing:
            engine.stop()
        try:
            engine.run()
        except ModelError:
            logger.exception("The engine thread ends; the model counts as unhealthy")
        finally:
            engine.backend.close()

    def _load(self) -> Engine:
        """On the engine thread, which is also the first to import llama_cpp."""
        if self._file.sha256 is not None:
            weights.verify(self._file.path, {"": self._file.sha256})
        try:
            from serve_app.inference.llama_context import LlamaContext
        except ImportError as error:
            raise ConfigError(
                "The llama.cpp engine needs the package llama-cpp-python (extra `server`)."
            ) from error
        settings = self._settings
        backend = LlamaContext(
            self._file.path,
            pool=settings.context_tokens,
            batch=_BATCH,
            sequences=settings.slots + 1,
            threads=settings.threads or cores(),
        )
        scheduler = Scheduler(
            settings.slots, settings.context_tokens, _BATCH, settings.prefill_budget
        )
        context = min(settings.context_tokens, backend.trained_context)
        return Engine(backend, scheduler, self._file.template, context)


def _deliver_to(outcomes: asyncio.Queue[Outcome]) -> Callable[[Outcome], None]:
    """A way from the engine thread into a queue of the running loop."""
    loop = asyncio.get_running_loop()

    def deliver(outcome: Outcome) -> None:
        try:
            loop.call_soon_threadsafe(outcomes.put_nowait, outcome)
        except RuntimeError:
            logger.debug("A stream's event loop is closed; nobody reads it any more")

    return deliver
