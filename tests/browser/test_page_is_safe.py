"""Nothing that a page, a model or a user wrote is run, and nothing makes the browser ask elsewhere.

Hostile text comes by both ways that text can come, the stream of events and the stored history, and into every
place that shows text: titles, quotes, agents, messages, answers as text and as HTML, pages, qualities. All of it
happens twice, once without the Content Security Policy: the page must be safe by itself, the policy is the second wall.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser import script
from tests.browser.looking import Watch, ask
from tests.browser.standin import StandIn, ago

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

FORBIDDEN = """() => {
  const bad = [...document.querySelectorAll(
    'main script, main iframe, main object, main embed, main video, main style, main link, main base, main meta, main form[action], '
    + 'main img, dialog img, dialog script, dialog iframe, dialog style, dialog form, [srcdoc], [onerror], [onclick], [onload]')];
  const links = [...document.querySelectorAll('a[href]')].filter((a) => !/^https?:$/.test(a.protocol));
  const styled = [...document.querySelectorAll('[style]')];
  return [...bad, ...links, ...styled].map((one) => one.outerHTML.slice(0, 200));
}"""


@pytest_asyncio.fixture(loop_scope="module", params=[False, True], ids=["policy", "no-policy"])
async def page(
    browser: Browser, brain: StandIn, request: pytest.FixtureRequest
) -> AsyncIterator[Page]:
    async with await browser.new_context(bypass_csp=request.param) as context:
        shown = await context.new_page()
        # With the policy on, Chromium reports what it meets in the inert document that is only read.
        watch = Watch(shown, brain.url, policy_reports=False)
        await shown.goto(brain.url)
        yield shown
        watch.assert_clean()


async def assert_untouched(page: Page) -> None:
    await page.wait_for_timeout(300)
    assert await page.evaluate(FORBIDDEN) == []
    assert await page.evaluate("window.pwned") is None


async def test_hostile_stream(home: Page) -> None:
    await ask(home, "attack: " + script.HOSTILE[:3000])
    await home.get_by_test_id("quote").first.wait_for()
    await assert_untouched(home)
    await home.get_by_test_id("confidence").wait_for()
    await home.get_by_role("button", name="more source").click()
    await home.locator("details").last.evaluate("(one) => { one.open = true; }")
    await assert_untouched(home)
    quotes = home.get_by_test_id("quote")
    assert await quotes.nth(1).text_content() == script.CORPUS[0]
    await home.get_by_test_id("open-passage").nth(2).click()
    await home.get_by_role("dialog").locator(".prose").wait_for()
    await assert_untouched(home)


async def test_hostile_history(home: Page, brain: StandIn) -> None:
    talk = brain.talk(script.CORPUS[1], "evil-talk")
    talk["messages"].append({"role": "user", "text": script.HOSTILE, "task_id": "t", "extra": {}})
    result = script.attack()[-1][2]["result"]
    brain.remember("evil-talk", "t", {**result, "at": ago()})
    await home.reload()
    await home.locator(".talks a").click()
    await home.get_by_test_id("confidence").wait_for()
    await expect(home.get_by_role("heading", level=1)).to_have_text(script.CORPUS[1])
    await assert_untouched(home)


async def test_hostile_page_in_the_library(home: Page) -> None:
    await home.get_by_test_id("nav-knowledge").click()
    await home.get_by_role("button", name=script.CORPUS[1], exact=True).click()
    await home.get_by_role("dialog").locator(".prose").wait_for()
    await assert_untouched(home)


async def test_known_tags_come_over_without_their_attributes(home: Page) -> None:
    html = (
        "<h2 id=a onclick=x>T</h2><ul class=c><li>one</li></ul><p style='color:red'>a <b>b</b> <blink>c</blink></p>"
        "<table><tr><td colspan=9>d</td></tr></table><a href='https://ok.example/x' onclick=x>e</a>"
        "<a href='/relative'>f</a><a href=' JavaScript:alert(1)'>g</a><img src=x alt=words><!-- h -->"
    )
    made = await home.evaluate(
        """async (html) => {
          const { safeHtml } = await import('/static/safe.js');
          const box = document.createElement('div');
          box.append(safeHtml(html));
          return box.innerHTML;
        }""",
        html,
    )
    assert made == (
        "<h2>T</h2><ul><li>one</li></ul><p>a <b>b</b> c</p><table><tbody><tr><td>d</td></tr></tbody></table>"
        '<a href="https://ok.example/x" target="_blank" rel="noopener noreferrer nofollow">e</a>'
        "<span>f</span><span>g</span>words"
    )
