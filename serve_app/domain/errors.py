"""The one error tree. Foreign errors are mapped into it where they enter the house.

BrainError                 500 internal
├── BadRequest             400 bad_request       the caller's input is off; `field` names where
├── Unauthenticated        401 unauthenticated   no valid token
├── Forbidden              403 forbidden         valid token, wrong role
├── NotFound               404 not_found         unknown, or somebody else's
├── Conflict               409 conflict          the thing is in a state that does not allow it
├── TooLarge               413 too_large         a body, text or file over its bound
├── Overloaded             429 overloaded        a bounded queue is full; `retry_after` seconds
├── Unavailable            503 unavailable       a part of the brain is away for now; worth trying again
│   └── WorkerLost         503 worker_lost       the process that did the work is gone
├── FetchError             502 fetch_failed      a page could not be read; `reason` is a short name
│   └── AddressForbidden   403 address_forbidden the guard refused the address
├── StaleAttempt           409 stale_attempt     a write by an attempt that has been replaced
├── TaskCancelled          409 cancelled         the task was cancelled
├── DeadlineExceeded       504 deadline_exceeded the task ran into its hard limit
├── ModelError             500 model_error       weights missing, wrong or refused
└── ConfigError            500 config_error      the settings or the machine do not allow a start
"""

from __future__ import annotations


class BrainError(Exception):
    """Base of all errors a person may read. `str(error)` is a sentence."""

    status = 500
    code = "internal"

    def __init__(
        self, message: str, *, field: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after

    def body(self) -> dict[str, object]:
        """The wire form of contract section 10."""
        body: dict[str, object] = {"error": self.message, "code": self.code}
        if self.field is not None:
            body["field"] = self.field
        return body

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive Exception's own reduce, and errors cross processes.
        return (_rebuild, (type(self), self.message, self.__dict__.copy()))


def _rebuild(kind: type[BrainError], message: str, state: dict[str, object]) -> BrainError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class BadRequest(BrainError):
    status, code = 400, "bad_request"


class Unauthenticated(BrainError):
    status, code = 401, "unauthenticated"


class Forbidden(BrainError):
    status, code = 403, "forbidden"


class NotFound(BrainError):
    status, code = 404, "not_found"


class Conflict(BrainError):
    status, code = 409, "conflict"


class TooLarge(BrainError):
    status, code = 413, "too_large"


class Overloaded(BrainError):
    status, code = 429, "overloaded"


class Unavailable(BrainError):
    status, code = 503, "unavailable"


class WorkerLost(Unavailable):
    code = "worker_lost"


class FetchError(BrainError):
    """A page could not be read. `reason` is a short name that counts can be kept by: `robots`, `timeout`, …"""

    status, code = 502, "fetch_failed"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class AddressForbidden(FetchError):
    status, code = 403, "address_forbidden"

    def __init__(self, message: str, *, reason: str = "address_forbidden") -> None:
        super().__init__(message, reason=reason)


class StaleAttempt(BrainError):
    status, code = 409, "stale_attempt"


class TaskCancelled(BrainError):
    status, code = 409, "cancelled"


class DeadlineExceeded(BrainError):
    status, code = 504, "deadline_exceeded"


class ModelError(BrainError):
    code = "model_error"


class ConfigError(BrainError):
    code = "config_error"
