/**
 * A page of the knowledge base in a dialog: opened to a passage when one is asked for, else as a whole.
 */
import { dialog, fill, h } from "../dom.js";
import { outLink, quoted, safeHtml, utf16Index } from "../safe.js";
import { ago, percent, plural } from "../words.js";
import { facts } from "./facts.js";

/** `place`: page_id, and start and end (characters of the page's markdown) or quote for the passage. */
export async function openPassage(client, place) {
  const body = h("div", { class: "page-body", "aria-busy": "true" }, h("p", { class: "quiet", text: "Loading the page" }));
  dialog(place.title || "Page", body, { wide: true });
  try {
    const page = await client.request("GET", `api/pages/${encodeURIComponent(place.page_id)}/`);
    const markdown = page.clean_markdown ?? "";
    const range = findRange(markdown, place);
    const text = range || !page.html ? annotated(markdown, range) : h("div", { class: "prose" }, safeHtml(page.html));
    fill(body, about(page), text);
    body.querySelector("mark")?.scrollIntoView({ block: "center" });
  } catch (error) {
    fill(body, h("p", { class: "problem", role: "alert", text: error.message }));
  }
  body.removeAttribute("aria-busy");
}

function about(page) {
  const quality = page.quality?.score;
  return h("div", { class: "page-about" },
    h("p", { class: "quiet" }, outLink(page.url, page.url, { class: "host" })),
    h("ul", { class: "facts" },
      page.fetched_at && h("li", { text: `read ${ago(page.fetched_at)}` }),
      page.language && h("li", { text: page.language }),
      Number.isInteger(page.words) && h("li", { text: plural(page.words, "word") }),
      Number.isFinite(quality) && h("li", { text: `quality ${percent(quality)}` }),
      page.status && page.status !== "active" && h("li", { text: page.status })),
    page.quality && h("details", { class: "quality" }, h("summary", { text: "Why this quality" }),
      facts(page.quality)));
}

/** Where the passage lies in the text, in UTF-16: by its offsets, or where its words stand, or null. */
function findRange(text, { start, end, quote }) {
  if (Number.isInteger(start) && Number.isInteger(end) && end > start) {
    const from = utf16Index(text, start);
    const to = from + utf16Index(text.slice(from), end - start);
    if (!quote || text.slice(from, to) === quote) return [from, to];
  }
  const from = quote ? text.indexOf(quote) : -1;
  return from < 0 ? null : [from, from + quote.length];
}

/** Markdown line by line, as text: headings and lists take their look, the passage is marked. */
function annotated(text, range) {
  const page = h("div", { class: "prose source-text" });
  let at = 0;
  let fenced = false;
  for (const line of text.split("\n")) {
    const fence = /^\s*(```|~~~)/.test(line);
    if (fence) fenced = !fenced;
    else page.append(lineElement(line, at, range, fenced));
    at += line.length + 1;
  }
  return page;
}

function lineElement(line, at, range, code) {
  const [, lead = "", hashes, bullet] = (!code && /^(\s*(?:(#{1,6})\s+|([-*+]|\d+[.)])\s+)?)/.exec(line)) || [];
  const kind = code ? "md-code" : hashes ? `md-h md-h${Math.min(hashes.length, 4)}` : bullet ? "md-li" : "md-p";
  const skip = hashes || bullet ? lead.length : 0;
  const element = h("div", { class: line.trim() ? kind : "md-gap" });
  const inline = code ? (part) => [part] : quoted;
  if (/^[-*+]$/.test(bullet ?? "")) element.append("• ");
  else if (bullet) element.append(`${bullet} `);
  const cut = (index) => Math.max(skip, Math.min(line.length, index - at));
  const [from, to] = range ? [cut(range[0]), cut(range[1])] : [line.length, line.length];
  element.append(...inline(line.slice(skip, from)));
  if (to > from) element.append(h("mark", {}, inline(line.slice(from, to))));
  element.append(...inline(line.slice(to)));
  return element;
}
