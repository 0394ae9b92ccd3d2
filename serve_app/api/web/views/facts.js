/**
 * Values whose shape is not known beforehand, shown as they are: lists of names and values, tables, text.
 */
import { h } from "../dom.js";
import { ago, bytes, humanise, number } from "../words.js";

const MAX_ROWS = 50;
const MAX_DEPTH = 4;
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** One value in words; its name tells bytes and times apart from other numbers and texts. */
export function inWords(name, value) {
  if (value === null || value === undefined || value === "") return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") {
    if (/bytes|size/.test(name)) return bytes(value);
    return Number.isInteger(value) ? number(value) : value.toFixed(value < 10 ? 2 : 1);
  }
  if (typeof value === "string" && /_at$|_visit$/.test(name)) return ago(value) || value;
  return String(value);
}

/** Any JSON value as elements. */
export function facts(value, name = "", depth = 0) {
  if (depth > MAX_DEPTH) return h("span", { text: "…" });
  if (Array.isArray(value)) {
    if (value.length > 1 && value.every((one) => isObject(one) && "day" in one)) return days(value);
    if (value.length === 0) return h("span", { text: "none" });
    return h("ul", { class: "fact-list" }, value.slice(0, MAX_ROWS).map((one) => h("li", {}, facts(one, name, depth + 1))));
  }
  if (!isObject(value)) return h("span", { text: inWords(name, value) });
  const entries = Object.entries(value).slice(0, MAX_ROWS);
  if (entries.length === 0) return h("span", { text: "none" });
  if (entries.length > 1 && entries.every(([, one]) => isObject(one) && !Object.values(one).some(isObject))) {
    return table(entries);
  }
  return h("dl", { class: "fact-grid" }, entries.flatMap(([key, one]) => [
    h("dt", { text: humanise(key) }), h("dd", {}, facts(one, name === "bytes" ? name : key, depth + 1)),
  ]));
}

/** A figure a day as small bars. */
function days(list) {
  const amounts = list.map((one) => Number(Object.values(one).find((part) => typeof part === "number")) || 0);
  const most = Math.max(1, ...amounts);
  const total = amounts.reduce((sum, one) => sum + one, 0);
  return h("div", { class: "days", role: "img", "aria-label": `${number(total)} in ${list.length} days` },
    list.map((one, at) => h("progress", { "aria-hidden": "true", max: most, value: amounts[at], title: `${one.day}: ${number(amounts[at])}` })));
}

function table(entries) {
  const columns = [...new Set(entries.flatMap(([, row]) => Object.keys(row)))];
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { text: "" }), columns.map((key) => h("th", { text: humanise(key) })))),
    h("tbody", {}, entries.map(([key, row]) => h("tr", {},
      h("th", { scope: "row", text: humanise(key) }),
      columns.map((column) => h("td", { text: inWords(column, row[column]) })))))));
}
