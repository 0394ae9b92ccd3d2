"""Waiting for a part of the brain that restarts: tries again for a bounded time, with growing pauses."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from serve_app.domain.errors import Overloaded, Unavailable
from serve_app.domain.ports import Clock

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
PATIENCE = 120.0
T = TypeVar("T")
_log = logging.getLogger(__name__)


async def patiently(
    clock: Clock, call: Callable[[], Awaitable[T]], patience: float = PATIENCE
) -> T:
    """Answer of `call`, which is made anew while it raises Unavailable or Overloaded, for `patience` seconds of pauses.

    A write may be called so because its WriteKey makes it happen once.
    """
    waited, pause = 0.0, FIRST_PAUSE
    while True:
        try:
            return await call()
        except (Unavailable, Overloaded) as error:
            if waited >= patience:
                raise
            _log.info("Trying again in %.1f s: %s", pause, error)
        await clock.sleep(pause)
        waited += pause
        pause = min(pause * 2, LONGEST_PAUSE)
