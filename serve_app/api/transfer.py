"""The whole knowledge base out and in, as gzip-packed JSON lines.

First line `{"omeruta_export": 1, "exported_at": ...}`, then a page a line, last `{"omeruta_export_end": 1, "pages": N}`:
so a file that was cut short is told from a whole one.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, StreamingResponse

from serve_app.api import answers, schemas
from serve_app.api.pages import add_items
from serve_app.api.schemas import MAX_ITEMS, IdempotencyKey, ImportLine
from serve_app.api.security import Caller, Owner
from serve_app.api.services import Brain, Services
from serve_app.api.wire import plain
from serve_app.api.work import Work, accepted_body, submit
from serve_app.domain.errors import BadRequest, TooLarge

router = APIRouter(prefix="/api", tags=["knowledge"])

VERSION = 1
PART_BYTES = 8_000_000  # of text in one upload of an import
_STEP = 1 << 16
_GZIP = 16 + zlib.MAX_WBITS
_BODY = {"application/gzip": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/export/",
    response_class=StreamingResponse,
    responses={200: {"content": _BODY, "description": "pages as packed JSON lines"}},
)
async def export_pages(brain: Brain, who: Caller) -> StreamingResponse:
    """All pages as gzip-packed JSON lines, streamed. Any user may read pages, and so take them along."""
    name = f"omeruta-{datetime.now(UTC):%Y-%m-%d}.jsonl.gz"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_packed(brain), media_type="application/gzip", headers=headers)


async def _packed(brain: Services) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(wbits=_GZIP)
    header = {"omeruta_export": VERSION, "exported_at": plain(datetime.now(UTC))}
    yield packer.compress(_lines([header]))
    pages = 0
    async for batch in brain.knowledge.export():
        pages += len(batch)
        yield await asyncio.to_thread(packer.compress, _lines(batch))
    yield packer.compress(_lines([{"omeruta_export_end": VERSION, "pages": pages}]))
    yield packer.flush()


def _lines(objects: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(plain(o), ensure_ascii=False).encode() + b"\n" for o in objects)


@router.post(
    "/import/",
    response_model=answers.Imported,
    status_code=202,
    openapi_extra={"requestBody": {"content": _BODY, "required": True}},
)
async def import_pages(
    request: Request, brain: Brain, who: Owner, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Read an export in (packed or not), owners only. It is read whole before any task is made: all of it, or none."""
    parts: list[Work] = []
    limits = brain.settings.limits
    lines = unpacked(request.stream(), limits.import_bytes, limits.upload_bytes)
    async with aclosing(lines), aclosing(import_parts(lines)) as items:
        async for part in items:
            parts.append(await add_items(brain, part))
    if not parts:
        raise BadRequest("This export holds no pages.")
    tasks = [
        await submit(brain, who, work, f"{idempotency_key}/{n}" if idempotency_key else None)
        for n, work in enumerate(parts)
    ]
    pages = sum(work.args["count"] for work in parts)
    told = accepted_body(tasks[-1], f"{pages} pages are being read in.")
    return JSONResponse({**told, "task_ids": [t.id for t in tasks], "pages": pages}, 202)


async def unpacked(
    body: AsyncIterator[bytes], bound: int, line_bound: int
) -> AsyncGenerator[bytes]:
    """The lines of a body, gzip-packed or plain, as they come.

    Raises TooLarge over `bound` bytes unpacked or `line_bound` in one line (so a bomb ends early), and
    BadRequest for what is no gzip or ends too early.
    """
    unpacker = None
    total, rest, begun = 0, b"", False
    async for chunk in body:
        if not begun and chunk:
            begun = True
            unpacker = zlib.decompressobj(_GZIP) if chunk[:1] == b"\x1f" else None
        for piece in _pieces(unpacker, chunk):
            total += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            if total > bound or len(rest) > line_bound:
                raise TooLarge("This export is larger than this brain takes in one import.")
            for line in lines:
                yield line
    if unpacker is not None and not unpacker.eof:
        raise BadRequest("This export ends too early: the packed file is not whole.")
    if rest:
        yield rest


def _pieces(unpacker: Any, chunk: bytes) -> Iterator[bytes]:
    if unpacker is None:
        yield chunk
        return
    try:
        while chunk:
            if unpacker.eof:
                raise BadRequest("There is something behind the end of this export.")
            yield unpacker.decompress(chunk, _STEP)
            chunk = unpacker.unconsumed_tail or unpacker.unused_data
    except zlib.error:
        raise BadRequest("This export cannot be unpacked: it is no whole gzip file.") from None


async def import_parts(lines: AsyncIterator[bytes]) -> AsyncGenerator[list[dict[str, Any]]]:
    """Checked items for `add_pages`, in parts of a bounded number and size."""
    part: list[dict[str, Any]] = []
    number = pages = size = 0
    stated: Any = None
    async for line in lines:
        number += 1
        found = _read_line(line, number)
        if number == 1:
            if found.get("omeruta_export") != VERSION:
                raise BadRequest("This is no export of a brain: its first line does not say so.")
            continue
        if stated is not None:
            raise BadRequest(f"Line {number} comes after the end of the export.")
        if "omeruta_export_end" in found:
            stated = found.get("pages")
            continue
        part.append(_item(found, number))
        pages, size = pages + 1, size + len(line)
        if len(part) == MAX_ITEMS or size > PART_BYTES:
            yield part
            part, size = [], 0
    if stated != pages:
        raise BadRequest("This export was cut short: its last line is missing or counts otherwise.")
    if part:
        yield part


def _read_line(line: bytes, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest(f"Line {number} of the export is no JSON object.")
    return found


def _item(found: dict[str, Any], number: int) -> dict[str, Any]:
    try:
        page = ImportLine.model_validate(found)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BadRequest(
            f"Line {number} of the export: '{field}' is missing or unusable."
        ) from None
    item = page.model_dump(mode="json", exclude_none=True)
    return {**item, "title": page.title or page.url[: schemas.MAX_TITLE], "source": "import"}
