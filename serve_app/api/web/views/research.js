/**
 * Longer work that answers in a conversation of its own: research on a topic, analysis of given pages.
 */
import { BrainError } from "../http.js";
import { field, form, h } from "../dom.js";

const MAX_URLS = 20;

export function createResearch({ client, begin }) {
  const topic = h("textarea", { rows: 3, maxlength: 8000, placeholder: "What changed in HTTP/3 compared with HTTP/2?", testid: "research-topic" });
  const sources = h("input", { type: "number", min: 1, max: 20, value: 5 });
  const expand = h("input", { type: "checkbox", id: "expand", checked: true });
  const research = form([
    field("Topic", topic),
    field("Sources at most", sources),
    h("div", { class: "check" }, expand, h("label", { for: "expand", text: "Read new sources where something is missing" })),
    h("button", { type: "submit", class: "button primary", text: "Start the research", testid: "research-start" }),
  ], async () => {
    const text = topic.value.trim();
    if (!text) throw new BrainError("Please enter a topic.");
    const options = { expandKnowledge: expand.checked, maxSources: Number(sources.value) || 5 };
    await begin(`Research: ${text}`, () => client.submitResearch(text, options));
    topic.value = "";
  });

  const urls = h("textarea", { rows: 5, placeholder: "https://example.org/one\nhttps://example.org/two", spellcheck: "false", testid: "analyze-urls" });
  const kind = h("select", {},
    h("option", { value: "comparison", text: "Compare them" }),
    h("option", { value: "summary", text: "Summarise them" }),
    h("option", { value: "quality", text: "Judge their quality" }));
  const analyse = form([
    field("Addresses", urls, `One a line, up to ${MAX_URLS}. Pages not in the library yet are read first.`),
    field("What to do", kind),
    h("button", { type: "submit", class: "button primary", text: "Analyse", testid: "analyze-start" }),
  ], async () => {
    const list = urls.value.split(/\s+/).filter(Boolean);
    if (list.length === 0) throw new BrainError("Please enter at least one address.");
    if (list.length > MAX_URLS) throw new BrainError(`These are ${list.length} addresses; ${MAX_URLS} can be analysed at once.`);
    const chosen = kind.value;
    const label = kind.selectedOptions[0].textContent.replace("them", list.length === 1 ? "one page" : `${list.length} pages`);
    await begin(`${label}:\n${list.join("\n")}`, () => client.submitAnalysis(list, chosen));
    urls.value = "";
  });

  const element = h("div", { class: "view" },
    h("header", { class: "view-head" }, h("h1", { text: "Research" }),
      h("p", { class: "lead", text: "For questions that take a little longer. The report opens as a chat and keeps its sources." })),
    h("div", { class: "columns" },
      h("section", { class: "card", "aria-labelledby": "research-head" }, h("h2", { id: "research-head", text: "Research a topic" }), research),
      h("section", { class: "card", "aria-labelledby": "analyse-head" }, h("h2", { id: "analyse-head", text: "Analyse pages" }), analyse)));
  return { element };
}
