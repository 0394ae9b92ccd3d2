"""The errors of the SDK. `str(error)` is a sentence a person can act on.

BrainError
├── ConfigError         no usable address or token on this side; nothing was sent
├── NotReachable        nothing answers at the address, or it stopped answering
├── BadRequest          400, 422: the input is off; `field` names where
├── Unauthenticated     401: no valid token
├── Forbidden           403: the token is valid, its role does not allow this
├── NotFound            404: unknown, or somebody else's
├── Conflict            409: the thing is in a state that does not allow this
├── TooLarge            413: a body, text or file over its bound
├── Overloaded          429: try again after `retry_after` seconds
├── ServerError         any other status: the brain could not do it
├── TaskFailed          the task ran and ended in an error; `task_id`
│   └── TaskCancelled   the task was cancelled
└── StillRunning        waiting was given up; the task goes on under `task_id`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BrainError(Exception):
    """Base of all errors of the SDK.

    `code` is the brain's short name of the error, `status` the HTTP status (None where none was
    received), `field` the part of the input that is off, `retry_after` seconds to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        status: int | None = None,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.field = field
        self.retry_after = retry_after


class ConfigError(BrainError):
    pass


class NotReachable(BrainError):
    pass


class BadRequest(BrainError):
    pass


class Unauthenticated(BrainError):
    pass


class Forbidden(BrainError):
    pass


class NotFound(BrainError):
    pass


class Conflict(BrainError):
    pass


class TooLarge(BrainError):
    pass


class Overloaded(BrainError):
    pass


class ServerError(BrainError):
    pass


class _OfTask(BrainError):
    def __init__(self, message: str, *, task_id: str, code: str = "") -> None:
        super().__init__(message, code=code)
        self.task_id = task_id


class TaskFailed(_OfTask):
    pass


class TaskCancelled(TaskFailed):
    pass


class StillRunning(_OfTask):
    pass


_BY_STATUS: dict[int, type[BrainError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: BadRequest,
    429: Overloaded,
}


def error_of(status: int, body: object, retry_after: str | None = None) -> BrainError:
    """The error that an HTTP answer stands for. `body` is its JSON, or None where it has none."""
    fields: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    message = fields.get("error")
    if not isinstance(message, str) or not message:
        message = f"The brain answered with HTTP status {status} and no reason."
    field = fields.get("field")
    return _BY_STATUS.get(status, ServerError)(
        message,
        code=str(fields.get("code") or ""),
        status=status,
        field=str(field) if field else None,
        retry_after=_seconds(retry_after),
    )


def _seconds(header: str | None) -> float | None:
    # Retry-After may also be a date; the brain sends seconds, and a proxy's date is not worth a guess.
    return float(header) if header and header.strip().isdigit() else None
