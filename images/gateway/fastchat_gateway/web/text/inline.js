// What stands within a line of Markdown: text → DOM nodes. Looks for an end that is not there are made once per kind,
// so that a line takes time by its length and not by its square.
import { el } from "../core/dom.js";
import { link, safeAddress } from "./links.js";
import { renderMaths } from "./maths.js";

const DEEPEST = 10;
const PLAIN = /[^\\`*_~[\]!<>&$h\n]+/y;
const BARE = /https?:\/\/[^\s<>"'`]+/y;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos|nbsp));/y;
const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
const TAGS = { "**": "strong", __: "strong", "*": "em", _: "em", "~~": "del" };
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}]/u;

/** Nodes of a piece of text. */
export function renderInline(text, depth = 0) {
  return new Inline(text, depth).nodes();
}

class Inline {
  constructor(text, depth) {
    this.text = text;
    this.depth = depth;
    this.at = 0;
    this.made = [];
    this.missing = new Set();
  }

  nodes() {
    while (this.at < this.text.length) this.step();
    return this.made;
  }

  step() {
    const plain = this.#match(PLAIN);
    if (plain) return this.#say(plain[0]);
    const character = this.text[this.at];
    const done = this.depth < DEEPEST && this.special(character);
    if (!done) this.#say(character);
    return undefined;
  }

  /** Whether something begins here that is more than its characters. */
  special(character) {
    switch (character) {
      case "\\": return this.backslash();
      case "`": return this.code();
      case "*": case "_": case "~": return this.emphasis(character);
      case "[": return this.link(this.at);
      case "!": return this.text[this.at + 1] === "[" && this.image();
      case "<": return this.angle();
      case "&": return this.entity();
      case "$": return this.dollars();
      case "h": return this.bare();
      case "\n": return this.lineBreak();
      default: return false;
    }
  }

  backslash() {
    const next = this.text[this.at + 1];
    if (next === "(" || next === "[") return this.maths(`\\${next}`, next === "(" ? "\\)" : "\\]", next === "[");
    if (next === "\n") this.#put(el("br"), 2);
    else if (next && PUNCTUATION.test(next)) this.#say(next, 2);
    else return false;
    return true;
  }

  code() {
    const [marks] = this.#match(/`+/y);
    const end = this.#find(marks, this.at + marks.length, (at) => this.text[at - 1] !== "`" && this.text[at + marks.length] !== "`");
    if (end < 0) {
      this.#say(marks);
      return true;
    }
    const inner = this.text.slice(this.at + marks.length, end).replaceAll("\n", " ");
    this.#put(el("code", {}, /^ .*\S.* $/.test(inner) ? inner.slice(1, -1) : inner), end + marks.length - this.at);
    return true;
  }

  emphasis(character) {
    const twice = this.text[this.at + 1] === character;
    for (const mark of twice ? [character + character, character] : [character]) {
      if (TAGS[mark] && this.#emphasise(mark)) return true;
    }
    if (twice) this.#say(character + character, 2);
    return twice;
  }

  #emphasise(mark) {
    const start = this.at + mark.length;
    if (/^\s?$/.test(this.text[start] ?? "") || (mark[0] === "_" && WORD.test(this.text[this.at - 1] ?? ""))) return false;
    const closes = (at) => at > start && !/\s/.test(this.text[at - 1]) && this.#endsRun(mark, at);
    const end = this.#find(mark, start, closes);
    if (end < 0) return false;
    this.#put(el(TAGS[mark], {}, ...renderInline(this.text.slice(start, end), this.depth + 1)), end + mark.length - this.at);
    return true;
  }

