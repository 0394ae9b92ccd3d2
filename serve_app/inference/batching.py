"""Which texts go into the embedder's next batch: queries before bulk work, and alike lengths together.

Pure bookkeeping, without clock or threads; the futures belong to the loop of the callers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from serve_app.domain.errors import Overloaded, TooLarge
from serve_app.domain.ports import Vectors

# A query that comes while a bulk batch is computed waits for all of it, so bulk batches are smaller.
_BULK_SHARE = 4


@dataclass(slots=True, eq=False)
class Job:
    """One call: its texts, and the future of their vectors in the same order."""

    texts: Sequence[str]
    future: asyncio.Future[Vectors]
    rows: dict[int, Vectors] = field(default_factory=dict)  # index -> (dim,)


@dataclass(frozen=True, slots=True)
class Item:
    """A text waiting for its vector: `job.texts[index]`."""

    job: Job
    index: int

    @property
    def text(self) -> str:
        return self.job.texts[self.index]


class BatchQueue:
    """Bounded by the number of waiting texts."""

    def __init__(self, batch_size: int, max_waiting: int) -> None:
        self._batch_size = batch_size
        self._bulk_size = max(1, batch_size // _BULK_SHARE)
        self._max_waiting = max_waiting
        self._queries: deque[Item] = deque()
        self._bulk: deque[Item] = deque()

    def __len__(self) -> int:
        return len(self._queries) + len(self._bulk)

    def add(self, job: Job, *, bulk: bool) -> None:
        """Raises TooLarge when it could never fit, Overloaded when it does not fit now."""
        count = len(job.texts)
        if count > self._max_waiting:
            raise TooLarge(
                f"{count} texts at once are more than the {self._max_waiting} that may wait."
            )
        if len(self) + count > self._max_waiting:
            raise Overloaded(
                f"{len(self)} texts wait to be embedded already.",
                retry_after=max(1.0, len(self) / 30),  # some 30 texts a second on two cores
            )
        # A batch is padded to its longest text, so neighbours should be of one length.
        order = sorted(range(count), key=lambda index: len(job.texts[index]))
        (self._bulk if bulk else self._queries).extend(Item(job, index) for index in order)

    def take(self) -> list[Item]:
        """The next batch, all queries or all bulk; empty when nothing waits. Cancelled calls are skipped."""
        for queue, size in ((self._queries, self._batch_size), (self._bulk, self._bulk_size)):
            batch: list[Item] = []
            while queue and len(batch) < size:
                item = queue.popleft()
                if not item.job.future.done():
                    batch.append(item)
            if batch:
                return sorted(batch, key=lambda item: len(item.text))
        return []

    def drain(self) -> list[Item]:
        """Everything that waits, taken out."""
        items = [*self._queries, *self._bulk]
        self._queries.clear()
        self._bulk.clear()
        return items


def settle(batch: Sequence[Item], vectors: Vectors) -> None:
    """Give each item its row; a job whose rows are complete gets its result."""
    for item, row in zip(batch, vectors, strict=True):
        job = item.job
        job.rows[item.index] = row
        if len(job.rows) == len(job.texts) and not job.future.done():
            job.future.set_result(np.stack([job.rows[i] for i in range(len(job.texts))]))


def fail(batch: Sequence[Item], error: Exception) -> None:
    """The calls that have a text in the batch end with the error."""
    for item in batch:
        if not item.job.future.done():
            item.job.future.set_exception(error)
