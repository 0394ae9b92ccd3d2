from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from omeruta import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    NotReachable,
    Overloaded,
    ServerError,
    TooLarge,
    Unauthenticated,
)
from omeruta.errors import BrainError
from omeruta.transport import TRIES, Transport

URL = "http://127.0.0.1:8000"


def transport(handler: Callable[[httpx.Request], httpx.Response]) -> Transport:
    return Transport(URL, "token", transport=httpx.MockTransport(handler))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, TooLarge),
        (422, BadRequest),
        (429, Overloaded),
        (500, ServerError),
        (302, ServerError),
    ],
)
def test_each_status_is_an_error_of_its_own(status: int, kind: type[BrainError]) -> None:
    body = {"error": "'topic' is missing.", "code": "short", "field": "topic"}
    with pytest.raises(kind) as caught:
        transport(lambda _: httpx.Response(status, json=body)).get("/x")
    error = caught.value
    assert (str(error), error.code, error.field, error.status) == (
        "'topic' is missing.",
        "short",
        "topic",
        status,
    )


def test_an_error_page_of_a_proxy_still_makes_a_sentence() -> None:
    with pytest.raises(ServerError, match="HTTP status 502"):
        transport(lambda _: httpx.Response(502, html="<h1>Bad gateway</h1>")).get("/x")


def test_an_answer_that_is_no_json_is_told() -> None:
    with pytest.raises(ServerError, match="no brain"):
        transport(lambda _: httpx.Response(200, html="<p>hello</p>")).get("/x")


def test_an_empty_answer_is_none() -> None:
    assert transport(lambda _: httpx.Response(204)).call("DELETE", "/x") is None


def test_the_token_goes_in_the_header_and_missing_parameters_stay_out() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    transport(handler).get("/x", q="a b", cursor=None)
    assert seen[0].headers["Authorization"] == "Bearer token"
    assert str(seen[0].url) == f"{URL}/x?q=a+b"


def test_where_nothing_listens_the_error_says_how_to_start(no_pauses: list[float]) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(NotReachable, match=r"No brain answers at .*omeruta up"):
        transport(refuse).get("/x")
    assert no_pauses == []  # trying again at once would not help


def test_a_read_is_tried_again_after_a_break_and_after_a_503(no_pauses: list[float]) -> None:
    turns = iter(["break", "away", "answer"])

    def handler(request: httpx.Request) -> httpx.Response:
        turn = next(turns)
        if turn == "break":
            raise httpx.RemoteProtocolError("closed")
        if turn == "away":
            return httpx.Response(503, json={"error": "Starting."}, headers={"Retry-After": "60"})
        return httpx.Response(200, json={"ok": True})

    assert transport(handler).get("/x") == {"ok": True}
    assert no_pauses == [0.5, 5.0]  # however long Retry-After asks for


def test_tries_are_bounded_and_the_last_error_is_told(no_pauses: list[float]) -> None:
    calls: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        raise httpx.ReadTimeout("slow")

    with pytest.raises(NotReachable, match="did not answer in time"):
        transport(handler).get("/x")
    assert len(calls) == TRIES


def test_a_write_without_a_key_is_never_sent_twice(no_pauses: list[float]) -> None:
    calls: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        raise httpx.ReadError("gone")

    with pytest.raises(NotReachable, match="broke"):
        transport(handler).post("/x", {})
    assert calls == ["/x"]


def test_a_submit_is_repeated_under_the_same_key(no_pauses: list[float]) -> None:
    keys: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            raise httpx.ReadError("gone")
        return httpx.Response(202, json={"task_id": "t1"})

    assert transport(handler).submit("/x", json={}) == "t1"
    assert len(set(keys)) == 1
    assert len(keys) == 2


def test_a_submit_without_a_task_is_told() -> None:
    with pytest.raises(ServerError, match="named no task"):
        transport(lambda _: httpx.Response(202, json={})).submit("/x", json={})


def test_a_redirect_does_not_carry_the_token_elsewhere() -> None:
    hosts: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(307, headers={"Location": "https://elsewhere.test/"})

    with pytest.raises(ServerError):
        transport(handler).get("/x")
    assert hosts == ["127.0.0.1"]
