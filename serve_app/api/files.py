"""Adding a file: HTML, markdown, text, PDF or docx."""

from __future__ import annotations

from pathlib import PurePosixPath
from uuid import uuid4

from fastapi import APIRouter, UploadFile
from starlette.responses import JSONResponse

from serve_app.api import answers
from serve_app.api.schemas import IdempotencyKey
from serve_app.api.security import Caller
from serve_app.api.services import Brain
from serve_app.api.work import Work, accept
from serve_app.domain.errors import BadRequest, TooLarge
from serve_app.domain.knowledge import Upload

router = APIRouter(prefix="/api/files", tags=["knowledge"])

MAX_NAME = 200
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_BY_SUFFIX = {
    ".html": "text/html",
    ".htm": "text/html",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".pdf": "application/pdf",
    ".docx": _DOCX,
}


def media_type(filename: str, declared: str | None) -> str:
    """By the name's ending, else as declared. Raises BadRequest for a kind that is not read."""
    by_name = _BY_SUFFIX.get(PurePosixPath(filename.lower()).suffix)
    stated = (declared or "").partition(";")[0].strip().lower()
    found = by_name or (stated if stated in _BY_SUFFIX.values() else None)
    if found is None:
        raise BadRequest(
            f"'{filename}' is of no kind that is read here: HTML, markdown, text, PDF or docx.",
            field="file",
        )
    return found


def display_name(filename: str | None) -> str:
    """The last part of the name a client gave, printable and bounded. It is a label, never a path."""
    last = (filename or "").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable()).strip()[-MAX_NAME:] or "file"


@router.post("/", response_model=answers.Accepted, status_code=202)
async def add_file(
    file: UploadFile, brain: Brain, who: Caller, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Upload one file in the form field `file`."""
    name = display_name(file.filename)
    kind = media_type(name, file.content_type)
    bound = brain.settings.limits.upload_bytes
    data = await file.read(bound + 1)
    if not data:
        raise BadRequest("'file' is empty.", field="file")
    if len(data) > bound:
        raise TooLarge(f"A file may have at most {bound:,} bytes.", field="file")
    upload = Upload(uuid4().hex, name, kind, data)
    await brain.knowledge.put_upload(upload)
    args = {"upload_id": upload.id, "filename": name, "media_type": kind}
    work = Work("add_file", args, f"'{name}' is being read in.")
    return await accept(brain, who, work, idempotency_key)
