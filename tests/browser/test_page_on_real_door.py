"""The page in front of the real door: ledger, knowledge and API as they are, only the work itself is scripted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import Browser, Page, expect

from serve_app.api.fake import SmallBrain, small_brain
from serve_app.domain.knowledge import PageDraft, WriteKey
from tests.browser.looking import Watch, ask, log_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

ADDRESS = "https://a.example/ferries"


@pytest_asyncio.fixture(loop_scope="module")
async def real(tmp_path: Path) -> AsyncIterator[SmallBrain]:
    async with small_brain(tmp_path) as running:
        draft = PageDraft(ADDRESS, ADDRESS, "Ferries", "# Ferries\n\nThe ferry leaves at nine.\n")
        await running.knowledge.store_pages(WriteKey("t", 1, "s"), [draft])
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, real: SmallBrain) -> AsyncIterator[Page]:
    """Logged in as the owner."""
    config = uvicorn.Config(
        real.app, log_level="error", ws="websockets-sansio", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))  # who comes before it serves is kept waiting
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with await browser.new_context() as context:
        shown = await context.new_page()
        watch = Watch(shown, url)
        await shown.goto(url)
        await log_in(shown, real.owner)
        yield shown
        watch.assert_clean()
    server.should_exit = True
    await serving


async def test_ask_and_find_the_answer_again(page: Page) -> None:
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live")
    await ask(page, "When does the ferry leave?")
    await page.get_by_test_id("confidence").wait_for()
    await expect(page.get_by_test_id("answer-text").locator("strong")).to_have_text("nine")
    await expect(page.get_by_test_id("quote")).to_have_text("The ferry leaves at nine.")
    await page.reload()
    await page.get_by_test_id("confidence").wait_for()
    await expect(page.get_by_test_id("question")).to_have_text("When does the ferry leave?")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_test_id("confirm").click()
    await expect(page.locator(".talks a")).to_have_count(0)


async def test_cancel_a_waiting_answer_and_try_it_again(page: Page, real: SmallBrain) -> None:
    await ask(page, "wait for it")
    await expect(page.get_by_test_id("status-line")).to_have_text("Searching.")
    await page.get_by_test_id("cancel").click()
    await page.get_by_test_id("problem").wait_for()
    real.worker.release.set()
    await page.get_by_test_id("try-again").click()
    await page.get_by_test_id("confidence").wait_for()


async def test_library_crawl_tasks_and_system(page: Page) -> None:
    await page.get_by_test_id("nav-knowledge").click()
    row = page.get_by_test_id("page-row")
    await expect(row).to_have_count(1)
    await row.get_by_role("button", name="Ferries", exact=True).click()
    await expect(page.get_by_role("dialog")).to_contain_text("The ferry leaves at nine.")
    await page.keyboard.press("Escape")
    await page.get_by_test_id("crawl-url").fill("a.example")
    await page.get_by_test_id("crawl-start").click()
    await expect(page.get_by_test_id("job")).to_contain_text("Done")
    await page.get_by_test_id("nav-research").click()
    await page.get_by_test_id("research-topic").fill("ferries")
    await page.get_by_test_id("research-start").click()
    await page.get_by_test_id("confidence").wait_for()
    await page.get_by_test_id("nav-tasks").click()
    await expect(page.get_by_test_id("task")).to_have_count(2)
    await expect(page.get_by_test_id("schedules").get_by_role("listitem")).to_have_count(4)
    await page.get_by_role("button", name="Switch off").first.click()
    await expect(page.get_by_role("button", name="Switch on")).to_have_count(1)
    await page.get_by_test_id("nav-system").click()
    await expect(page.get_by_test_id("health")).to_contain_text("Ready to answer")
