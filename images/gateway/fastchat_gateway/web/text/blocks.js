// Markdown's blocks: text → plain objects. Each line is looked at once per level, and levels are bounded.

const DEEPEST = 8;
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?=\s|$)/;
const RULE = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:( {1,4})(?! )|(?= {5})( )|\s*$)/;
const MATHS = [["$$", "$$"], ["\\[", "\\]"]];

/** The blocks of a text, each with `start` and `end`, the lines that it is of. */
export function parseBlocks(text, depth = 0) {
  return new Blocks(text.split("\n"), depth).all();
}

class Blocks {
  constructor(lines, depth) {
    this.lines = lines;
    this.depth = depth;
    this.at = 0;
  }

  all() {
    const found = [];
    while (this.at < this.lines.length) {
      if (!this.lines[this.at].trim()) {
        this.at += 1;
        continue;
      }
      const start = this.at;
      found.push({ ...this.next(), start, end: this.at });
    }
    return found;
  }

  next() {
    const line = this.lines[this.at];
    return this.fence(line) ?? this.maths(line) ?? this.heading(line) ?? this.nested(line) ?? this.table(line) ?? this.paragraph();
  }

  fence(line) {
    const [, marks, about] = FENCE.exec(line) ?? [];
    if (!marks) return null;
    const closing = new RegExp(`^ {0,3}${marks[0]}{${marks.length},}\\s*$`);
    const body = this.#until((each) => closing.test(each));
    return { type: "code", language: about.trim().split(/\s/)[0], text: body.join("\n") };
  }

  maths(line) {
    const opened = line.trim();
    const [open, close] = MATHS.find(([mark]) => opened.startsWith(mark)) ?? [];
    if (!open) return null;
    const first = opened.slice(open.length);
    const sameLine = first.indexOf(close);
    if (sameLine >= 0) {
      if (first.slice(sameLine + close.length).trim()) return null;
      this.at += 1;
      return { type: "maths", text: first.slice(0, sameLine), source: opened };
    }
    const begun = this.at;
    const body = [];
    for (this.at += 1; this.at < this.lines.length && this.lines[this.at].trim(); this.at += 1) {
      const end = this.lines[this.at].indexOf(close);
      if (end >= 0) {
        body.push(this.lines[this.at].slice(0, end));
        this.at += 1;
        return { type: "maths", text: [first, ...body].join("\n"), source: this.lines.slice(begun, this.at).join("\n") };
      }
      body.push(this.lines[this.at]);
    }
    return { type: "paragraph", text: this.lines.slice(begun, this.at).join("\n") };
  }

  heading(line) {
    const [before, marks] = HEADING.exec(line) ?? [];
    if (marks) {
      this.at += 1;
      return { type: "heading", level: marks.length, text: withoutClosing(line.slice(before.length).trim()) };
    }
    if (!RULE.test(line)) return null;
    this.at += 1;
    return { type: "rule" };
  }

  nested(line) {
    if (this.depth >= DEEPEST) return null;
    if (/^ {0,3}>/.test(line)) return this.quote();
    return ITEM.test(line) ? this.list() : null;
  }

  quote() {
    const inner = [];
    for (; this.at < this.lines.length && /^ {0,3}>/.test(this.lines[this.at]); this.at += 1) {
      inner.push(this.lines[this.at].replace(/^ {0,3}> ?/, ""));
    }
    return { type: "quote", blocks: parseBlocks(inner.join("\n"), this.depth + 1) };
  }

  list() {
    const marker = ITEM.exec(this.lines[this.at])[2];
    const kind = marker.slice(-1);
    const items = [];
    let loose = false;
    while (this.at < this.lines.length) {
      const found = ITEM.exec(this.lines[this.at]);
      if (!found || found[2].slice(-1) !== kind || RULE.test(this.lines[this.at])) break;
      const item = this.#item(found);
      loose ||= item.loose;
      items.push(parseBlocks(item.lines.join("\n"), this.depth + 1));
    }
    return { type: "list", ordered: /\d/.test(marker), first: Number.parseInt(marker, 10) || 0, loose, items };
  }

  /** Lines of an item without its indent: those that are indented, and those that go on its last paragraph. */
  #item([whole]) {
    const indent = whole.length;
    const lines = [this.lines[this.at].slice(indent)];
    let blank = 0;
    let loose = false;
    for (this.at += 1; this.at < this.lines.length; this.at += 1) {
      const line = this.lines[this.at];
      if (!line.trim()) {
        blank += 1;
        continue;
      }
      const own = line.search(/\S/) >= Math.min(indent, 2);
      if (!own && (blank || ITEM.test(line) || startsBlock(line))) break;
      if (blank && own) loose ||= !ITEM.test(line.slice(Math.min(indent, line.search(/\S/))));
      lines.push(...Array(blank).fill(""), own ? line.slice(Math.min(indent, line.search(/\S/))) : line);
      blank = 0;
    }
    return { lines, loose };
  }

  table(line) {
    const under = this.lines[this.at + 1];
    if (!line.includes("|") || !under?.includes("-")) return null;
    const head = cells(line);
    const marks = cells(under);
    if (head.length !== marks.length || !marks.every((mark) => /^:?-+:?$/.test(mark))) return null;
    const align = marks.map((mark) => (mark.endsWith(":") ? (mark.startsWith(":") ? "center" : "end") : "start"));
    const rows = [];
    for (this.at += 2; this.at < this.lines.length; this.at += 1) {
      if (!this.lines[this.at].trim() || !this.lines[this.at].includes("|")) break;
      rows.push(cells(this.lines[this.at]));
    }
    return { type: "table", align, head, rows };
  }

  paragraph() {
    const begun = this.at;
    for (this.at += 1; this.at < this.lines.length; this.at += 1) {
      const line = this.lines[this.at];
      if (!line.trim() || startsBlock(line) || (ITEM.test(line) && /^ {0,3}(?:[-*+]|1[.)])\s+\S/.test(line))) break;
    }
    return { type: "paragraph", text: this.lines.slice(begun, this.at).join("\n") };
  }

  #until(closes) {
    const body = [];
    for (this.at += 1; this.at < this.lines.length; this.at += 1) {
      if (closes(this.lines[this.at])) {
        this.at += 1;
        break;
      }
      body.push(this.lines[this.at]);
    }
    return body;
  }
}

/** A heading without the signs that may stand at its end. */
function withoutClosing(text) {
  let end = text.length;
  while (text[end - 1] === "#") end -= 1;
  return end === 0 || /\s/.test(text[end - 1]) ? text.slice(0, end).trimEnd() : text;
}

function startsBlock(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || /^ {0,3}>/.test(line) || /^\s*(?:\$\$|\\\[)/.test(line);
}

function cells(line) {
  const found = [""];
  for (const [part] of line.trim().replace(/^\|/, "").replace(/\|$/, "").matchAll(/\\.|`[^`]*`|\||[^\\|`]+|[\\`]/g)) {
    if (part === "|") found.push("");
    else found[found.length - 1] += part === "\\|" ? "|" : part;
  }
  return found.map((cell) => cell.trim());
}
