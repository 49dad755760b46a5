// The usual part of TeX's formulas → MathML, which browsers draw and screen readers speak. A formula with anything else
// in it is shown as it was written.
import { el, mathml } from "../core/dom.js";
import { ACCENTS, ALPHABETS, FUNCTIONS, inAlphabet, INTEGRALS, LARGE, LETTERS, LIMITS, OPERATORS, SPACES } from "./symbols.js";

const LONGEST = 4000;
const DEEPEST = 24;
const TOKEN = /\\(?:text(?:rm|bf|it)?|mbox)\s*\{[^{}]*\}|\\(?:[a-zA-Z]+\*?|[^a-zA-Z])|\d+(?:\.\d+)?|\s+|[^\\\s]/gu;
const MATRICES = {
  matrix: ["", ""], pmatrix: ["(", ")"], bmatrix: ["[", "]"], Bmatrix: ["{", "}"], vmatrix: ["|", "|"], Vmatrix: ["‖", "‖"],
  smallmatrix: ["", ""], cases: ["{", ""], array: ["", ""], aligned: ["", ""], align: ["", ""], "align*": ["", ""], gathered: ["", ""],
  equation: ["", ""], "equation*": ["", ""], split: ["", ""],
};
const IGNORED = new Set(["displaystyle", "textstyle", "nonumber", "notag", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr"]);

/** A formula as a node; `display`: it stands on a line of its own. */
export function renderMaths(source, display) {
  try {
    const row = new Formula(source, display).whole();
    return mathml("math", { display: display ? "block" : "inline", alttext: source.trim() }, row);
  } catch (error) {
    if (!(error instanceof NotServedError)) throw error;
    return el("code", { class: "tex" }, source.trim());
  }
}

/** The formula has something that is not known here, or makes no sense. */
class NotServedError extends Error {}

/** `\text{…}`: MathML drops spaces at the ends, but not those that do not break. */
function words(token) {
  return mathml("mtext", {}, token.slice(token.indexOf("{") + 1, -1).replaceAll(" ", "\u00a0"));
}

class Formula {
  constructor(source, display) {
    if (source.length > LONGEST) throw new NotServedError("too long");
    this.tokens = source.match(TOKEN)?.filter((token) => token.trim() || token === "\\ ") ?? [];
    this.display = display;
    this.at = 0;
    this.depth = 0;
  }

  whole() {
    const row = this.row(() => false);
    if (this.at < this.tokens.length) throw new NotServedError(this.tokens[this.at]);
    return row;
  }

  /** What comes up to a token that `ends` it. */
  row(ends) {
    if ((this.depth += 1) > DEEPEST) throw new NotServedError("too deep");
    const made = [];
    while (this.at < this.tokens.length && !ends(this.tokens[this.at])) {
      const node = this.scripted();
      if (node) made.push(node);
    }
    this.depth -= 1;
    return mathml("mrow", {}, ...made);
  }

  /** A sign with what stands below and above it. */
  scripted() {
    const token = this.tokens[this.at];
    const base = token === "^" || token === "_" ? mathml("mrow") : this.atom();
    if (!base) return null;
    let [below, above] = [null, null];
    for (;;) {
      const next = this.tokens[this.at];
      if (next === "_" && !below) below = this.#script();
      else if (next === "^" && !above) above = this.#script();
      else if (next === "'" && !above) above = this.#primes();
      else if (next === "\\limits" || next === "\\nolimits") this.at += 1;
      else break;
    }
    if (!below && !above) return base;
    const over = base.dataset?.limits && this.display;
    const names = over ? ["munder", "mover", "munderover"] : ["msub", "msup", "msubsup"];
    return mathml(names[below && above ? 2 : above ? 1 : 0], {}, ...[base, below, above].filter(Boolean));
  }

  #script() {
    this.at += 1;
    return this.argument();
  }

  #primes() {
    let count = 0;
    for (; this.tokens[this.at] === "'"; this.at += 1) count += 1;
    return mathml("mo", {}, "′".repeat(count));
  }

  /** A group in braces, or the next sign. */
  argument() {
    const token = this.tokens[this.at];
    if (token === undefined) throw new NotServedError("nothing follows");
    if (/^\d./.test(token)) {
      this.tokens[this.at] = token.slice(1); // without braces it is one digit
      return mathml("mn", {}, token[0]);
    }
    if (token !== "{") return this.atom() ?? this.argument();
    return this.#group();
  }

  #group() {
    this.at += 1;
    const row = this.row((token) => token === "}");
    this.#expect("}");
    return row;
  }

  #expect(token) {
    if (this.tokens[this.at] !== token) throw new NotServedError(`no ${token}`);
    this.at += 1;
  }

  atom() {
    const token = this.tokens[this.at];
    if (token === "{") return this.#group();
    if (token === "}" || token === "&" || token === "\\\\") throw new NotServedError(token);
    this.at += 1;
    if (token.startsWith("\\")) return token.endsWith("}") && token.length > 2 ? words(token) : this.command(token.slice(1));
    if (/^\d/.test(token)) return mathml("mn", {}, token);
    if (/^\p{L}/u.test(token)) return mathml("mi", {}, token);
    if (token === "~") return mathml("mspace", { width: SPACES.get("~") });
    return mathml("mo", "()[]|/".includes(token) ? { stretchy: "false" } : {}, token === "-" ? "−" : token === "*" ? "∗" : token);
  }

  command(name) {
    if (LETTERS.has(name)) return mathml("mi", {}, LETTERS.get(name));
    if (LARGE.has(name)) return this.#limited(mathml("mo", {}, LARGE.get(name)));
    if (INTEGRALS.has(name)) return mathml("mo", {}, INTEGRALS.get(name));
    if (OPERATORS.has(name)) return mathml("mo", {}, OPERATORS.get(name) || ":");
    if (FUNCTIONS.has(name)) return mathml("mi", {}, name);
    if (LIMITS.has(name)) return this.#limited(mathml("mo", { form: "prefix" }, name));
    if (SPACES.has(name)) return mathml("mspace", { width: SPACES.get(name) });
    if (ACCENTS.has(name)) return mathml("mover", { accent: "true" }, this.argument(), mathml("mo", {}, ACCENTS.get(name)));
    if (ALPHABETS.has(name)) return this.#alphabet(ALPHABETS.get(name));
    if (IGNORED.has(name)) return null;
    if (/^[{}%$#&_|]$/.test(name)) return mathml("mo", { stretchy: "false" }, name === "|" ? "‖" : name);
    return this.#structure(name);
  }

  #limited(node) {
    node.dataset.limits = "true";
    return node;
  }

  #structure(name) {
    switch (name) {
      case "frac": case "dfrac": case "tfrac": case "cfrac": return mathml("mfrac", {}, this.argument(), this.argument());
      case "binom": case "dbinom": case "tbinom": return this.#binomial();
      case "sqrt": return this.#root();
      case "left": return this.#fenced();
      case "begin": return this.#environment();
      case "underline": return mathml("munder", {}, this.argument(), mathml("mo", {}, "_"));
      case "overset": case "stackrel": return this.#stacked("mover");
      case "underset": return this.#stacked("munder");
      case "underbrace": return this.#limited(mathml("munder", {}, this.argument(), mathml("mo", { stretchy: "true" }, "⏟")));
      case "overbrace": return this.#limited(mathml("mover", {}, this.argument(), mathml("mo", { stretchy: "true" }, "⏞")));
      case "boxed": return this.argument();
      case "not": return mathml("mrow", {}, mathml("mo", {}, "¬"), this.argument());
      case "pmod": return mathml("mrow", {}, mathml("mo", {}, "("), mathml("mi", {}, "mod"), mathml("mspace", { width: "0.25em" }), this.argument(), mathml("mo", {}, ")"));
      default: throw new NotServedError(name);
    }
  }

  #stacked(tag) {
    const mark = this.argument();
    return mathml(tag, {}, this.argument(), mark);
  }

  #binomial() {
    const fraction = mathml("mfrac", { linethickness: "0" }, this.argument(), this.argument());
    return mathml("mrow", {}, mathml("mo", {}, "("), fraction, mathml("mo", {}, ")"));
  }

  #root() {
    if (this.tokens[this.at] !== "[") return mathml("msqrt", {}, this.argument());
    this.at += 1;
    const index = this.row((token) => token === "]");
    this.#expect("]");
    return mathml("mroot", {}, this.argument(), index);
  }

  #raw() {
    this.#expect("{");
    const inner = [];
    for (let open = 0; this.at < this.tokens.length; this.at += 1) {
      const token = this.tokens[this.at];
      if (token === "{") open += 1;
      else if (token === "}" && (open -= 1) < 0) break;
      else inner.push(token);
    }
    this.#expect("}");
    return inner;
  }

  #alphabet(alphabet) {
    const raw = this.tokens[this.at] === "{" ? this.#raw() : [this.tokens[this.at++] ?? ""];
    const text = raw.map((token) => (token.startsWith("\\") ? LETTERS.get(token.slice(1)) ?? this.#refuse(token) : token)).join("");
    const attributes = alphabet === "normal" ? { mathvariant: "normal" } : {};
    return mathml("mi", attributes, [...text].map((each) => inAlphabet(each, alphabet)).join(""));
  }

  #refuse(token) {
    throw new NotServedError(token);
  }

  #delimiter() {
    const token = this.tokens[this.at++] ?? this.#refuse("nothing");
    if (token === ".") return null;
    const sign = token.startsWith("\\") ? OPERATORS.get(token.slice(1)) ?? token.slice(1).replace("|", "‖") : token;
    if ([...sign].length !== 1) throw new NotServedError(token);
    return mathml("mo", { stretchy: "true", fence: "true" }, sign);
  }

  #fenced() {
    const opening = this.#delimiter();
    const inner = this.row((token) => token === "\\right");
    this.#expect("\\right");
    return mathml("mrow", {}, opening, inner, this.#delimiter());
  }

  #environment() {
    const name = this.#raw().join("");
    const [open, close] = Object.hasOwn(MATRICES, name) ? MATRICES[name] : this.#refuse(name);
    if (name === "array") this.#raw();
    const rows = [[]];
    while (this.tokens[this.at] !== "\\end") {
      if (this.at >= this.tokens.length) throw new NotServedError("no end");
      rows.at(-1).push(mathml("mtd", {}, this.row((token) => token === "&" || token === "\\\\" || token === "\\end")));
      if (this.tokens[this.at] === "&") this.at += 1;
      else if (this.tokens[this.at] === "\\\\") {
        this.at += 1;
        rows.push([]);
      }
    }
    this.at += 1;
    if (this.#raw().join("") !== name) throw new NotServedError("another end");
    const table = mathml("mtable", /align|split/.test(name) ? { class: "aligned" } : {}, ...rows.filter((row) => row.length).map((row) => mathml("mtr", {}, ...row)));
    const fence = (sign) => sign && mathml("mo", { stretchy: "true", fence: "true" }, sign);
    return mathml("mrow", {}, fence(open) || null, table, fence(close) || null);
  }
}
