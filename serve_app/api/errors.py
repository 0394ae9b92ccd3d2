"""Every failure leaves the door in one shape: `{"error": sentence, "code": short_name, "field"?}`.

Foreign errors (FastAPI's, Starlette's, pydantic's) are mapped here; whatever is left over is a 500 whose trace
goes to the log and nowhere else. Under `/v1` the same error has OpenAI's shape.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.domain.errors import BadRequest, BrainError, NotFound, TooLarge

log = logging.getLogger(__name__)

INTERNAL = "Something went wrong inside the brain. It has been logged; please try again."

_HTTP: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request could not be read."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not answer to that method."),
    413: ("too_large", "The body is larger than this address takes."),
}


def error_response(error: BrainError, path: str) -> JSONResponse:
    """`error` as an answer to a request for `path`."""
    headers = {}
    if error.status in (429, 503):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 1)))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = openai_body(error) if path.startswith("/v1/") else error.body()
    return JSONResponse(body, error.status, headers)


def openai_body(error: BrainError) -> dict[str, object]:
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    shape = {"message": error.message, "type": kind, "param": error.field, "code": error.code}
    return {"error": shape}


def validation_error(problems: Sequence[Mapping[str, Any]]) -> BrainError:
    """The first of pydantic's findings as one of our errors, naming the field in a sentence."""
    problem = problems[0]
    place, *inner = problem["loc"] or ("body",)
    if place == "path":
        return NotFound("There is nothing under this id.")
    kind = problem["type"]
    if kind == "json_invalid":
        return BadRequest("The body is not valid JSON.")
    field = ".".join(str(part) for part in inner)
    if not field:
        return BadRequest(_whole_body(problem))
    return BadRequest(_sentence(kind, field, problem), field=field)


def _whole_body(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return "The body must be a JSON object, sent with Content-Type: application/json."


def _sentence(kind: str, field: str, problem: Mapping[str, Any]) -> str:
    if kind == "missing":
        return f"'{field}' is missing."
    if kind == "extra_forbidden":
        return f"'{field}' is not a field of this request."
    if kind == "string_too_short":
        return f"'{field}' must not be blank."
    if kind == "value_error":
        return f"'{field}': {problem['ctx']['error']}"
    return f"'{field}': {problem['msg']}."


def http_error(error: HTTPException) -> BrainError:
    """Starlette's own errors (unknown address, wrong method, unreadable form)."""
    code, sentence = _HTTP.get(error.status_code, ("http_error", str(error.detail)))
    if error.status_code == 413:
        return TooLarge(str(error.detail) or sentence)
    mapped = BrainError(sentence)
    mapped.status, mapped.code = error.status_code, code
    return mapped


def install_error_handlers(app: FastAPI) -> None:
    async def on_brain(request: Request, error: BrainError) -> JSONResponse:
        if error.status >= 500:
            log.warning("%s %s: %s (%s)", request.method, request.url.path, error, error.code)
        return error_response(error, request.url.path)

    async def on_validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return error_response(validation_error(error.errors()), request.url.path)

    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        response = error_response(http_error(error), request.url.path)
        if error.headers is not None:
            response.headers.update(error.headers)
        return response

    app.exception_handler(BrainError)(on_brain)
    app.exception_handler(RequestValidationError)(on_validation)
    app.exception_handler(HTTPException)(on_http)


class ErrorMiddleware:
    """Answers what the middlewares below it raise, and whatever nobody expected."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except BrainError as error:
            if started:
                raise
            await error_response(error, scope["path"])(scope, receive, send)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise  # half an answer is out: only breaking the connection can say so
            await error_response(BrainError(INTERNAL), scope["path"])(scope, receive, send)
