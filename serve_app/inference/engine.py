"""The engine thread's work: requests in, steps of the model, deltas out. Knows a Backend, not llama.cpp.

An Engine belongs to one thread. Others only `submit` and `cancel`, which are safe from anywhere and
take effect between two steps.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve_app.domain.errors import BadRequest, BrainError, ModelError, Unavailable
from serve_app.domain.language import Delta, Generation
from serve_app.inference.scheduler import Chunk, Scheduler, Sequence
from serve_app.inference.templates import Segment, Template
from serve_app.inference.textstream import TextStream

Row = tuple[int, int, int, bool]  # token, position, slot, whether its logits are wanted
Outcome = Delta | BrainError

NO_ROOM = 1  # a decode found no free cells in the cache; it is as it was before the call
COALESCE_SECONDS = 0.03  # a delta carries what came in this time: fewer messages, no visible wait

_CHARS_PER_TOKEN = 16  # no text of any language comes near it; bounds what is tokenised at all


class Backend(Protocol):
    """What the engine needs of a model; `LlamaContext` is the real one."""

    trained_context: int

    def tokenise(self, segments: Iterable[Segment]) -> list[int]: ...
    def opening(self) -> list[int]: ...
    def piece(self, token: int) -> bytes: ...
    def ends(self, token: int) -> bool: ...
    def decode(self, rows: list[Row]) -> int: ...
    def copy(self, source: int, target: int, count: int) -> None: ...
    def clear(self, sequence: int) -> None: ...
    def sampler(self, request: Generation) -> Any: ...
    def free_sampler(self, sampler: Any) -> None: ...
    def sample(self, sampler: Any, row: int) -> int: ...
    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Ticket:
    """A request on its way. `deliver` is called on the engine thread and must not block."""

    request: Generation
    deliver: Callable[[Outcome], None]
    cancelled: bool = False


@dataclass(slots=True, eq=False)
class _Job:
    ticket: Ticket
    sequence: Sequence
    text: TextStream
    prompt_tokens: int
    limit: int  # tokens it may generate, by its own wish and by the context
    sampler: Any
    ready: str = ""  # text not yet delivered
    delivered_at: float = 0.0

    @property
    def generated(self) -> int:
        return len(self.sequence.tokens) - self.prompt_tokens


@dataclass(slots=True, eq=False)
class Engine:
    """Runs `backend` under `scheduler` until `stop`. `context`: most tokens of one sequence."""

    backend: Backend
    scheduler: Scheduler
    template: Template
    context: int
    step_started: float | None = None  # monotonic; None while idle
    _inbox: deque[Ticket] = field(default_factory=deque)
    _jobs: dict[Sequence, _Job] = field(default_factory=dict)
    _wake: threading.Event = field(default_factory=threading.Event)
    _door: threading.Lock = field(default_factory=threading.Lock)
    _stopping: bool = False
    _closed: bool = False

    def submit(self, ticket: Ticket) -> None:
        """Raises Unavailable once the engine has ended: nothing would ever answer the ticket."""
        with self._door:
            if self._closed:
                raise Unavailable("The language model is not running.")
            self._inbox.append(ticket)
        self._wake.set()

    def cancel(self, ticket: Ticket) -> None:
        ticket.cancelled = True
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        """Work until stopped; what is still open then is told so. Raises ModelError if the model breaks."""
        reason: BrainError = ModelError("The language model stopped unexpectedly.")
        try:
            while not self._stopping:
                self._accept()
                self._drop_cancelled()
                if not self._step():
                    self.step_started = None
                    self._wake.wait()
                    self._wake.clear()
            reason = Unavailable("The language model is shutting down.")
        except ModelError as error:
            reason = error
            raise
        finally:
            self._refuse_all(reason)

    def _accept(self) -> None:
        while self._inbox:
            ticket = self._inbox[
                0
            ]  # stays until it is taken on: a failure must not leave it unanswered
            if not ticket.cancelled:
                try:
                    job = self._job(ticket)
                except BrainError as error:
                    ticket.deliver(error)
                else:
                    self._jobs[job.sequence] = job
                    self.scheduler.add(job.sequence)
            self._inbox.popleft()

    def _job(self, ticket: Ticket) -> _Job:
        request = ticket.request
        prompt = self.template.render(request.messages)
        most = self.context * _CHARS_PER_TOKEN
        if len(prompt.text) > most:
            raise BadRequest(
                f"The prompt has {len(prompt.text)} characters; the model reads at most {self.context} "
                f"tokens, never more than {most} characters.",
                field="messages",
            )
        head = self.backend.opening() + self.backend.tokenise(prompt.head)
        tokens = head + self.backend.tokenise(prompt.rest)
        if len(tokens) >= self.context:
            raise BadRequest(
                f"The prompt has {len(tokens)} tokens; the model reads fewer than {self.context}, "
                "its answer included.",
                field="messages",
            )
        return _Job(
            ticket=ticket,
            sequence=Sequence(tokens, shareable=len(head)),
            text=TextStream((*request.stop, *self.template.stop)),
            prompt_tokens=len(tokens),
            limit=min(request.max_tokens, self.context - len(tokens)),
            sampler=self.backend.sampler(request),
        )

    def _drop_cancelled(self) -> None:
        for job in [job for job in self._jobs.values() if job.ticket.cancelled]:
            self._forget(job)

    def _step(self) -> bool:
        """One batch. False when there was nothing to do."""
        chunks = self.scheduler.plan()
        if not chunks:
            return False
        self.step_started = time.monotonic()
        rows: list[Row] = []
        sampled: list[tuple[_Job, int]] = []
        for chunk in chunks:
            if chunk.reuse:
                self.backend.copy(0, chunk.sequence.slot, chunk.reuse)
            rows += _rows(chunk)
            if chunk.last:
                sampled.append((self._jobs[chunk.sequence], len(rows) - 1))
        code = self.backend.decode(rows)
        if code == NO_ROOM:
            self._make_room()
            return True
        if code != 0:
            raise ModelError(f"The model stopped working (llama.cpp code {code}).")
        source = self.scheduler.advance(chunks)
        if source is not None:
            self.backend.clear(0)
            self.backend.copy(source.slot, 0, source.shareable)
        for job, row in sampled:
            self._take(job, self.backend.sample(job.sampler, row))
        return True

    def _make_room(self) -> None:
        """Give up the shared prefix first, then the youngest; the last one left ends where it stands."""
        if self.scheduler.prefix:
            self.scheduler.prefix = []
            self.backend.clear(0)
        elif len(self.scheduler.running) > 1:
            self.backend.clear(self.scheduler.preempt())
        else:
            self._end(self._jobs[self.scheduler.running[0]], "length")

    def _take(self, job: _Job, token: int) -> None:
        """A new token of a job: more text, or its end."""
        if self.backend.ends(token):
            self._end(job, "stop")
            return
        job.sequence.tokens.append(token)
        job.ready += job.text.push(self.backend.piece(token))
        if job.text.stopped:
            self._end(job, "stop")
        elif job.generated >= job.limit:
            self._end(job, "length")
        elif job.ready and time.monotonic() - job.delivered_at >= COALESCE_SECONDS:
            job.ticket.deliver(Delta(job.ready))
            job.ready, job.delivered_at = "", time.monotonic()

    def _end(self, job: _Job, reason: str) -> None:
        text = job.ready + job.text.finish()
        self._forget(job)
        job.ticket.deliver(Delta(text, reason, job.prompt_tokens, job.generated))

    def _forget(self, job: _Job) -> None:
        slot = self.scheduler.remove(job.sequence)
        if slot:
            self.backend.clear(slot)
        self.backend.free_sampler(job.sampler)
        del self._jobs[job.sequence]

    def _refuse_all(self, reason: BrainError) -> None:
        for job in list(self._jobs.values()):
            self._forget(job)
            job.ticket.deliver(reason)
        with self._door:
            self._closed = True
            for ticket in self._inbox:
                ticket.deliver(reason)
            self._inbox.clear()


def _rows(chunk: Chunk) -> list[Row]:
    sequence, start = chunk.sequence, chunk.sequence.position
    end = start + chunk.count
    return [
        (sequence.tokens[i], i, sequence.slot, chunk.last and i == end - 1)
        for i in range(start, end)
    ]
