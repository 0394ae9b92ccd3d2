"""Where addresses for a topic come from: the link graph of known pages, and a JSON search API.

A provider proposes; only the guarded crawler fetches. The search API's own address is set by the
operator and by nobody else (docs/operations/connections.md).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from serve_app.domain.errors import ConfigError, Unavailable
from serve_app.domain.ports import Knowledge
from serve_app.domain.web import Candidate
from serve_app.settings import SearchSettings

MAX_BODY = 1_000_000  # bytes
TIMEOUT = 10.0  # seconds in all
MAX_URL = 2_000
MAX_TEXT = 300
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class LinkGraphProvider:
    """Addresses that known pages link to and that were never read."""

    name = "links of known pages"

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    async def find(self, topic: str, limit: int) -> list[Candidate]:
        links = await self._knowledge.link_candidates(topic, limit)
        return [
            Candidate(url=link.url, title=link.text, provider=self.name, score=link.score)
            for link in links
        ]


class JsonSearchProvider:
    """A search API that answers a GET with JSON: a list of results under `settings.results_field`.

    The field may be a path (`web.results`). A result is an object with `url` (or `link`), and maybe
    `title` and `snippet` (or `description`, `content`). A token from `settings.token_file` is sent as a
    bearer token. Redirects are not followed, and environment proxies are not used.
    """

    name = "search API"

    def __init__(self, settings: SearchSettings) -> None:
        """Raises ConfigError unless the address is HTTPS (plain HTTP is for this machine only)."""
        try:
            parts = urlsplit(settings.url)
            host, scheme = parts.hostname or "", parts.scheme
        except ValueError as error:
            raise ConfigError("search.url is not an address.") from error
        if not host or not (scheme == "https" or (scheme == "http" and host in _LOOPBACK)):
            raise ConfigError("search.url must be an https:// address.")
        self._settings = settings

    async def find(self, topic: str, limit: int) -> list[Candidate]:
        """Raises Unavailable when the API cannot be reached or answers with anything unexpected."""
        try:
            async with asyncio.timeout(TIMEOUT):
                body = await self._get(topic)
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise Unavailable("The search API could not be reached.") from error
        try:
            results = self._results(json.loads(body))
        except (ValueError, RecursionError) as error:
            raise Unavailable("The search API did not answer with JSON.") from error
        found = [c for c in map(self._candidate, results) if c is not None]
        return found[:limit]

    async def _get(self, topic: str) -> bytes:
        headers = {"Accept": "application/json"}
        if self._settings.token_file:
            secret = await asyncio.to_thread(Path(self._settings.token_file).read_text, "utf-8")
            headers["Authorization"] = f"Bearer {secret.strip()}"
        url = httpx.URL(self._settings.url).copy_merge_params({self._settings.query_param: topic})
        body = bytearray()
        async with (
            httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise Unavailable(f"The search API answered {answer.status_code}.")
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MAX_BODY:
                    raise Unavailable("The search API's answer is too large.")
        return bytes(body)

    def _results(self, answer: Any) -> list[Any]:
        value = answer
        for key in self._settings.results_field.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, list):
            field = self._settings.results_field
            raise Unavailable(f"The search API's answer has no list “{field}”.")
        return value[:100]

    def _candidate(self, result: Any) -> Candidate | None:
        if not isinstance(result, Mapping):
            return None
        url = _first_text(result, ("url", "link", "href"), MAX_URL + 1)
        if not url.startswith(("http://", "https://")) or len(url) > MAX_URL:
            return None
        return Candidate(
            url=url,
            title=_first_text(result, ("title", "name"), MAX_TEXT),
            snippet=_first_text(result, ("snippet", "description", "content"), MAX_TEXT),
            provider=self.name,
        )


def _first_text(result: Mapping[str, Any], keys: tuple[str, ...], most: int) -> str:
    for key in keys:
        value = result.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()[:most]
    return ""
