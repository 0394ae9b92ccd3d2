/**
 * The list of conversations at the side: which there are, which one is open, where something is going on.
 */
import { attempt, button, fill, h } from "../dom.js";
import { ago } from "../words.js";

export class ConversationList {
  #client;
  #items = [];
  #cursor = null;
  #list = h("ul", { class: "talks" });
  #more = button("Older", () => attempt(() => this.#load(this.#cursor)), { kind: "quiet small", hidden: true });

  /** `flags(id)` answers {current, running, unseen} of a conversation; `create()` opens a new one. */
  constructor(client, { flags, create }) {
    this.#client = client;
    this.flags = flags;
    this.element = h("section", { class: "talks-part", "aria-label": "Conversations" },
      button("New chat", create, { icon: "plus", kind: "wide", testid: "new-chat" }), this.#list, this.#more);
  }

  /** Read the newest conversations anew. A failure leaves the list as it is. */
  async refresh() {
    await attempt(() => this.#load(null));
  }

  title(id) {
    return this.#items.find((item) => item.id === id)?.title;
  }

  async #load(cursor) {
    const query = cursor ? `?cursor=${encodeURIComponent(cursor)}` : "";
    const answer = await this.#client.request("GET", `api/conversations/${query}`);
    const known = new Set(answer.items.map((item) => item.id));
    const rest = this.#items.filter((item) => !known.has(item.id));
    // Reading the first part again keeps the older parts that were opened before.
    this.#items = cursor ? [...rest, ...answer.items] : [...answer.items, ...(answer.next_cursor ? rest : [])];
    this.#cursor = cursor || !rest.length ? answer.next_cursor : this.#cursor;
    this.draw();
  }

  forget(id) {
    this.#items = this.#items.filter((item) => item.id !== id);
    this.draw();
  }

  draw() {
    this.#more.hidden = !this.#cursor;
    fill(this.#list, this.#items.map((item) => {
      const { current, running, unseen } = this.flags(item.id);
      const state = running ? "running" : unseen ? "unseen" : null;
      return h("li", {}, h("a", {
        href: `#/chat/${encodeURIComponent(item.id)}`, "aria-current": current ? "page" : null, title: item.title,
        "data-state": state,
      }, h("span", { class: "talk-title", text: item.title || "Untitled" }),
      h("span", { class: "talk-when", text: running ? "answering" : unseen ? "new answer" : ago(item.updated_at) })));
    }));
  }
}
