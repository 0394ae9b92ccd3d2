/**
 * Work that is counted (a crawl, added pages, an upload), watched live: true counts, failures, a way to stop it.
 */
import { attempt, button, fill, h } from "../dom.js";
import { humanise, number, plural, reasonName, stateName, statusLine } from "../words.js";

const ORDER = ["found", "fetched", "stored", "embedded", "failed"];
const MAX_FAILURES = 20;
const FINAL = { task_completed: "completed", task_failed: "failed", task_cancelled: "cancelled" };

export class JobView {
  #client;
  #state = h("span", { class: "chip" });
  #bar = h("progress", { max: 100, value: 0, testid: "progress" });
  #line = h("p", { class: "quiet", role: "status" });
  #counts = h("dl", { class: "counts", testid: "crawl-counts", hidden: true });
  #why = h("div", {});
  #actions = h("div", { class: "row" });
  #failures = new Map(); // address -> reason

  /** A task that was accepted, or as listed by the task list (then with its status object). */
  constructor(client, taskId, title, status = null) {
    this.#client = client;
    this.taskId = taskId;
    this.seq = 0;
    this.#bar.setAttribute("aria-label", `Progress of ${title}`);
    this.element = h("article", { class: "job card", testid: "job" },
      h("header", { class: "job-head" }, h("h3", { text: title }), this.#state, this.#actions),
      this.#bar, this.#line, this.#counts, this.#why);
    this.#show({ status: "queued", message: "Waiting to start", ...status });
  }

  apply(event) {
    if (typeof event.seq === "number") this.seq = event.seq;
    const status = FINAL[event.type];
    if (status) this.#show({ ...event.result, message: ends(event, status), ...event, status });
    else if (event.type.startsWith("task_")) this.#show({ status: "processing", ...event });
  }

  #show(status) {
    this.state = status.status;
    this.isOver = Object.values(FINAL).includes(status.status);
    this.#state.textContent = stateName(status.status);
    this.#state.dataset.state = status.status;
    if (Number.isFinite(status.progress)) this.#bar.value = status.progress;
    this.#bar.hidden = this.isOver;
    const line = this.isOver ? status.message : statusLine(status);
    if (this.#line.textContent !== line) this.#line.textContent = line;
    const counts = status.counts ?? status.result?.counts;
    if (counts && Object.keys(counts).length > 0) this.#showCounts(counts);
    this.#showFailures({ ...status.result, ...status });
    this.#showActions();
  }

  #showCounts(counts) {
    const names = [...ORDER.filter((name) => name in counts), ...Object.keys(counts).filter((name) => !ORDER.includes(name))];
    this.#counts.hidden = false;
    fill(this.#counts, names.filter((name) => Number.isFinite(counts[name])).map((name) =>
      h("div", { "data-count": name, "data-value": counts[name] },
        h("dt", { text: humanise(name) }), h("dd", { text: number(counts[name]) }))));
  }

  #showFailures({ reasons, failures, failed }) {
    const list = [failures, failed].find(Array.isArray) ?? [];
    for (const one of list) this.#failures.set(one.url ?? String(one), one.message ?? reasonName(one.reason ?? "failed"));
    const byReason = Object.entries(reasons ?? {});
    if (byReason.length === 0 && this.#failures.size === 0) return;
    const open = this.#why.querySelector("details")?.open ?? false;
    const shown = [...this.#failures].slice(0, MAX_FAILURES);
    const rest = this.#failures.size - shown.length;
    fill(this.#why, h("details", { class: "why-failed", open },
      h("summary", { text: byReason.length
        ? byReason.map(([key, n]) => `${number(n)} ${reasonName(key)}`).join(", ")
        : `${plural(this.#failures.size, "address", "addresses")} could not be read` }),
      h("ul", {}, shown.map(([url, why]) => h("li", {}, h("span", { class: "address", text: url }), ` ${why}`)),
        rest > 0 && h("li", { text: `and ${number(rest)} more` }))));
  }

  #showActions() {
    const act = (label, kind, call) => button(label, async (event) => {
      event.currentTarget.disabled = true;
      await attempt(call);
      this.#showActions();
    }, { kind: `small ${kind}` });
    fill(this.#actions,
      !this.isOver && act("Stop", "", () => this.#client.cancelTask(this.taskId)),
      (this.state === "failed" || this.state === "cancelled") && act("Try again", "", async () => {
        await this.#client.retryTask(this.taskId, { after: this.seq });
        this.#show({ status: "queued", message: "Waiting to start" });
      }));
  }
}

function ends(event, status) {
  if (status === "completed") return "";
  if (status === "cancelled") return "Stopped; what was read is kept";
  return typeof event.error === "string" ? event.error : event.error?.error ?? "This did not work.";
}
