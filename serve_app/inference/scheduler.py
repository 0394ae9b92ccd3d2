"""Continuous batching, decided apart from any model: who runs, and which tokens go into the next step.

Each step decodes one token of every running sequence first, so that running answers never starve, and
then fills up with pieces of prompts: up to the batch while nobody decodes, else up to the prefill
budget, which bounds how long a step, and so the gap between two tokens, can be. (Iteration-level
scheduling after Yu et al., "Orca", OSDI 2022; chunked prefill after Agrawal et al., "Sarathi-Serve",
OSDI 2024.)

Slots are the engine's sequence ids 1..n. Sequence 0 keeps a shared prefix: the last system prompt
that was read, reused as far as it agrees with a new prompt.

One thread owns a Scheduler; nothing here is safe to share.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_GROWTH = 32  # tokens of room kept per sequence at admission, so that admitting is not followed by preempting


@dataclass(slots=True, eq=False)
class Sequence:
    """One request in the engine. `position` counts the leading tokens whose keys and values are cached.

    `tokens` is the prompt followed by what was generated, so that a preempted sequence only has to be
    read again to go on where it was. `shareable` leading tokens may be kept as the shared prefix.
    """

    tokens: list[int]
    shareable: int = 0
    slot: int = 0
    position: int = 0

    @property
    def remaining(self) -> int:
        return len(self.tokens) - self.position


@dataclass(frozen=True, slots=True)
class Chunk:
    """`count` tokens of a sequence from its position on; `last` when its next token can then be sampled.

    `reuse` > 0: copy so many tokens of the shared prefix into the slot first (position counts them).
    """

    sequence: Sequence
    count: int
    last: bool
    reuse: int = 0


@dataclass(slots=True)
class Scheduler:
    """`pool`: tokens that the shared cache holds in all; `batch`: most tokens of one step (>= slots)."""

    slots: int
    pool: int
    batch: int
    prefill_budget: int
    prefix: list[int] = field(default_factory=list)
    running: list[Sequence] = field(default_factory=list)  # in order of admission
    waiting: deque[Sequence] = field(default_factory=deque)
    _free: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free = list(range(self.slots, 0, -1))

    def add(self, sequence: Sequence) -> None:
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> int:
        """Take a sequence out, waiting or running. The slot to clear in the cache, 0 for none."""
        slot = sequence.slot
        if slot:
            self._release(sequence)
        else:
            self.waiting.remove(sequence)
        return slot

    def plan(self) -> list[Chunk]:
        """Admit who fits, then choose the tokens of the next step; empty when there is nothing to do."""
        self._admit()
        decoding = [s for s in self.running if s.position and s.remaining == 1]
        chunks = [Chunk(s, 1, last=True) for s in decoding]
        room = self.batch - len(chunks)
        if decoding:
            room = min(room, self.prefill_budget)
        for sequence in self.running:
            if room <= 0:
                break
            if sequence.position and sequence.remaining == 1:
                continue
            reuse = 0
            if not sequence.position:
                reuse = sequence.position = self._common_prefix(sequence)
            count = min(room, sequence.remaining)
            room -= count
            chunks.append(Chunk(sequence, count, count == sequence.remaining, reuse))
        return chunks

    def advance(self, chunks: list[Chunk]) -> Sequence | None:
        """The step was computed. The sequence whose head should now become the shared prefix, if any."""
        source = None
        for chunk in chunks:
            sequence = chunk.sequence
            before, sequence.position = sequence.position, sequence.position + chunk.count
            if before < sequence.shareable <= sequence.position:
                source = sequence
        if source is not None:
            self.prefix = source.tokens[: source.shareable]
        return source

    def preempt(self) -> int:
        """No room in the cache: send the youngest back to the head of the queue. Its slot, to be cleared.

        Only to be called with two or more running; the last one has nobody to give way to.
        """
        youngest = self.running[-1]
        slot = youngest.slot
        self._release(youngest)
        youngest.position = 0
        self.waiting.appendleft(youngest)
        return slot

    def _release(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._free.append(sequence.slot)
        sequence.slot = 0

    def _admit(self) -> None:
        while self.waiting and self._free and self._fits(self.waiting[0]):
            sequence = self.waiting.popleft()
            sequence.slot = self._free.pop()
            self.running.append(sequence)

    def _fits(self, sequence: Sequence) -> bool:
        """Counts shared tokens for each that shares them: this errs towards waiting, never towards thrashing."""
        if not self.running:
            return True
        taken = sum(len(s.tokens) + _GROWTH for s in self.running) + len(self.prefix)
        return taken + len(sequence.tokens) + _GROWTH <= self.pool

    def _common_prefix(self, sequence: Sequence) -> int:
        """Tokens to reuse. The last token is always computed: its logits are needed."""
        limit = min(len(self.prefix), len(sequence.tokens) - 1)
        for i in range(limit):
            if self.prefix[i] != sequence.tokens[i]:
                return i
        return limit
