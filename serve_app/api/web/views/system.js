/**
 * How the brain is: ready or not, and why; what it holds, how busy it is, which models it uses.
 */
import { every, fill, h } from "../dom.js";
import { humanise } from "../words.js";
import { facts, inWords } from "./facts.js";

const REFRESH = 5; // seconds
const GOOD = new Set(["ok", "ready", "healthy", true]);

export function createSystem({ client }) {
  const health = h("section", { class: "card", testid: "health", "aria-label": "Health" });
  const tiles = h("dl", { class: "tiles" });
  const parts = h("div", { class: "parts" });
  let stop = null;

  async function drawHealth() {
    // 503 carries the same body as 200: which part is away is what a person wants to know.
    const response = await fetch("/readyz", { cache: "no-store" }).catch(() => null);
    const body = (await response?.json().catch(() => null)) ?? {};
    const states = Object.entries(body.parts ?? {});
    fill(health,
      h("p", { class: "health", "data-state": response?.ok ? "good" : "bad" }, h("span", { class: "dot" }),
        h("strong", { text: !response ? "The brain cannot be reached" : response.ok ? "Ready to answer" : "Not ready yet" })),
      states.length > 0 && h("ul", { class: "facts" }, states.map(([name, state]) => {
        const word = state?.status ?? state;
        return h("li", { class: GOOD.has(word) ? "" : "bad" }, h("strong", { text: humanise(name) }), " ",
          typeof word === "object" ? facts(word) : inWords(name, GOOD.has(word) ? "ok" : word));
      })));
  }

  async function drawStats() {
    const stats = await client.request("GET", "api/stats/");
    const plain = ([, value]) => value === null || typeof value !== "object";
    const entries = Object.entries(stats);
    const nested = entries.filter((entry) => !plain(entry));
    fill(tiles, entries.filter(plain).map(([name, value]) => tile(name, value)));
    fill(parts, nested.map(([name, value]) => h("section", { class: "card" }, h("h2", { text: humanise(name) }), block(value))));
  }

  /** Numbers as tiles, the rest below as it comes. */
  function block(value) {
    if (Array.isArray(value)) return facts(value);
    const entries = Object.entries(value);
    const numbers = entries.filter(([, one]) => typeof one === "number");
    const others = Object.fromEntries(entries.filter(([, one]) => typeof one !== "number"));
    return [
      numbers.length > 0 && h("dl", { class: "tiles" }, numbers.map(([name, one]) => tile(name, one))),
      Object.keys(others).length > 0 && facts(others),
    ];
  }

  const tile = (name, value) => h("div", {}, h("dt", { text: humanise(name.replace(/_bytes$|^bytes_/, "")) }), h("dd", { text: inWords(name, value) }));

  const element = h("div", { class: "view" },
    h("header", { class: "view-head" }, h("h1", { text: "System" })), health, tiles, parts);
  return {
    element,
    show() {
      stop?.();
      stop = every(REFRESH, () => Promise.all([drawHealth(), drawStats()]));
    },
    hide: () => stop?.(),
  };
}
