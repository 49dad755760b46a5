// One model's side of a chat on the page: its messages, and what is done with them.
import { announce, Narrator } from "../core/announce.js";
import { el } from "../core/dom.js";
import { copy } from "../core/files.js";
import { toMessages } from "./conversation.js";
import { emptyAnswer, generate } from "./generation.js";
import { MessageView } from "./message.js";

const NEAR_END = 80;

export class ColumnView {
  #views = new Map();
  #abort = null;

  /** `chat`: asked for `settings()`, and told by `changed()`, `edit(message, column)`, `running()`. */
  constructor(column, { chat, name, label, head }) {
    this.column = column;
    this.chat = chat;
    this.name = name;
    this.log = el("div", { class: "log", role: "log", "aria-live": "off", "aria-label": `Messages, ${label}`, tabindex: "0" });
    this.element = el("section", { class: "column", "aria-label": label }, head, this.log);
    this.draw();
  }

  get running() {
    return this.#abort !== null;
  }

  /** Shows the path that is chosen; messages that were there before stay as they are. */
  draw() {
    const { tree } = this.column;
    const views = new Map();
    for (const message of tree.path()) {
      const known = this.#views.get(message.id);
      const siblings = tree.siblings(message);
      const current = known && known.count === siblings.length ? known.view : this.#view(message, siblings);
      views.set(message.id, { view: current, count: siblings.length });
    }
    this.#views = views;
    this.log.replaceChildren(...[...views.values()].map(({ view }) => view.element));
    if (!views.size) this.log.append(el("p", { class: "empty" }, "Ask something."));
  }

  #view(message, siblings) {
    const isUser = message.role === "user";
    const actions = {
      copy: async () => announce((await copy(message.content)) ? "Copied." : "The browser does not let the page copy."),
      edit: isUser && (() => this.chat.edit(message, this)),
      regenerate: !isUser && (() => this.regenerate(message)),
      branch: (step) => this.#branch(message, siblings, step),
    };
    return new MessageView(message, { speaker: isUser ? "You" : this.name(message), siblings, actions });
  }

  #branch(message, siblings, step) {
    if (this.running) return;
    const other = siblings[siblings.indexOf(message) + step];
    this.column.tree.choose(other);
    this.draw();
    this.chat.changed();
    const version = siblings.indexOf(other) + 1;
    announce(`Version ${version} of ${siblings.length}.`);
    const buttons = this.log.querySelectorAll(`[data-id="${CSS.escape(other.id)}"] .branches button`);
    (buttons[step < 0 ? 0 : 1]?.disabled ? buttons[step < 0 ? 1 : 0] : buttons[step < 0 ? 0 : 1])?.focus();
  }

  /** Sends a prompt after this message, or as the first. */
  ask(content, parent = this.column.tree.path().at(-1) ?? null) {
    return this.#answer(this.column.tree.add(parent, { role: "user", content }));
  }

  regenerate(message) {
    return this.#answer(this.column.tree.parentOf(message));
  }

  stop() {
    this.#abort?.abort();
  }

  async #answer(prompt) {
    if (this.running) return;
    const { tree, model } = this.column;
    tree.endAt(prompt);
    const { system, ...settings } = this.chat.settings();
    const messages = toMessages(tree.path(), system);
    const answer = tree.add(prompt, emptyAnswer(model));
    this.#abort = new AbortController();
    this.draw();
    this.log.scrollTop = this.log.scrollHeight;
    this.chat.running();
    const { view } = this.#views.get(answer.id);
    const narrator = new Narrator();
    const update = () => {
      view.update({ running: this.running });
      this.#follow();
      narrator.grow(answer.content);
    };
    let frame = 0; // however many events come within one, the page is changed once
    const onUpdate = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        if (this.running) update();
      });
    };
    update();
    await generate(answer, { messages, settings, signal: this.#abort.signal, onUpdate });
    this.#abort = null;
    view.update();
    view.stream.flush();
    this.#follow();
    narrator.finish(answer.error ? `${answer.error.message} ${answer.error.remedy}` : answer.content);
    this.chat.running();
    this.chat.changed(answer);
  }

  /** Keeps the end in sight, unless somebody has scrolled up to read. */
  #follow() {
    this.#following ??= requestAnimationFrame(() => {
      this.#following = null;
      const { scrollTop, clientHeight, scrollHeight } = this.log;
      if (scrollHeight - scrollTop - clientHeight < NEAR_END + (this.#height ? scrollHeight - this.#height : 0)) this.log.scrollTop = scrollHeight;
      this.#height = scrollHeight;
    });
  }

  #following = null;
  #height = 0;
}

/** A column's choice of a model. */
export function modelPicker(models, chosen, label, onChange) {
  const names = models.includes(chosen) || !chosen ? models : [chosen, ...models];
  const select = el("select", { "aria-label": label, onchange: () => onChange(select.value) },
    ...names.map((name) => el("option", { value: name, selected: name === chosen }, name)));
  return select;
}

/** What a column without a choice has. */
export function hiddenName(label) {
  return el("span", { class: "hidden-name" }, label);
}

