"""The line protocol between the crawler and its reading processes: a JSON header, then raw bytes.

4 bytes  length of the header, big endian
4 bytes  length of the body
header   JSON, UTF-8
body     bytes
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, BinaryIO

_LENGTHS = struct.Struct(">II")
MAX_FRAME = 64_000_000


def frame(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One message."""
    head = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace")
    return _LENGTHS.pack(len(head), len(body)) + head + body


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next message of a blocking stream, None at its end."""
    start = stream.read(_LENGTHS.size)
    if len(start) < _LENGTHS.size:
        return None
    head_size, body_size = _LENGTHS.unpack(start)
    return json.loads(stream.read(head_size)), stream.read(body_size)


async def receive_frame(stream: asyncio.StreamReader) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises EOFError when the stream ends, ValueError when the message is too long."""
    head_size, body_size = _LENGTHS.unpack(await stream.readexactly(_LENGTHS.size))
    if head_size + body_size > MAX_FRAME:
        raise ValueError("The message is too long.")
    head = await stream.readexactly(head_size)
    return json.loads(head), await stream.readexactly(body_size)
