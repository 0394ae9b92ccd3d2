"""The door put together: `create_api(services)` is the whole of what clients see."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from serve_app.api import (
    agents,
    answers,
    auth,
    conversations,
    crawls,
    files,
    health,
    pages,
    schedules,
    search,
    stats,
    stream,
    tasks,
    transfer,
)
from serve_app.api.errors import ErrorMiddleware, install_error_handlers
from serve_app.api.limits import BodyLimitMiddleware, RateLimiter, StreamPermits
from serve_app.api.reference import STYLE, reference_page
from serve_app.api.security import Gate, HostMiddleware, TokenMiddleware, is_open
from serve_app.api.services import Services
from serve_app.api.static import WEB, HeadersMiddleware, WebFiles

VERSION = "0.1.0"

DESCRIPTION = """
A self-hosted knowledge brain: it reads web sources, and answers questions with quotes and sources.

Every call but `/healthz`, `/readyz`, the page's files, this reference and the login wants
`Authorization: Bearer TOKEN`. Every error is `{"error": "a sentence", "code": "short_name", "field": "..."}`.
Limits answer 413 or 429, the latter with `Retry-After`. A submit answers 202 with the id of a task that is on disk
already; with `Idempotency-Key` the same key of the same user answers with the same task.

**WebSocket `/ws/agent/`.** The token comes in the `Authorization` header or, from a browser, as the subprotocol
pair `bearer, TOKEN`; without a valid one the socket is closed with code 4401. The client sends objects with an
`action` and, if it likes, a `ref` that comes back in the answer:

| action | with |
|---|---|
| `start_chat` | `message`, `conversation_id`?, `use_context`?, `agent_type`? |
| `start_research` | `topic`, `expand_knowledge`?, `max_sources`? |
| `analyze_content` | `urls`, `analysis_type`? |
| `check_task`, `cancel_task` | `task_id` |
| `subscribe` | `task_id`, `after`? (the last event number seen) |

The server sends objects with a `type`: `task_started`, `task_update`, `agent_routed`, `sources`, `token`,
`knowledge_expanded`, `task_completed`, `task_failed`, `task_cancelled`, `task_status`, `error`. Every event of a
task carries `task_id`, `conversation_id`, `attempt` and its number `seq`.
"""

_ROUTERS = (
    agents,
    tasks,
    crawls,
    pages,
    files,
    search,
    transfer,
    conversations,
    schedules,
    stats,
    auth,
    health,
    stream,
)


def create_api(services: Services) -> FastAPI:
    """The ASGI application of one replica. Holds no state but short caches and counts."""
    settings = services.settings
    rates = RateLimiter(settings.limits.requests_per_minute)
    gate = Gate(services.ledger, rates)
    app = FastAPI(
        title="Omeruta Brain",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(services, gate),
    )
    app.state.services = services
    app.state.gate = gate
    app.state.permits = StreamPermits()
    install_error_handlers(app)
    for module in _ROUTERS:
        app.include_router(module.router)
    _add_reference(app)
    _add_page(app)
    return app


def _middleware(services: Services, gate: Gate) -> list[Middleware]:
    """Outermost first. Errors of the inner ones are answered by `ErrorMiddleware`."""
    serve, limits = services.settings.serve, services.settings.limits
    cross_origin = Middleware(
        CORSMiddleware,
        allow_origins=serve.allowed_origins,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
        expose_headers=["Retry-After"],
    )
    return [
        Middleware(HeadersMiddleware),
        *([cross_origin] if serve.allowed_origins else []),
        Middleware(ErrorMiddleware),
        Middleware(HostMiddleware, serve=serve),
        Middleware(TokenMiddleware, gate=gate),
        Middleware(BodyLimitMiddleware, limits=limits),
    ]


def _add_reference(app: FastAPI) -> None:
    drawn = app.openapi

    def described() -> dict[str, Any]:
        """FastAPI's description, with the token that a call wants and the one shape of all errors."""
        spec = drawn()
        components = spec.setdefault("components", {})
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        components["schemas"]["Error"] = answers.Error.model_json_schema()
        shape = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        for path, methods in spec["paths"].items():
            for operation in methods.values():
                operation["security"] = [] if is_open(path) else [{"bearer": []}]
                operation["responses"].pop("422", None)  # bad input answers 400 here
                for status in ("4XX", "5XX"):
                    operation["responses"][status] = {"description": "error", "content": shape}
        return spec

    app.openapi = described  # type: ignore[method-assign]

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(reference_page(app.openapi()))

    @app.get("/docs/reference.css", include_in_schema=False)
    async def docs_style() -> Response:
        return Response(STYLE, media_type="text/css")


def _add_page(app: FastAPI) -> None:
    files = WebFiles(directory=WEB)

    async def index(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    app.mount("/static", files, name="static")
    app.add_route("/", index, methods=["GET"], include_in_schema=False)
