"""What tests do on the page again and again, and what they watch for meanwhile."""

from __future__ import annotations

from playwright.async_api import Page

from tests.browser.standin import TOKEN


class Watch:
    """What went wrong on a page while a test looked: errors, policy violations, requests to elsewhere."""

    def __init__(self, page: Page, home: str, *, policy_reports: bool = True) -> None:
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.dialogs: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda said: (
                self.errors.append(said.text)
                if policy_reports and "Content Security Policy" in said.text
                else None
            ),
        )
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(home) else self.foreign.append(asked.url),
        )
        page.on("dialog", lambda dialog: self.dialogs.append(dialog.message))

    def assert_clean(self) -> None:
        found = self.errors + self.foreign + self.dialogs
        assert found == [], found


async def log_in(page: Page, token: str = TOKEN) -> None:
    await page.get_by_test_id("login-token").fill(token)
    await page.get_by_test_id("login-submit").click()
    await page.get_by_test_id("composer").wait_for()


async def ask(page: Page, question: str) -> None:
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("send").click()
