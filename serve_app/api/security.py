"""Who may come in: host names, bearer tokens, browsers' origins, roles.

Closed by default: every HTTP address wants a token except the few in `is_open`, so a forgotten dependency on a new
route locks it instead of opening it. The token is judged before the body is read.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.api.limits import RateLimiter
from serve_app.domain.errors import BadRequest, Forbidden, Unauthenticated
from serve_app.domain.people import Principal
from serve_app.domain.ports import Ledger
from serve_app.settings import ServeSettings

CACHE_SECONDS = 2.0  # a token deleted through another replica works for so long in this one
CACHE_SIZE = 1024
MAX_TOKEN_CHARS = 512

_OPEN = frozenset({"/", "/healthz", "/readyz", "/docs", "/docs/reference.css", "/openapi.json"})
_LOGIN = "/api/auth/login/"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Probes come by address, and what they are told is no secret.
_ANY_HOST = frozenset({"/healthz", "/readyz"})


def is_open(path: str) -> bool:
    """Addresses that need no token (contract section 10)."""
    return path in _OPEN or path == _LOGIN or path.startswith("/static/")


class Gate:
    """Tokens to principals, with a short memory so that a busy client does not cost a look-up a call."""

    def __init__(
        self, ledger: Ledger, rates: RateLimiter, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._rates = rates
        self._now = now
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()

    async def principal(self, token: str | None) -> Principal:
        """Raises Unauthenticated."""
        if not token or len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise Unauthenticated("A token is needed: Authorization: Bearer TOKEN.")
        key = hashlib.sha256(token.encode()).digest()  # memory holds no usable token
        found = self._known.get(key)
        if found is not None and self._now() - found[0] < CACHE_SECONDS:
            return found[1]
        self._known.pop(key, None)
        principal = await self._ledger.authenticate(token)
        if principal is None:
            raise Unauthenticated("This token is not known here; it may have been deleted.")
        self._known[key] = (self._now(), principal)
        if len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return principal

    async def admit(self, token: str | None) -> Principal:
        """The principal, with one request taken from their rate. Raises Unauthenticated, Overloaded."""
        principal = await self.principal(token)
        self._rates.take(principal.token_id)
        return principal

    def count_login(self) -> None:
        """Logins come before any token, so all of them share one bucket. Raises Overloaded."""
        self._rates.take("login")

    def forget(self) -> None:
        """After a token or user was deleted."""
        self._known.clear()


def bearer(headers: Headers) -> str | None:
    """The token of an `Authorization: Bearer TOKEN` header."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def socket_token(headers: Headers) -> tuple[str | None, str | None]:
    """(token, subprotocol to echo) of a WebSocket handshake: the header, or the pair `bearer, TOKEN`."""
    offered = [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",")]
    if offered[0].lower() == "bearer":
        token = offered[1] if len(offered) == 2 else None
        return bearer(headers) or token, offered[0]
    return bearer(headers), None


def host_name(netloc: str) -> str:
    """The lower-case host of `host[:port]`, without brackets; empty when it is none."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def host_allowed(netloc: str, serve: ServeSettings) -> bool:
    """Whether this brain answers to that name: a page elsewhere may point its own name at our address."""
    names = _LOOPBACK | {serve.host.lower()} | {name.lower() for name in serve.allowed_hosts}
    return "*" in names or host_name(netloc) in names


def origin_allowed(origin: str | None, netloc: str, serve: ServeSettings) -> bool:
    """Browsers say where a page came from: it must be ours, or listed. Other clients say nothing."""
    if origin is None or origin in serve.allowed_origins:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == netloc.lower()


class HostMiddleware:
    """Refuses foreign host names (DNS rebinding), for HTTP and WebSocket alike."""

    def __init__(self, app: ASGIApp, serve: ServeSettings) -> None:
        self.app = app
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope["path"] not in _ANY_HOST:
            host = Headers(scope=scope).get("host", "")
            if not host_allowed(host, self._serve):
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008, "reason": ""})
                    return
                raise BadRequest(
                    "This brain does not answer to that host name (setting serve.allowed_hosts).",
                    field="host",
                )
        await self.app(scope, receive, send)


class TokenMiddleware:
    """Puts the principal into the request's state, or refuses it. Sockets answer for themselves."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self.app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope["path"]):
            principal = await self._gate.admit(bearer(Headers(scope=scope)))
            scope.setdefault("state", {})["principal"] = principal
        await self.app(scope, receive, send)


def gate_of(connection: HTTPConnection) -> Gate:
    return cast(Gate, connection.app.state.gate)


def caller(request: Request) -> Principal:
    return cast(Principal, request.state.principal)


def owner(request: Request) -> Principal:
    """Raises Forbidden."""
    principal = caller(request)
    if not principal.is_owner:
        raise Forbidden("Only an owner of this brain may do that.")
    return principal


Door = Annotated[Gate, Depends(gate_of)]
Caller = Annotated[Principal, Depends(caller)]
Owner = Annotated[Principal, Depends(owner)]
