/**
 * The library of pages: listed, looked for by title or by what they say, opened, deleted.
 */
import { attempt, button, confirm, fill, h, toast } from "../dom.js";
import { outLink } from "../safe.js";
import { ago, host, number, percent, plural } from "../words.js";
import { sourceCard } from "./source.js";

const TYPING = 250; // ms of rest before a search

export function createLibrary({ client, openPassage }) {
  const box = h("input", { type: "search", placeholder: "Search", "aria-label": "Search the library", testid: "library-search" });
  const where = h("select", { "aria-label": "Where to search" },
    h("option", { value: "pages", text: "Titles and addresses" }), h("option", { value: "passages", text: "Inside the pages" }));
  const total = h("p", { class: "quiet", role: "status" });
  const list = h("ul", { class: "pages", testid: "pages" });
  const more = button("Show more", () => attempt(() => draw(cursor)), { kind: "wide", hidden: true });
  let cursor = null;
  let turn = 0;
  let timer = 0;

  async function draw(after = null) {
    const mine = ++turn;
    const text = box.value.trim();
    const answer = text && where.value === "passages" ? await passages(text) : await pages(text, after);
    if (mine !== turn) return; // a newer search is under way
    if (!after) list.replaceChildren();
    list.append(...answer.items);
    cursor = answer.cursor;
    more.hidden = !cursor;
    total.textContent = answer.words;
    if (!list.firstChild) list.append(h("li", { class: "quiet center", text: text ? "Nothing was found." : "No pages yet. Add a website above." }));
  }

  async function pages(text, after) {
    const query = new URLSearchParams({ limit: "25", ...(text && { q: text }), ...(after && { cursor: after }) });
    const answer = await client.request("GET", `api/pages/?${query}`);
    return { items: answer.items.map(pageRow), cursor: answer.next_cursor, words: plural(answer.total, "page") };
  }

  async function passages(text) {
    const { hits } = await client.request("POST", "api/search/", { query: text, limit: 10 });
    const items = hits.map((hit) => sourceCard({ ...hit, quote: hit.text }, openPassage, { testid: "hit" }));
    return { items, cursor: null, words: plural(hits.length, "passage") };
  }

  function pageRow(page) {
    const title = page.title || page.url;
    const place = { page_id: page.id, title };
    const row = h("li", { class: "page-row", testid: "page-row" },
      h("div", { class: "page-main" },
        h("button", { type: "button", class: "source-title", text: title, on: { click: () => openPassage(place) } }),
        h("p", { class: "page-facts" }, outLink(page.url, host(page.url), { class: "host", title: page.url }),
          page.fetched_at && h("span", { text: `read ${ago(page.fetched_at)}` }),
          Number.isInteger(page.words) && h("span", { text: `${number(page.words)} words` }),
          Number.isFinite(page.quality?.score) && h("span", { text: `quality ${percent(page.quality.score)}` }),
          page.status && page.status !== "active" && h("span", { class: "chip", text: page.status }),
          page.is_processed_for_embeddings === false && h("span", { class: "chip", text: "being indexed" }))),
      button(`Delete ${title}`, () => remove(page, title, row), { icon: "trash", kind: "quiet", hideLabel: true }));
    return row;
  }

  async function remove(page, title, row) {
    const sure = await confirm("Delete this page?", `“${title}” is removed from the library and from every index. Answers will no longer use it.`, "Delete");
    if (!sure) return;
    await attempt(async () => {
      await client.request("DELETE", `api/pages/${encodeURIComponent(page.id)}/`);
      row.remove();
      toast("The page is gone.");
    });
  }

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => attempt(() => draw()), TYPING);
  };
  box.addEventListener("input", later);
  where.addEventListener("change", later);

  const element = h("section", { class: "library", "aria-labelledby": "library-head" },
    h("header", { class: "library-head" }, h("div", {}, h("h2", { id: "library-head", text: "Library" }), total),
      h("div", { class: "search-row" }, box, where)),
    list, more);
  return { element, refresh: () => attempt(() => draw()) };
}
