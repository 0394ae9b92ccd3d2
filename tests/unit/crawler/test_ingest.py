"""Lists and files that a person gives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from crawler.ingest import ITEMS_TYPE, MAX_ITEMS, read_file, read_items
from crawler.pool import ReadingPool
from serve_app.domain.errors import BadRequest
from serve_app.domain.knowledge import Link, Upload


def items(value: Any) -> Upload:
    return Upload("u1", "items.json", ITEMS_TYPE, json.dumps(value).encode())


def test_addresses_and_texts_are_told_apart() -> None:
    got = read_items(
        items(
            [
                {"url": "http://a.test/1"},
                {"url": "http://a.test/1"},
                {"title": "Note", "text": "# Words"},
                {"text": "First line\nmore", "url": "http://A.test/n?utm_source=x"},
            ]
        )
    )
    assert got.urls == ("http://a.test/1",)
    assert got.failures == ()
    note, page = got.drafts
    assert note.url.startswith("urn:omeruta:text:")
    assert (note.title, note.markdown, note.source) == ("Note", "# Words", "text")
    assert (page.url, page.title) == ("http://a.test/n", "First line")


def test_a_page_of_an_export_keeps_what_is_known_of_it() -> None:
    got = read_items(
        items(
            [
                {
                    "url": "urn:omeruta:file:12:a.pdf",
                    "title": "T",
                    "text": "x",
                    "source": "import",
                    "language": "de",
                    "etag": '"1"',
                    "fetched_at": "2026-01-02T03:04:05Z",
                    "published_at": "2025-01-01",
                }
            ]
        )
    ).drafts[0]
    assert (got.url, got.source, got.language, got.etag) == (
        "urn:omeruta:file:12:a.pdf",
        "import",
        "de",
        '"1"',
    )
    assert got.fetched_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert got.published_at == datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "item",
    [
        3,
        None,
        {},
        {"url": "ftp://a.test/"},
        {"url": 5},
        {"text": "x", "url": "nowhere"},
        {"text": " "},
    ],
)
def test_a_bad_item_is_a_failure_of_its_own(item: Any) -> None:
    got = read_items(items([{"url": "http://a.test/"}, item]))
    assert got.urls == ("http://a.test/",)
    assert [failure.reason for failure in got.failures] == ["bad_item"]
    assert "Item 2" in got.failures[0].message


@pytest.mark.parametrize(
    "data", [b"no json", b"{}", b"\xff", json.dumps([{}] * (MAX_ITEMS + 1)).encode()]
)
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        read_items(Upload("u", "items.json", ITEMS_TYPE, data))


@pytest.fixture
async def pool() -> AsyncIterator[ReadingPool]:
    pool = ReadingPool(timeout=30, slots=1)
    yield pool
    await pool.close()


async def test_a_file_becomes_a_page(pool: ReadingPool) -> None:
    html = b'<title>T</title><p>Some words.</p><a href="http://a.test/x?b=1&a=2">x</a><a href="y">y</a>'
    upload = Upload("u", "my page.html", "text/html", html)
    got = await read_file(upload, pool)
    assert got.title == "T"
    assert "Some words." in got.markdown
    assert got.url.startswith("urn:omeruta:file:")
    assert got.url.endswith(":my%20page.html")
    assert got.links == (Link("http://a.test/x?a=2&b=1", "x"),)
    assert await read_file(upload, pool) == got


async def test_a_file_that_can_not_be_read_is_the_callers_trouble(pool: ReadingPool) -> None:
    for kind, data in (
        ("image/png", b"x"),
        ("application/pdf", b"x"),
        ("text/plain", b" "),
        ("text/html", b"<p>"),
    ):
        with pytest.raises(BadRequest) as caught:
            await read_file(Upload("u", "name", kind, data), pool)
        assert caught.value.field == "file"
