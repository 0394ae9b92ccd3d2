"""A played brain and a browser that looks at it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.looking import Watch, log_in
from tests.browser.standin import StandIn

ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
]


@pytest_asyncio.fixture(loop_scope="module")
async def brain() -> AsyncIterator[StandIn]:
    async with StandIn(pace=0.5) as standin:
        yield standin


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=ARGUMENTS
        )
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, brain: StandIn) -> AsyncIterator[Page]:
    """The login screen on a desktop, watched: a test fails when anything went wrong on it."""
    async with await browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        shown = await context.new_page()
        shown.set_default_timeout(15_000)
        watch = Watch(shown, brain.url)
        await shown.goto(brain.url)
        yield shown
        watch.assert_clean()


@pytest_asyncio.fixture(loop_scope="module")
async def home(page: Page) -> Page:
    """Logged in."""
    await log_in(page)
    return page
