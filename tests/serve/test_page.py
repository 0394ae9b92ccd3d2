"""A person in front of the page of a real brain: log in, crawl, ask, see sources. Screenshots stay out of the tree."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from support.brain import RunningBrain
from support.site import ExampleSite
from tests.browser.conftest import ARGUMENTS

pytestmark = [pytest.mark.serve, pytest.mark.browser, pytest.mark.timeout(180)]

PATIENCE = 60_000  # milliseconds


@pytest.fixture
def page(brain: RunningBrain) -> Iterator[Page]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        shown = chromium.new_page(viewport={"width": 1280, "height": 800})
        shown.set_default_timeout(PATIENCE)
        errors: list[str] = []
        foreign: list[str] = []
        shown.on("pageerror", lambda error: errors.append(str(error)))
        shown.on(
            "request",
            lambda asked: None if asked.url.startswith(brain.url) else foreign.append(asked.url),
        )
        shown.goto(brain.url)
        yield shown
        chromium.close()
        assert errors == []
        assert foreign == []


def shoot(page: Page, name: str, tmp_path: Path) -> None:
    """Into the folder that OMERUTA_SCREENSHOTS names, or one that is thrown away."""
    folder = Path(os.environ.get("OMERUTA_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def test_log_in_crawl_ask_and_see_sources(
    page: Page, brain: RunningBrain, site: ExampleSite, tmp_path: Path
) -> None:
    shoot(page, "1-login", tmp_path)
    page.get_by_test_id("login-token").fill("not-a-token")
    page.get_by_test_id("login-submit").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    page.get_by_test_id("login-token").fill(brain.token)
    page.get_by_test_id("login-submit").click()
    expect(page.get_by_test_id("composer")).to_be_visible()
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live")
    shoot(page, "2-empty", tmp_path)

    page.get_by_test_id("nav-knowledge").click()
    page.get_by_test_id("crawl-url").fill(f"{site.url}/docs/")
    page.get_by_test_id("crawl-pages").fill("30")
    page.get_by_test_id("crawl-start").click()
    stored = page.get_by_test_id("crawl-counts").first.locator("[data-count=stored]")
    expect(stored).not_to_have_attribute("data-value", "0", timeout=PATIENCE)
    expect(page.get_by_test_id("job").first).to_contain_text("Done", timeout=PATIENCE)
    shoot(page, "3-crawl", tmp_path)

    page.get_by_test_id("nav-chat").click()
    page.get_by_test_id("composer").fill("How many series does a basin hold at most?")
    page.get_by_test_id("send").click()
    answer = page.get_by_test_id("answer").last
    expect(answer.get_by_test_id("confidence")).to_be_visible(timeout=PATIENCE)
    expect(answer.get_by_test_id("source").first).to_contain_text("Limits")
    expect(answer).to_contain_text("20,000 series")
    expect(answer.get_by_test_id("agent")).to_be_visible()
    shoot(page, "4-answer", tmp_path)

    answer.get_by_test_id("open-passage").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("20,000 series")
    shoot(page, "5-passage", tmp_path)
    page.keyboard.press("Escape")

    for view in ("tasks", "system"):
        page.get_by_test_id(f"nav-{view}").click()
        page.wait_for_timeout(800)
        shoot(page, f"6-{view}", tmp_path)
    page.get_by_test_id("nav-chat").click()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    shoot(page, "7-phone", tmp_path)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
