/**
 * One answer, from the first sign of work to the last word: agent, progress, quotes, text, facts about it.
 * It is fed the events of its task in order and keeps nothing but its own part of the page.
 */
import { attempt, button, fill, h, icon } from "../dom.js";
import { linkCitations, paragraphs, safeHtml } from "../safe.js";
import { agentName, confidence, percent, plural, seconds, statusLine } from "../words.js";
import { sourceCard } from "./source.js";
import { facts } from "./facts.js";

const SHOWN_AT_ONCE = 3;

/** Errors come as a sentence or as {error: sentence}. */
const sentence = (error) => (typeof error === "string" ? error : error?.error) || "This did not work.";

export class AnswerView {
  #hooks;
  #attempt = 0;
  #text = "";
  #sources = [];
  #agent = h("p", { class: "answer-agent", hidden: true });
  #bar = h("progress", { max: 100, value: 0, testid: "progress", "aria-label": "Progress of this answer" });
  #line = h("span", { role: "status", testid: "status-line", text: "Sending your question" });
  #cancel;
  #work;
  #quotes = h("div", { class: "sources" });
  #body = h("div", { class: "prose", "aria-live": "polite", testid: "answer-text" });
  #notices = h("div", { class: "notices" });
  #foot = h("footer", { class: "answer-foot" });

