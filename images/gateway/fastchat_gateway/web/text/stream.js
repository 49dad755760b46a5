// Markdown that grows: a block that another one follows stays as it is, and only the last is made anew.
import { parseBlocks } from "./blocks.js";
import { renderBlock } from "./markdown.js";

/** Shows a text in a node, and what is added to it, once per frame. */
export class MarkdownStream {
  #text = "";
  #shown = "";
  #stable = 0;
  #last = [];
  #frame = 0;

  constructor(node) {
    this.node = node;
  }

  /** Show this text, at the next frame. One that does not go on where the last one ended is begun anew. */
  set(text) {
    this.#text = text.replaceAll("\r", "");
    this.#frame ||= requestAnimationFrame(() => this.flush());
  }

  /** Show it now. */
  flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#text === this.#shown) return;
    if (!this.#text.startsWith(this.#shown)) this.#begin();
    this.#shown = this.#text;
    const rest = this.#text.slice(this.#stable);
    const blocks = parseBlocks(rest);
    for (const node of this.#last) node.remove();
    const nodes = blocks.map(renderBlock);
    this.node.append(...nodes);
    if (blocks.length > 1) this.#stable += offset(rest, blocks.at(-1).start);
    this.#last = nodes.slice(-1);
  }

  #begin() {
    this.node.replaceChildren();
    this.#stable = 0;
    this.#last = [];
  }
}

/** Where a line of a text begins. */
function offset(text, line) {
  let at = 0;
  for (let passed = 0; passed < line; passed += 1) at = text.indexOf("\n", at) + 1;
  return at;
}
