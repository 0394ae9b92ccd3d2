/**
 * A numbered source with its quote, opening to the passage it was taken from.
 */
import { button, h } from "../dom.js";
import { outLink, quoted } from "../safe.js";
import { host } from "../words.js";

/** `source`: n, title, url, quote, and page_id, start, end where the passage can be opened. */
export function sourceCard(source, openPassage, { testid = "source" } = {}) {
  const number = source.n === undefined ? null : h("span", { class: "source-n", text: source.n });
  const title = source.title || host(source.url);
  const known = source.page_id !== undefined && source.page_id !== null;
  return h("li", { class: "source", testid },
    h("div", { class: "source-head" }, number,
      known
        ? h("button", { type: "button", class: "source-title", text: title, testid: "open-passage", on: { click: () => openPassage(source) } })
        : h("span", { class: "source-title", text: title })),
    source.quote && h("blockquote", { testid: "quote" }, quoted(source.quote)),
    h("div", { class: "source-foot" }, outLink(source.url, host(source.url), { class: "host" }),
      known && button("See it in the page", () => openPassage(source), { kind: "link" })));
}
