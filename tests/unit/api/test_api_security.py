"""Tokens, hosts and origins as pure decisions."""

from __future__ import annotations

from typing import Any, cast

import pytest
from starlette.datastructures import Headers

from serve_app.api.limits import RateLimiter
from serve_app.api.security import (
    CACHE_SIZE,
    Gate,
    bearer,
    host_allowed,
    is_open,
    origin_allowed,
    socket_token,
)
from serve_app.domain.errors import Unauthenticated
from serve_app.domain.people import Principal, Role
from serve_app.domain.ports import Ledger
from serve_app.settings import ServeSettings


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("localhost.", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("brain.lan:8000", True),
        ("Brain.LAN", True),
        ("10.0.0.5", True),
        ("", False),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example#localhost", False),
        ("[::1", False),
        ("127.0.0.2", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    serve = ServeSettings(host="10.0.0.5", allowed_hosts=("brain.lan",))
    assert host_allowed(host, serve) is allowed


def test_a_star_allows_any_host() -> None:
    assert host_allowed("anything.example", ServeSettings(allowed_hosts=("*",)))


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:8000", True),
        ("https://LOCALHOST:8000", True),
        ("https://other.example", True),
        ("http://localhost:9000", False),
        ("http://localhost", False),
        ("https://evil.example", False),
        ("null", False),
        ("file://localhost:8000", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_origins(origin: str | None, allowed: bool) -> None:
    serve = ServeSettings(allowed_origins=("https://other.example",))
    assert origin_allowed(origin, "localhost:8000", serve) is allowed


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("abc", None),
    ],
)
def test_the_authorization_header(header: str, token: str | None) -> None:
    assert bearer(Headers({"authorization": header})) == token


def test_the_subprotocol_pair() -> None:
    def offered(value: str) -> tuple[str | None, str | None]:
        return socket_token(Headers({"sec-websocket-protocol": value}))

    assert offered("bearer, abc") == ("abc", "bearer")
    assert offered("bearer,abc") == ("abc", "bearer")
    assert offered("bearer") == (None, "bearer")
    assert offered("bearer, a, b") == (None, "bearer")
    assert offered("abc, bearer") == (None, None)
    assert socket_token(Headers({"authorization": "Bearer abc"})) == ("abc", None)


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/docs", "/openapi.json", "/static/app.js"]
)
def test_open_addresses(path: str) -> None:
    assert is_open(path)


@pytest.mark.parametrize(
    "path",
    ["/api/auth/login", "/api/auth/tokens/", "/static", "/anything", "//", "/v1/models", "/docs/"],
)
def test_everything_else_is_closed(path: str) -> None:
    assert not is_open(path)


class Register:
    """The one method of the ledger that the gate uses."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.known = {"good": Principal("u1", "Ada", Role.OWNER, "t1")}

    async def authenticate(self, token: str) -> Principal | None:
        self.asked.append(token)
        return self.known.get(token)


def gate_over(register: Register, clock: list[float]) -> Gate:
    return Gate(cast(Ledger, register), RateLimiter(10_000), now=lambda: clock[0])


async def test_a_known_token_is_remembered_for_two_seconds() -> None:
    register, clock = Register(), [0.0]
    gate = gate_over(register, clock)
    for _ in range(3):
        assert (await gate.principal("good")).user_id == "u1"
    assert register.asked == ["good"]
    clock[0] = 2.5
    await gate.principal("good")
    assert register.asked == ["good", "good"]


async def test_a_deleted_token_is_forgotten_at_once() -> None:
    register = Register()
    gate = gate_over(register, [0.0])
    await gate.principal("good")
    register.known.clear()
    gate.forget()
    with pytest.raises(Unauthenticated):
        await gate.principal("good")


@pytest.mark.parametrize("token", [None, "", "bad", "é", "x" * 600])
async def test_no_valid_token(token: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await gate_over(Register(), [0.0]).principal(token)


async def test_the_memory_is_bounded_and_holds_no_token() -> None:
    register = Register()
    gate = gate_over(register, [0.0])
    for n in range(CACHE_SIZE + 50):
        register.known[f"t{n}"] = Principal(f"u{n}", "x", Role.MEMBER, f"id{n}")
        await gate.principal(f"t{n}")
    known: dict[Any, Any] = gate._known
    assert len(known) == CACHE_SIZE
    assert all(isinstance(key, bytes) and len(key) == 32 for key in known)
