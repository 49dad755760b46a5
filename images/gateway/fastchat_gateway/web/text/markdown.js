// Markdown → DOM nodes. The text is never read as HTML.
import { button, el } from "../core/dom.js";
import { copy } from "../core/files.js";
import { announce } from "../core/announce.js";
import { parseBlocks } from "./blocks.js";
import { renderInline } from "./inline.js";
import { renderMaths } from "./maths.js";

/** Nodes of a whole text. */
export function renderMarkdown(text) {
  return parseBlocks(text).map(renderBlock);
}

/** The node of one block. */
export function renderBlock(block) {
  switch (block.type) {
    case "code": return codeBlock(block);
    case "maths": return el("div", { class: "formula", tabindex: "0", role: "group", "aria-label": "Formula" }, renderMaths(block.text, true));
    case "heading": return el(`h${Math.min(6, block.level + 2)}`, {}, ...renderInline(block.text));
    case "rule": return el("hr");
    case "quote": return el("blockquote", {}, ...block.blocks.map(renderBlock));
    case "list": return list(block);
    case "table": return table(block);
    default: return el("p", {}, ...renderInline(block.text.trim()));
  }
}

function codeBlock({ language, text }) {
  const name = language ? `Code, ${language}` : "Code";
  const copying = button("Copy", "Copy code", async () => {
    const done = await copy(text);
    announce(done ? "The code is on the clipboard." : "The browser does not let the page copy.");
    copying.textContent = done ? "Copied" : "Not copied";
    setTimeout(() => (copying.textContent = "Copy"), 1500);
  });
  const head = el("div", { class: "code-head" }, el("span", {}, language || "text"), copying);
  return el("figure", { class: "code" }, head, el("pre", { tabindex: "0", role: "group", "aria-label": name }, el("code", {}, text)));
}

function list({ ordered, first, loose, items }) {
  const entries = items.map((blocks) => el("li", {}, ...blocks.flatMap((block) => item(block, loose))));
  return ordered ? el("ol", { start: first === 1 ? null : first }, ...entries) : el("ul", {}, ...entries);
}

function item(block, loose) {
  return block.type === "paragraph" && !loose ? renderInline(block.text.trim()) : [renderBlock(block)];
}

function table({ align, head, rows }) {
  const cell = (tag) => (text, at) => el(tag, { class: `to-${align[at] ?? "start"}`, scope: tag === "th" ? "col" : null }, ...renderInline(text));
  const body = rows.map((row) => el("tr", {}, ...row.slice(0, head.length).map(cell("td"))));
  const made = el("table", {}, el("thead", {}, el("tr", {}, ...head.map(cell("th")))), el("tbody", {}, ...body));
  return el("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" }, made);
}
