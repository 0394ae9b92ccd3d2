/**
 * Foreign HTML and text made safe to show. HTML is parsed into an inert document and copied node by node:
 * only the tags below and only the attributes below come over, everything else stays behind.
 */
import { h } from "./dom.js";

const KEPT = new Set([
  "a", "b", "blockquote", "br", "code", "dd", "del", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
  "i", "kbd", "li", "ol", "p", "pre", "s", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
]);
// Their text is code or markup of another kind, never prose.
const DROPPED = new Set([
  "audio", "base", "button", "canvas", "embed", "form", "frame", "frameset", "head", "iframe", "input", "link", "math",
  "meta", "noembed", "noframes", "noscript", "object", "option", "plaintext", "portal", "script", "select", "slot",
  "style", "svg", "template", "textarea", "title", "video", "xmp",
]);
const XHTML = "http://www.w3.org/1999/xhtml";
const MAX_DEPTH = 60;
const MAX_NODES = 50_000;

/** The address if it is a whole http or https one, else null. */
export function safeUrl(address) {
  try {
    const url = new URL(String(address));
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

/** A link that opens elsewhere and tells that place nothing; plain text where the address is not a web one. */
export function outLink(address, text, props = {}) {
  const href = safeUrl(address);
  if (!href) return h("span", props, text);
  return h("a", { ...props, href, target: "_blank", rel: "noopener noreferrer nofollow" }, text);
}

/** HTML text -> DocumentFragment of known tags without attributes (links keep a web address). */
export function safeHtml(html) {
  const source = new DOMParser().parseFromString(String(html), "text/html");
  const target = document.createDocumentFragment();
  const budget = { nodes: MAX_NODES };
  for (const child of source.body.childNodes) copy(child, target, 0, budget);
  return target;
}

function copy(node, target, depth, budget) {
  if (depth > MAX_DEPTH || --budget.nodes < 0) return;
  if (node.nodeType === Node.TEXT_NODE) {
    target.append(node.data);
    return;
  }
  if (node.nodeType !== Node.ELEMENT_NODE || node.namespaceURI !== XHTML || DROPPED.has(node.localName)) return;
  let into = target;
  if (node.localName === "img") target.append(node.getAttribute("alt") ?? "");
  else if (node.localName === "a") into = outLink(node.getAttribute("href"), "");
  else if (KEPT.has(node.localName)) into = document.createElement(node.localName);
  for (const child of node.childNodes) copy(child, into, depth + 1, budget);
  if (into !== target) target.append(into);
}

/** Plain text -> paragraphs at blank lines; single line ends are kept by the style sheet. */
export function paragraphs(text) {
  const parts = String(text).split(/\n{2,}/).filter((part) => part.trim());
  return parts.map((part) => h("p", { class: "plain", text: part }));
}

const SIGNS = /(\*\*|`|(?<!\w)\*(?=[^\s*])|(?<=[^\s*])\*(?!\w)|!?\[(?=[^\]\n]*\]\()|\]\((?:[^()\s]|\([^()]*\))*(?:\s+"[^"]*")?\))/;

/** Quoted markdown -> nodes. The text stays whole, character by character; its signs are there but not shown. */
export function quoted(text) {
  return text.split(SIGNS).map((part, at) => (at % 2 ? h("span", { class: "sign", text: part }) : part));
}

/** Turn `[2]` in the text below `root` into a button that calls `open(2)`, for the numbers in `known`. */
export function linkCitations(root, known, open) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const node of nodes) {
    if (!/\[\d+\]/.test(node.data) || node.parentElement?.closest("code, pre, a")) continue;
    node.replaceWith(...node.data.split(/(\[\d+\])/).map((part) => {
      const n = Number(/^\[(\d+)\]$/.exec(part)?.[1]);
      if (!known.has(n)) return part;
      return h("button", {
        type: "button", class: "cite", text: n, "aria-label": `Source ${n}`, on: { click: () => open(n) },
      });
    }));
  }
}

/** Index in `text` (UTF-16) of the code point number `offset`: the brain counts characters, JavaScript halves. */
export function utf16Index(text, offset) {
  let index = 0;
  for (let left = offset; left > 0 && index < text.length; left -= 1) {
    index += text.codePointAt(index) > 0xffff ? 2 : 1;
  }
  return index;
}
