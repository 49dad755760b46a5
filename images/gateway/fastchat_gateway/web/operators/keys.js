// The operators' table of API keys: what each may, and what it has used.
import { el } from "../core/dom.js";
import { sum } from "./metrics.js";

const LIMITS = [["requests_per_minute", "requests/min"], ["tokens_per_minute", "tokens/min"], ["max_concurrent", "at once"]];

/** A row of the table. */
export function keyRow(key, metrics) {
  const used = (family, labels = {}) => sum(metrics, family, { key: key.name, ...labels });
  const limits = LIMITS.filter(([name]) => key[name] !== null).map(([name, unit]) => `${key[name]} ${unit}`);
  const expired = key.expires !== null && key.expires * 1000 <= Date.now();
  const expires = key.expires === null ? "never" : new Date(key.expires * 1000).toISOString().slice(0, 16).replace("T", " ");
  return el("tr", {},
    el("th", { scope: "row" }, el("span", { class: "name" }, key.name), key.operator && el("small", {}, "may see this page")),
    el("td", {}, key.models === null ? "all" : key.models.join(", ")),
    el("td", {}, limits.join(", ") || "none"),
    el("td", {}, expired ? el("span", { class: "state bad" }, `expired ${expires}`) : expires),
    el("td", { class: "number" }, String(used("requests_total"))),
    el("td", { class: "number" }, String(used("tokens_total", { direction: "in" }))),
    el("td", { class: "number" }, String(used("tokens_total", { direction: "out" }))));
}
