"""Bounds on what comes in: body size, length of texts, rate per token, streams held open."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, cast

from fastapi import Depends
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.domain.errors import Overloaded, TooLarge
from serve_app.settings import LimitSettings

STREAMS_PER_TOKEN = 64  # event streams, sockets and waiting chats that one token may hold open
FORM_OVERHEAD = 65_536  # boundary and part headers around an upload

# Addresses that take documents instead of questions.
_UPLOADS = frozenset({"/api/files/", "/api/pages/"})
_IMPORT = "/api/import/"


def check_length(field: str, text: str, limits: LimitSettings) -> None:
    """Raises TooLarge for a text over `message_chars`."""
    if len(text) > limits.message_chars:
        raise TooLarge(
            f"'{field}' has {len(text)} characters; at most {limits.message_chars} are taken.",
            field=field,
        )


def body_bound(path: str, limits: LimitSettings) -> int:
    """Bytes that a request to `path` may carry."""
    if path in _UPLOADS:
        return limits.upload_bytes + FORM_OVERHEAD
    return limits.import_bytes if path == _IMPORT else limits.body_bytes


class BodyTooLarge(HTTPException):
    """An HTTPException, because FastAPI passes those through while it reads a body and swallows others."""

    def __init__(self, bound: int) -> None:
        super().__init__(413, f"The body is larger than the {bound:,} bytes this address takes.")


class BodyLimitMiddleware:
    """Counts the bytes as they come: a Content-Length may be missing or untrue."""

    def __init__(self, app: ASGIApp, limits: LimitSettings) -> None:
        self.app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bound = body_bound(scope["path"], self._limits)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > bound):
            raise TooLarge(str(BodyTooLarge(bound).detail))
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > bound:
                raise BodyTooLarge(bound)
            return message

        await self.app(scope, counted, send)


class RateLimiter:
    """A token bucket a key (Turner 1986): `per_minute` refills evenly, a fresh bucket is full.

    Holds at most `capacity` buckets; the one that was idle longest is dropped, and comes back full.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        capacity: int = 10_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = float(per_minute)
        self._rate = per_minute / 60.0
        self._capacity = capacity
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Raises Overloaded with the seconds until the next request would be taken."""
        now = self._now()
        level, filled_at = self._buckets.pop(key, (self._size, now))
        level = min(self._size, level + (now - filled_at) * self._rate)
        allowed = level >= 1.0
        self._buckets[key] = (level - 1.0 if allowed else level, now)
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)
        if not allowed:
            raise Overloaded(
                f"More than {self._size:.0f} requests a minute with this token. Please slow down.",
                retry_after=(1.0 - level) / self._rate,
            )


class StreamPermits:
    """How many streams each token holds open in this replica."""

    def __init__(self, per_token: int = STREAMS_PER_TOKEN) -> None:
        self._per_token = per_token
        self._open: Counter[str] = Counter()

    def check(self, token_id: str) -> None:
        """Raises Overloaded when `token_id` holds its share already."""
        if self._open.get(token_id, 0) >= self._per_token:
            raise Overloaded(
                f"This token holds {self._per_token} streams open already; close one first.",
                retry_after=5,
            )

    @contextmanager
    def hold(self, token_id: str) -> Iterator[None]:
        """Raises Overloaded when `token_id` holds its share already."""
        self.check(token_id)
        self._open[token_id] += 1
        try:
            yield
        finally:
            self._open[token_id] -= 1
            if not self._open[token_id]:
                del self._open[token_id]


def permits_of(connection: HTTPConnection) -> StreamPermits:
    return cast(StreamPermits, connection.app.state.permits)


Permits = Annotated[StreamPermits, Depends(permits_of)]
