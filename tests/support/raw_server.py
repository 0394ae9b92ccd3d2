"""A server that answers with bytes of the test's choice, well-formed or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


def ok(body: bytes | str, kind: str = "text/html; charset=utf-8", **headers: str) -> bytes:
    """A plain answer 200."""
    data = body.encode() if isinstance(body, str) else body
    return answer(200, data, {"Content-Type": kind, **headers})


def answer(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class RawServer:
    """`answers`: path -> bytes, or a function that writes. `requests` keeps each request's head."""

    def __init__(self, answers: dict[str, bytes | Answer]) -> None:
        self.answers = answers
        self.requests: list[str] = []
        self.url = ""

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    def heads(self, path: str) -> list[str]:
        return [head for head in self.requests if head.split(" ")[1] == path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.requests.append(head)
            path = head.split(" ")[1]
            found = self.answers.get(path, answer(404))
            if isinstance(found, bytes):
                writer.write(found)
                await writer.drain()
            else:
                await found(path, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client went away, as it may
        finally:
            writer.close()
