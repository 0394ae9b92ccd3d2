"""The other views: knowledge, research, tasks, system; and the page on a phone, in both colour schemes."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.looking import Watch, ask, log_in
from tests.browser.standin import StandIn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def open_view(page: Page, name: str) -> None:
    await page.get_by_test_id(f"nav-{name}").click()


async def test_crawl_is_started_and_watched_in_true_counts(home: Page, brain: StandIn) -> None:
    await open_view(home, "knowledge")
    await home.get_by_test_id("crawl-start").click()
    await expect(home.get_by_role("alert")).to_have_text("Please enter an address.")
    await home.get_by_test_id("crawl-url").fill("docs.example.org")
    await home.get_by_test_id("crawl-pages").fill("28")
    await home.get_by_test_id("crawl-start").click()
    counts = home.get_by_test_id("crawl-counts")
    await counts.wait_for()
    await expect(counts.locator("[data-count=stored]")).to_have_attribute("data-value", "26")
    await expect(counts.locator("[data-count=failed]")).to_have_attribute("data-value", "2")
    await home.get_by_text("2 addresses could not be read").click()
    await expect(home.get_by_test_id("job")).to_contain_text("robots.txt")
    crawl = {"url": "https://docs.example.org", "max_pages": 28, "max_depth": 5}
    assert ("/api/crawls/", crawl) in brain.posted


async def test_running_crawl_is_found_again_and_stopped(home: Page, brain: StandIn) -> None:
    brain.pace = 5
    await open_view(home, "knowledge")
    await home.get_by_test_id("crawl-url").fill("https://docs.example.org")
    await home.get_by_test_id("crawl-start").click()
    await home.get_by_test_id("crawl-counts").wait_for()
    await home.reload()
    await home.get_by_role("button", name="Stop").click()
    await expect(home.get_by_test_id("job")).to_contain_text("Stopped; what was read is kept")


async def test_page_and_file_are_added(home: Page, brain: StandIn, tmp_path: Path) -> None:
    await open_view(home, "knowledge")
    await home.get_by_test_id("page-url").fill("https://example.org/one")
    await home.get_by_test_id("page-add").click()
    await expect(home.get_by_test_id("job")).to_have_count(1)
    note = tmp_path / "notes.md"
    note.write_text("# Notes\n")
    await home.get_by_test_id("file").set_input_files(note)
    await home.get_by_test_id("file-add").click()
    await expect(home.get_by_test_id("job")).to_have_count(2)
    paths = [path for path, _ in brain.posted]
    assert paths == ["/api/pages/", "/api/files/"]


async def test_library_is_searched_opened_and_pruned(home: Page, brain: StandIn) -> None:
    await open_view(home, "knowledge")
    rows = home.get_by_test_id("page-row")
    await expect(rows).to_have_count(5)
    await home.get_by_test_id("library-search").fill("backups")
    await expect(rows).to_have_count(1)
    await rows.get_by_role("button", name="Backups and restore", exact=True).click()
    await expect(home.get_by_role("dialog")).to_contain_text("The brain answers from pages")
    await home.keyboard.press("Escape")
    await rows.get_by_role("button", name="Delete").click()
    await home.get_by_role("button", name="Keep it").click()
    assert 4 in brain.pages
    await rows.get_by_role("button", name="Delete").click()
    await home.get_by_test_id("confirm").click()
    await expect(rows).to_have_count(0)
    assert 4 not in brain.pages
    await home.get_by_label("Where to search").select_option("passages")
    await expect(home.get_by_test_id("hit")).to_have_count(1)


async def test_research_and_analysis_answer_in_chats_of_their_own(
    home: Page, brain: StandIn
) -> None:
    await open_view(home, "research")
    await home.get_by_test_id("research-topic").fill("HTTP/3")
    await home.get_by_test_id("research-start").click()
    await expect(home.get_by_test_id("expanded")).to_contain_text("5 pages kept")
    await expect(home.get_by_text("Content quality 74 %")).to_be_visible()
    await open_view(home, "research")
    await home.get_by_test_id("analyze-urls").fill("https://a.example\nhttps://b.example")
    await home.get_by_test_id("analyze-start").click()
    await home.get_by_test_id("confidence").wait_for()
    await expect(home.locator(".talks a")).to_have_count(2)
    assert brain.posted[0][1] == {"topic": "HTTP/3", "expand_knowledge": True, "max_sources": 5}


async def test_tasks_schedules_and_system_are_shown(home: Page, brain: StandIn) -> None:
    await ask(home, "please fail")
    await home.get_by_test_id("problem").wait_for()
    await open_view(home, "tasks")
    await expect(home.get_by_test_id("task")).to_contain_text("ran out of memory")
    await home.get_by_test_id("task").get_by_role("button", name="Try again").click()
    await expect(home.get_by_test_id("task")).to_contain_text("Running")
    schedules = home.get_by_test_id("schedules")
    await expect(schedules.get_by_role("listitem")).to_have_count(4)
    await schedules.get_by_role("button", name="Run now").first.click()
    await expect(home.get_by_test_id("task")).to_have_count(2)
    assert ("/api/schedules/clean_up/run/", None) in brain.posted
    await open_view(home, "system")
    await expect(home.get_by_test_id("health")).to_contain_text("Ready to answer")
    await expect(home.get_by_text("1,284")).to_be_visible()
    await expect(home.get_by_text("Unknown field")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_phone_has_no_sideways_scroll(browser: Browser, brain: StandIn, scheme: str) -> None:
    async with await browser.new_context(
        viewport={"width": 390, "height": 844},
        color_scheme=scheme,  # type: ignore[arg-type]
        is_mobile=True,
        has_touch=True,
    ) as context:
        page = await context.new_page()
        watch = Watch(page, brain.url)
        await page.goto(brain.url)
        await log_in(page)

        async def fits() -> None:
            width = await page.evaluate(
                "Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll"
                "('main, .log-frame, .view')].map((one) => one.scrollWidth))"
            )
            assert width <= 390

        await fits()
        await ask(page, "How do I add a website? " + "Averyveryverylongword" * 8)
        await page.get_by_test_id("confidence").wait_for()
        await fits()
        for name in ("knowledge", "research", "tasks", "system"):
            await page.get_by_role("button", name="Menu").click()
            await open_view(page, name)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            await page.wait_for_load_state("networkidle")
            await fits()
        watch.assert_clean()


async def test_everything_that_is_pressed_or_filled_has_a_name(home: Page) -> None:
    nameless = """() => [...document.querySelectorAll('button, a, input, select, textarea, progress')]
      .filter((one) => !(one.ariaHidden || one.ariaLabel || one.textContent.trim() || one.labels?.length))
      .map((one) => one.outerHTML)"""
    await ask(home, "How do I add a website?")
    await home.get_by_test_id("confidence").wait_for()
    for name in ("chat", "knowledge", "research", "tasks", "system"):
        await open_view(home, name)
        await home.wait_for_load_state("networkidle")
        assert await home.evaluate(nameless) == []
