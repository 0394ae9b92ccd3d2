"""What every engine asks of a Generation before it takes it, and how a full queue is answered."""

from __future__ import annotations

from serve_app.domain.errors import BadRequest, Overloaded
from serve_app.domain.language import Generation

_MAX_STOPS = 16
_MAX_STOP_CHARS = 200


def check_generation(request: Generation) -> None:
    """Raises BadRequest naming the field that is out of its range."""
    if request.max_tokens < 1:
        raise BadRequest("max_tokens must be at least 1.", field="max_tokens")
    if not 0.0 <= request.temperature <= 10.0:
        raise BadRequest("temperature must lie between 0 and 10.", field="temperature")
    if not 0.0 < request.top_p <= 1.0:
        raise BadRequest("top_p must be above 0 and at most 1.", field="top_p")
    if not 0.1 <= request.repeat_penalty <= 10.0:
        raise BadRequest("repeat_penalty must lie between 0.1 and 10.", field="repeat_penalty")
    if not 0 <= request.seed < 2**32:
        raise BadRequest("seed must be a whole number of 32 bits.", field="seed")
    if len(request.stop) > _MAX_STOPS:
        raise BadRequest(f"There may be at most {_MAX_STOPS} stop strings.", field="stop")
    if any(not 1 <= len(stop) <= _MAX_STOP_CHARS for stop in request.stop):
        raise BadRequest(f"A stop string has 1 to {_MAX_STOP_CHARS} characters.", field="stop")


def overloaded(waiting: int, slots: int, seconds_each: float) -> Overloaded:
    """The answer when the bounded queue is full: come back when about one place will be free."""
    retry_after = max(1.0, round(seconds_each * (waiting + 1) / slots, 1))
    return Overloaded(
        f"The model is busy and {waiting} more requests wait for it.", retry_after=retry_after
    )
