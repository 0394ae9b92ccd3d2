"""HTTP to one brain: the token, errors in words, and a second try where it is safe.

A call is tried again (three times in all) when the connection broke or the brain said 503, but only
if repeating it changes nothing: reads, and submits that carry an `Idempotency-Key`.
"""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from omeruta.config import is_local
from omeruta.errors import BrainError, NotReachable, ServerError, error_of

TRIES = 3
LONGEST_PAUSE = 5.0  # seconds between two tries, whatever Retry-After asks for


class Transport:
    """`timeout` is in seconds for one answer; `transport`, the wire below httpx, is for tests and proxies."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(timeout, connect=5.0),
            transport=transport,
            verify=_tls(url),
            # A proxy of the environment must not see (or break) what stays on this machine.
            trust_env=not is_local(url),
            follow_redirects=False,
        )

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **params: object) -> Any:
        """The JSON at `path`; parameters that are None are left out."""
        return self.call("GET", path, repeat=True, params=_present(params))

    def post(self, path: str, body: Mapping[str, object], *, repeat: bool = False) -> Any:
        return self.call("POST", path, repeat=repeat, json=_present(body))

    def submit(self, path: str, key: str | None = None, **request: Any) -> str:
        """Post a piece of work and answer its task id. The key makes a second try the same task."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        answer = self.call("POST", path, repeat=True, headers=headers, **request)
        if not isinstance(answer, Mapping) or not isinstance(answer.get("task_id"), str):
            raise ServerError(f"The brain took the request at {path} but named no task.")
        return str(answer["task_id"])

    def call(self, method: str, path: str, *, repeat: bool = False, **request: Any) -> Any:
        """The JSON answered (None for an empty body). Raises BrainError."""
        tries = TRIES if repeat else 1
        while True:
            tries -= 1
            try:
                return _json(self.send(method, path, **request))
            except (NotReachable, ServerError) as error:
                if not tries or not passing(error):
                    raise
                self.sleep(min(error.retry_after or 0.5 * (TRIES - tries), LONGEST_PAUSE))

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The whole response, read. Raises BrainError for a connection that fails and any status from 300 on."""
        with self._mapped():
            response = self._http.request(method, path, **request)
        _raise_for(response)
        return response

    def probe(self, path: str) -> tuple[int, Any]:
        """The status and JSON (None for none) of an address whose refusals are answers too."""
        with self._mapped():
            response = self._http.get(path)
        return response.status_code, _body(response)

    @contextmanager
    def stream(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """A response whose body is still to be read, with the same errors as `send`."""
        with self._mapped(), self._http.stream(method, path, **request) as response:
            if response.status_code >= 300:
                response.read()
            _raise_for(response)
            yield response

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise NotReachable(
                f"No brain answers at {self.url}. Start it with `omeruta up`.", code="not_reachable"
            ) from error
        except httpx.TimeoutException as error:
            raise NotReachable(
                f"The brain at {self.url} did not answer in time.", code="timeout"
            ) from error
        except (httpx.RequestError, httpx.StreamError) as error:
            raise NotReachable(
                f"The connection to {self.url} broke: {str(error) or type(error).__name__}.",
                code="connection_broke",
            ) from error
        except httpx.InvalidURL as error:
            raise BrainError(f"The address cannot be used: {error}.") from error


def _tls(url: str) -> ssl.SSLContext:
    """Certificates take 50 ms to load: for plain HTTP a context that trusts nobody will do."""
    if url.startswith("https:"):
        return httpx.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _present(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def passing(error: BrainError) -> bool:
    """Whether the same call may succeed a moment later. Where nothing listens, it will not.

    A 500 without the brain's own body comes from the proxy before it, while no replica is there.
    """
    away = error.status in (502, 503, 504) or (error.status == 500 and not error.code)
    return away or error.code in ("timeout", "connection_broke")


def _raise_for(response: httpx.Response) -> None:
    if response.status_code < 300:
        return
    raise error_of(response.status_code, _body(response), response.headers.get("Retry-After"))


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None  # a proxy's HTML page: the status says more than its text


def _json(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ServerError(
            "What answers there is no brain: its answer is not JSON.", status=response.status_code
        ) from error