  /** `hooks`: client, openPassage(place), retry(answer). */
  constructor(hooks) {
    this.#hooks = hooks;
    this.taskId = null;
    this.seq = 0;
    this.#cancel = button("Cancel", () => this.#stop(), { kind: "quiet small", testid: "cancel", hidden: true });
    this.#work = h("div", { class: "work" }, this.#bar, h("div", { class: "work-line" }, this.#line, this.#cancel));
    this.element = h("article", { class: "answer", testid: "answer", "aria-label": "Answer" },
      this.#agent, this.#work, this.#quotes, this.#body, this.#notices, this.#foot);
    this.running(true);
  }

  running(yes) {
    this.isRunning = yes;
    this.element.dataset.state = yes ? "running" : "done";
    this.#work.hidden = !yes;
    this.#body.setAttribute("aria-busy", String(yes)); // read out once it is whole, not word by word
  }

  /** The task was accepted: events will follow. */
  accepted(taskId) {
    this.taskId = taskId;
    this.element.dataset.task = taskId;
    this.#cancel.hidden = false;
  }

  /** Take one event of the task. */
  apply(event) {
    if (typeof event.seq === "number") this.seq = event.seq;
    if ((event.attempt ?? 0) > this.#attempt) this.#startOver(event.attempt);
    const take = {
      task_started: () => this.#progress(event),
      task_update: () => this.#progress(event),
      task_status: () => this.#progress(event),
      agent_routed: () => this.#routed(event),
      sources: () => this.#showSources(event.sources ?? []),
      token: () => this.#write(event.text),
      knowledge_expanded: () => this.#expanded(event.expansion_info),
      task_completed: () => this.complete(event.result),
      task_failed: () => this.fail(sentence(event.error)),
      task_silent: () => this.fail(event.error),
      task_cancelled: () => this.fail("Cancelled.", "Ask again"),
    }[event.type];
    take?.();
  }

  /** The final result: from the last event, or from a conversation's history. */
  complete(result) {
    this.running(false);
    if (!result) {
      this.#notice("The full answer has expired; what was shown stays in the conversation.");
      return;
    }
    if (result.selected_agent) {
      this.#routed({ selected_agent: result.selected_agent, confidence: result.routing_score, reason: result.routing_reason });
    }
    if (result.sources?.length) this.#showSources(result.sources);
    this.#text = result.response ?? this.#text;
    this.#render(result.response_html);
    if (result.knowledge_expanded) this.#expanded(result.expansion_info);
    for (const note of result.notes ?? []) this.#notice(String(note));
    this.#showFacts(result);
  }

  /** It did not work: say so, and offer to try again. What has been written so far stays. */
  fail(text, action = "Try again") {
    this.running(false);
    this.element.dataset.state = "failed";
    const again = button(action, async () => {
      again.disabled = true;
      await this.#hooks.retry(this);
      again.disabled = false;
    }, { icon: "again", kind: "small", testid: "try-again" });
    fill(this.#foot, h("p", { class: "problem", role: "alert", testid: "problem", text }), again);
  }

  /** Ready for another try. */
  reset() {
    this.#startOver(this.#attempt);
    this.#line.textContent = "Trying again";
  }

  #startOver(attemptNumber) {
    this.#attempt = attemptNumber;
    this.#text = "";
    this.#sources = [];
    this.#bar.value = 0;
    for (const part of [this.#quotes, this.#body, this.#notices, this.#foot]) part.replaceChildren();
    this.running(true);
  }

  async #stop() {
    this.#cancel.disabled = true;
    this.#line.textContent = "Stopping";
    await attempt(() => this.#hooks.client.cancelTask(this.taskId));
    this.#cancel.disabled = false;
  }

  #progress(status) {
    if (Number.isFinite(status.progress)) this.#bar.value = status.progress;
    const line = statusLine(status);
    if (this.#line.textContent !== line) this.#line.textContent = line;
  }

  #routed({ selected_agent: name, confidence: sure, reason }) {
    this.#agent.hidden = false;
    const score = Number.isFinite(sure) ? h("span", { class: "sure", text: `${percent(sure)} sure` }) : null;
    const why = reason ? h("span", { class: "why", text: reason }) : null;
    fill(this.#agent, icon("spark"), h("strong", { text: agentName(name), testid: "agent" }), score, why);
  }

  #showSources(list) {
    this.#sources = list.map((source, at) => ({ ...source, n: source.n ?? at + 1 }));
    const cards = this.#sources.map((source) => sourceCard(source, this.#hooks.openPassage));
    const rest = cards.slice(SHOWN_AT_ONCE);
    const items = h("ol", { class: "source-list" }, cards.slice(0, SHOWN_AT_ONCE));
    const more = rest.length > 0 && button(`Show ${plural(rest.length, "more source")}`, () => {
      items.append(...rest);
      more.remove();
    }, { kind: "quiet small" });
    fill(this.#quotes, h("h3", { class: "eyebrow", text: list.length === 1 ? "Source" : "Sources" }), items, more);
  }

  #write(text) {
    this.#text += text;
    this.#render();
  }

  #render(html) {
    // The quotes that an answer begins with stand above already, as cards.
    const cited = this.#sources.length > 0;
    if (html) {
      fill(this.#body, safeHtml(html));
      if (cited) hideLeadingQuotes(this.#body);
    } else {
      fill(this.#body, paragraphs(cited ? afterLeadingQuotes(this.#text) : this.#text));
    }
    linkCitations(this.#body, new Set(this.#sources.map((source) => source.n)), (n) => {
      const source = this.#sources.find((one) => one.n === n);
      this.#hooks.openPassage(source);
    });
  }

  #expanded(info = {}) {
    const pages = info?.pages_added;
    const read = Array.isArray(info?.urls_crawled) ? info.urls_crawled.length : info?.urls_crawled;
    const failed = Array.isArray(info?.failed) ? info.failed.length : info?.failed;
    const words = [
      Number.isFinite(pages) && `${plural(pages, "page")} kept`,
      Number.isFinite(read) && `${plural(read, "address", "addresses")} read`,
      failed > 0 && `${failed} could not be read`,
    ].filter(Boolean);
    this.#notices.querySelector(".expanded")?.remove();
    this.#notice(`New knowledge was added for this answer: ${words.join(", ")}.`, "expanded");
  }

  #notice(text, kind = "") {
    this.#notices.append(h("p", { class: `notice ${kind}`.trim(), testid: kind || null, text }));
  }

  #showFacts(result) {
    const sure = result.confidence_score;
    const quality = result.quality_assessment;
    fill(this.#foot, h("ul", { class: "facts" },
      Number.isFinite(sure) && h("li", { class: "confidence", testid: "confidence" },
        h("meter", { min: 0, max: 1, low: 0.45, high: 0.75, optimum: 1, value: sure, "aria-hidden": "true" }),
        confidence(sure)),
      result.model_used && result.model_used !== "none" && h("li", { text: result.model_used }),
      Number.isFinite(result.processing_time) && h("li", { text: seconds(result.processing_time) })),
    quality && h("details", { class: "quality" },
      h("summary", { text: Number.isFinite(quality.score) ? `Content quality ${percent(quality.score)}` : "Content quality" }),
      facts(quality)));
  }
}

function hideLeadingQuotes(body) {
  for (const child of body.children) {
    if (child.localName !== "blockquote") return;
    child.hidden = true;
  }
}

/** Markdown text without the quoted lines it begins with. */
function afterLeadingQuotes(text) {
  return text.replace(/^(?:[ \t]*(?:>[^\n]*)?(?:\n|$))+/, "");
}
