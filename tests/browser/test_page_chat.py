"""Logging in, asking, and seeing an answer come: quotes first, then text, whatever happens to the connection."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser import script
from tests.browser.looking import ask, log_in
from tests.browser.standin import TOKEN, StandIn

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

TEXT = "".join(script.RESPONSE).replace("\n\n", "")
# Notes down when each part of an answer first stood on the page, and every text it showed.
RECORDER = """() => {
  window.seen = []; window.texts = [];
  const note = (name) => window.seen.includes(name) || window.seen.push(name);
  new MutationObserver(() => {
    const answer = document.querySelector('[data-testid=answer]');
    if (!answer) return;
    const bar = answer.querySelector('[data-testid=progress]');
    if (bar && bar.value > 0) note('progress');
    if (answer.querySelector('[data-testid=quote]')) note('sources');
    const text = answer.querySelector('[data-testid=answer-text]').textContent;
    if (text) note('text');
    if (text && window.texts.at(-1) !== text) window.texts.push(text);
    if (answer.querySelector('[data-testid=confidence]')) note('done');
  }).observe(document.body, {childList: true, subtree: true, attributes: true, characterData: true});
}"""


def plain(text: str) -> str:
    """As shown: a citation `[1]` is a button that says 1."""
    return text.replace("[", "").replace("]", "").replace("\n", "").replace(" ", "")


async def wait_for_answer(page: Page) -> None:
    await page.get_by_test_id("confidence").last.wait_for()


async def test_wrong_token_is_told_in_a_sentence_and_the_right_one_opens(page: Page) -> None:
    await page.get_by_test_id("login-token").fill("wrong")
    await page.get_by_test_id("login-submit").click()
    await expect(page.get_by_role("alert")).to_contain_text("not known here")
    await expect(page.locator(".login code")).to_have_text("omeruta token")
    await log_in(page)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live")
    assert await page.evaluate("sessionStorage.getItem('omeruta.token')") == TOKEN
    assert await page.evaluate("localStorage.length") == 0


async def test_token_kept_on_this_device_only_when_asked(page: Page) -> None:
    await page.get_by_label("Keep me logged in").check()
    await log_in(page)
    assert await page.evaluate("localStorage.getItem('omeruta.token')") == TOKEN
    await page.get_by_role("button", name="Log out").click()
    await page.get_by_test_id("login-token").wait_for()
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_token_deleted_meanwhile_leads_back_to_the_login(home: Page) -> None:
    await home.evaluate("sessionStorage.setItem('omeruta.token', 'deleted')")
    await home.reload()
    await expect(home.get_by_role("alert")).to_contain_text("no longer valid")
    await home.get_by_test_id("login-token").wait_for()


async def test_quotes_stand_before_text_and_the_text_grows_to_the_response(home: Page) -> None:
    await home.evaluate(RECORDER)
    await home.get_by_role("button", name="How do I add a website?").click()
    await wait_for_answer(home)
    assert await home.evaluate("window.seen") == ["progress", "sources", "text", "done"]
    texts = [plain(text) for text in await home.evaluate("window.texts")]
    assert len(texts) >= len(script.RESPONSE)
    assert all(plain(TEXT).startswith(text) for text in texts)
    assert texts[-1] == plain(TEXT)
    answer = home.get_by_test_id("answer")
    await expect(answer.get_by_test_id("agent")).to_have_text("Q&A")
    await expect(answer).to_contain_text("93 % sure")
    await expect(answer).to_contain_text("it asks how something is done")
    await expect(answer.get_by_test_id("confidence")).to_contain_text("High confidence, 87 %")
    await expect(answer).to_contain_text("SmolLM2-135M-Instruct")
    await expect(answer.get_by_test_id("progress")).to_be_hidden()


async def test_quote_is_shown_byte_for_byte_and_opens_to_its_passage(home: Page) -> None:
    await ask(home, "How do I add a website?")
    await wait_for_answer(home)
    quotes = home.get_by_test_id("quote")
    assert [await quotes.nth(n).text_content() for n in range(2)] == [
        script.QUOTE_1,
        script.QUOTE_2,
    ]
    # The second quote stands after a character that is two in JavaScript and one to the brain.
    await home.get_by_test_id("open-passage").nth(1).click()
    await expect(home.locator("mark")).to_have_text(script.QUOTE_2)
    await home.keyboard.press("Escape")
    await home.get_by_role("button", name="Source 1").first.click()
    assert await home.locator("mark").text_content() == script.QUOTE_1


async def test_conversations_go_on_side_by_side_and_are_found_again(home: Page) -> None:
    await ask(home, "slow question")
    await home.get_by_test_id("quote").first.wait_for()
    await home.get_by_test_id("new-chat").click()
    await ask(home, "How do I add a website?")
    await wait_for_answer(home)
    talks = home.locator(".talks a")
    await expect(talks).to_have_count(2)
    await expect(talks.nth(1)).to_have_attribute("data-state", "running")
    await talks.nth(1).click()
    await expect(home.get_by_test_id("status-line")).to_contain_text("Writing, part")
    await talks.nth(0).click()
    await home.reload()
    await wait_for_answer(home)
    await expect(home.get_by_test_id("question")).to_have_text("How do I add a website?")
    await expect(home.get_by_test_id("source")).to_have_count(2)


async def test_answer_that_was_under_way_is_taken_up_after_a_reload(home: Page) -> None:
    await ask(home, "slow question")
    await home.get_by_test_id("quote").first.wait_for()
    await home.reload()
    await home.get_by_test_id("quote").first.wait_for()
    await home.get_by_test_id("cancel").click()
    await expect(home.get_by_test_id("problem")).to_have_text("Cancelled.")


async def test_failure_is_a_sentence_and_can_be_tried_again(home: Page) -> None:
    await ask(home, "please fail")
    await expect(home.get_by_test_id("problem")).to_contain_text("ran out of memory")
    await home.get_by_test_id("try-again").click()
    await wait_for_answer(home)
    await expect(home.get_by_test_id("problem")).to_have_count(0)
    await expect(home.get_by_test_id("source")).to_have_count(2)


async def test_submit_is_repeated_under_one_key_while_the_brain_is_away(
    home: Page, brain: StandIn
) -> None:
    brain.failing_submits = 2
    await ask(home, "How do I add a website?")
    await wait_for_answer(home)
    assert len(brain.tasks) == 1
    brain.failing_submits = 3
    await ask(home, "And another?")
    await expect(home.get_by_test_id("problem")).to_contain_text("away for a moment")
    await home.get_by_test_id("try-again").click()
    await wait_for_answer(home)
    assert len(brain.tasks) == 2


async def test_a_cut_socket_loses_no_event(home: Page, brain: StandIn) -> None:
    await home.evaluate(RECORDER)
    await ask(home, "drop the line in the middle")
    await wait_for_answer(home)
    (task,) = brain.tasks.values()
    first, second = brain.subscriptions
    assert first == (task.id, 0)
    assert second[1] > 0
    texts = [plain(text) for text in await home.evaluate("window.texts")]
    assert all(plain(TEXT).startswith(text) for text in texts)
    assert texts[-1] == plain(TEXT)
    assert brain.polls == []
    await expect(home.get_by_test_id("connection")).to_have_attribute("data-state", "live")


async def test_without_a_socket_it_polls_to_the_same_answer(page: Page, brain: StandIn) -> None:
    brain.socket = "refused"
    await log_in(page)
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "polling")
    await page.evaluate(RECORDER)
    await ask(page, "How do I add a website?")
    await wait_for_answer(page)
    assert plain(await page.get_by_test_id("answer-text").inner_text()) == plain(TEXT)
    seen = await page.evaluate("window.seen")
    assert seen.index("sources") < seen.index("text")
    assert 1 <= len(brain.polls) <= 6
    brain.socket = "on"
    await ask(page, "And the socket is back")
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live")


async def test_client_module_serves_other_pages_too(page: Page, brain: StandIn) -> None:
    heard = await page.evaluate(
        """async (token) => {
          const { OmerutaBrainClient } = await import('/static/client.js');
          const brain = new OmerutaBrainClient(location.origin, token);
          const heard = [];
          const done = new Promise((resolve) => brain.addEventListener('message', ({ detail }) => {
            heard.push([detail.type, detail.seq]);
            if (detail.type === 'task_completed') resolve();
          }));
          const live = await brain.connectWebSocket();
          const talk = await brain.startChat('hello', { agentType: 'qa' });
          await done;
          const first = [...heard];
          const more = [await brain.startResearch('a topic'), await brain.analyzeContent(['https://a.example'], 'summary')];
          brain.disconnect();
          return { live, talk, more, heard: first, state: brain.connection };
        }""",
        TOKEN,
    )
    assert heard["live"] is True
    assert heard["state"] == "offline"
    assert heard["talk"] in brain.talks
    assert all(talk in brain.talks for talk in heard["more"])
    numbers = [seq for _, seq in heard["heard"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert brain.posted[0][1]["agent_type"] == "qa"
    assert brain.posted[2][1] == {"urls": ["https://a.example"], "analysis_type": "summary"}
