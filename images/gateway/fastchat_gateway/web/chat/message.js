// How a message looks.
import { button, el, setText } from "../core/dom.js";
import { MarkdownStream } from "../text/stream.js";
import { statistics } from "./generation.js";

/**
 * A message on the page. `actions`: what its buttons do, of `copy`, `edit`, `regenerate`, `branch(step)`.
 */
export class MessageView {
  constructor(message, { speaker, siblings, actions }) {
    this.message = message;
    this.actions = actions;
    this.body = el("div", { class: "text" });
    this.stream = new MarkdownStream(this.body);
    this.extras = el("div", { class: "extras" });
    this.note = el("p", { class: "note", hidden: true });
    this.figures = el("p", { class: "figures", hidden: true });
    this.speaker = el("h3", { class: "speaker" }, speaker);
    const foot = el("footer", {}, this.figures, this.#toolbar(siblings));
    this.element = el("article", { class: `message ${message.role}`, "data-id": message.id }, this.speaker, this.extras, this.body, this.note, foot);
    this.update();
    this.stream.flush();
  }

  #toolbar(siblings) {
    const { copy, edit, regenerate, branch } = this.actions;
    const at = siblings.indexOf(this.message);
    const who = this.message.role === "user" ? "message" : "response";
    const branches = siblings.length > 1 && el("span", { class: "branches", role: "group", "aria-label": "Versions" },
      button("‹", `Previous version of the ${who}`, () => branch(-1), { disabled: at === 0 }),
      el("span", {}, `${at + 1}/${siblings.length}`),
      button("›", `Next version of the ${who}`, () => branch(1), { disabled: at === siblings.length - 1 }));
    return el("div", { class: "toolbar" }, branches, button("Copy", `Copy ${who}`, copy), edit && button("Edit", "Edit message", edit),
      regenerate && button("Regenerate", "Regenerate response", regenerate));
  }

  /** Shows what has changed. */
  update({ running = false } = {}) {
    const { message } = this;
    this.element.setAttribute("aria-busy", String(running));
    this.stream.set(message.content);
    this.#details("reasoning", "Reasoning", message.reasoning);
    (message.calls ?? []).forEach((call, at) => this.#details(`call-${at}`, `Tool call: ${call.name || "…"}`, pretty(call.arguments), true));
    this.#notes(running);
    if (message.role === "assistant" && !running) this.#figures();
  }

  #notes(running) {
    const { note, content, reasoning, calls, error, role } = this.message;
    const thinking = running && role === "assistant" && !content && !reasoning && !calls?.length;
    const text = error ? `${error.message} ${error.remedy}` : note || (thinking ? "Waiting for the first token…" : "");
    this.note.hidden = !text;
    this.note.className = error ? "note error" : "note";
    setText(this.note, text);
  }

  #figures() {
    const said = statistics(this.message);
    this.figures.hidden = !said.length;
    setText(this.figures, said.join(" · "));
  }

  /** A part that is folded until somebody looks. */
  #details(name, title, text, code = false) {
    if (!text && !code) return;
    let details = this.extras.querySelector(`[data-part="${name}"]`);
    if (!details) {
      details = el("details", { "data-part": name }, el("summary", {}), el(code ? "pre" : "div", { class: "folded", tabindex: code ? "0" : null }));
      this.extras.append(details);
    }
    setText(details.firstChild, title);
    setText(details.lastChild, text);
  }
}

/** Arguments of a call, indented where they are JSON already. */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