  /** Whether a run of marks ends here that this one can be the end of. */
  #endsRun(mark, at) {
    const [character] = mark;
    const next = this.text[at + mark.length] ?? "";
    if (next === character || (character === "_" && WORD.test(next))) return false;
    let run = mark.length;
    while (run < 4 && this.text[at + mark.length - run - 1] === character) run += 1;
    return mark.length === 2 || run === 1 || run === 3;
  }

  link(from) {
    const closing = this.#closingBracket(from);
    if (closing < 0 || this.text[closing + 1] !== "(") return false;
    const [whole, angled, plain] = this.#match(/\(\s*(?:<([^<>\n]*)>|((?:[^\s()\\]|\\.|\([^\s()]*\))*))(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y, closing + 1) ?? [];
    const address = whole && safeAddress(angled ?? plain);
    if (!address) return false;
    const text = this.text.slice(from + 1, closing);
    const shown = from > this.at ? [`Image: ${text || address}`] : renderInline(text || address, DEEPEST - 2);
    this.#put(link(address, ...shown), closing + 1 + whole.length - this.at);
    return true;
  }

  /** Nothing is loaded from elsewhere: a picture is a link to it. */
  image() {
    return this.link(this.at + 1);
  }

  #closingBracket(from) {
    let open = 0;
    for (let at = from; at < this.text.length && at - from < 300; at += 1) {
      if (this.text[at] === "\\") at += 1;
      else if (this.text[at] === "[") open += 1;
      else if (this.text[at] === "]" && (open -= 1) === 0) return at;
    }
    return -1;
  }

  angle() {
    const [whole, inner] = this.#match(/<((?:https?:\/\/|mailto:)[^\s<>]*)>/y) ?? [];
    const address = whole && safeAddress(inner);
    if (address) this.#put(link(address, inner), whole.length);
    else if (this.#match(/<br\s*\/?>/iy)) this.#put(el("br"), this.#match(/<br\s*\/?>/iy)[0].length);
    else return false;
    return true;
  }

  entity() {
    const [whole, decimal, hex, name] = this.#match(ENTITY) ?? [];
    if (!whole) return false;
    const code = name ? 0 : Number.parseInt(decimal ?? hex, decimal ? 10 : 16);
    this.#say(name ? NAMED[name] : code && code < 0x110000 ? String.fromCodePoint(code) : "\ufffd", whole.length);
    return true;
  }

  bare() {
    if (/\w/.test(this.text[this.at - 1] ?? "")) return false;
    const [found] = this.#match(BARE) ?? [];
    if (!found) return false;
    let end = found.replace(/[.,;:!?*_~\]]+$/, "");
    if (end.endsWith(")") && !end.includes("(")) end = end.replace(/\)+$/, "");
    const address = safeAddress(end);
    if (!address) return false;
    this.#put(link(address, end), end.length);
    return true;
  }

  lineBreak() {
    this.#put(el("br"), 1);
    return true;
  }

  dollars() {
    if (this.text[this.at + 1] === "$") return this.maths("$$", "$$", true);
    const start = this.at + 1;
    if (/^\s?$/.test(this.text[start] ?? "")) return false;
    const end = this.#find("$", start, (at) => at > start && !/[\s\\]/.test(this.text[at - 1]) && !/\d/.test(this.text[at + 1] ?? ""));
    if (end < 0) return false;
    this.#put(renderMaths(this.text.slice(start, end), false), end + 1 - this.at);
    return true;
  }

  maths(open, close, display) {
    const end = this.#find(close, this.at + open.length, () => true);
    if (end < 0) return false;
    this.#put(renderMaths(this.text.slice(this.at + open.length, end), display), end + close.length - this.at);
    return true;
  }

  /** Where a mark stands next that `fits`; -1 where there is none, which holds for whatever comes later too. */
  #find(mark, from, fits) {
    if (this.missing.has(mark)) return -1;
    for (let at = this.text.indexOf(mark, from); at >= 0; at = this.text.indexOf(mark, at + 1)) {
      if ((this.text[at - 1] !== "\\" || mark[0] === "\\" || mark[0] === "`") && fits(at)) return at;
    }
    this.missing.add(mark);
    return -1;
  }

  #match(pattern, at = this.at) {
    pattern.lastIndex = at;
    return pattern.exec(this.text);
  }

  #say(text, length = text.length) {
    const last = this.made.at(-1);
    if (typeof last === "string") this.made[this.made.length - 1] = last + text;
    else this.made.push(text);
    this.at += length;
  }

  #put(node, length) {
    this.made.push(node);
    this.at += length;
  }
}
