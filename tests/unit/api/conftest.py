"""A small brain behind the door, and clients of an owner and a member."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from serve_app.api.fake import SmallBrain, small_brain
from serve_app.domain.knowledge import PageDraft, WriteKey


def client_of(brain: SmallBrain, token: str | None) -> httpx.AsyncClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(brain.app)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost:8000", headers=headers)


@pytest.fixture
async def brain(tmp_path: Path) -> AsyncIterator[SmallBrain]:
    async with small_brain(tmp_path) as running:
        await running.add_member("ada")
        await running.add_member("bob")
        yield running


@pytest.fixture
async def owner(brain: SmallBrain) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(brain, brain.owner) as client:
        yield client


@pytest.fixture
async def ada(brain: SmallBrain) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(brain, brain.members["ada"]) as client:
        yield client


@pytest.fixture
async def bob(brain: SmallBrain) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(brain, brain.members["bob"]) as client:
        yield client


@pytest.fixture
async def nobody(brain: SmallBrain) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(brain, None) as client:
        yield client


@pytest.fixture
async def page_id(brain: SmallBrain) -> int:
    """A page about ferries, embedded."""
    draft = PageDraft(
        url="https://a.example/ferries",
        fetched_url="https://a.example/ferries",
        title="Ferries",
        markdown="# Ferries\n\nThe **ferry** to the island leaves at nine. <script>x</script>\n\n"
        "[Tickets](/tickets) are sold at the pier.",
    )
    stored = await brain.knowledge.store_pages(WriteKey("seed", 1, "one"), [draft])
    await brain.knowledge.embed_pending(10)
    return stored[0].page_id
