// The chat on the page: its columns, what is typed, what is kept.
import { ApiError, listModels } from "../core/api.js";
import { announce } from "../core/announce.js";
import { button, byId, el } from "../core/dom.js";
import { askForKey, onKeyChange } from "../core/key.js";
import { load, save, saveChat } from "../core/store.js";
import { ColumnView, modelPicker } from "./column.js";
import { Composer } from "./composer.js";
import { MOST_COLUMNS, newConversation, titleOf } from "./conversation.js";
import { drawHistory, startHistory } from "./history.js";
import { knownSettings, startSettings } from "./settings.js";
import { Tree } from "./tree.js";
import { keepVote, letter, voteBar } from "./votes.js";

const LAST_MODELS = "fastchat.models";
const LAST_SETTINGS = "fastchat.settings";

export class Chat {
  constructor() {
    this.models = [];
    this.columns = [];
    this.composer = new Composer(this);
    this.conversation = newConversation([""], knownSettings(load(LAST_SETTINGS, {})));
    startSettings(() => this.conversation.settings, (settings) => this.#setSettings(settings));
    startHistory((conversation) => this.open(conversation));
    byId("compare-button").addEventListener("click", () => this.#addColumn());
    byId("blind-button").addEventListener("click", () => this.#setBlind(!this.conversation.blind));
    byId("reload-models").addEventListener("click", () => this.loadModels());
    onKeyChange(() => this.loadModels());
    this.#draw();
  }

  /** Asks the gateway what there is to chat with. */
  async loadModels() {
    try {
      this.models = (await listModels()).map((card) => card.id);
      this.#status(this.models.length ? "" : "No model that generates text is served here yet.");
      this.#fillIn();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#status(`${error.message} ${error.remedy}`);
      if (error.status === 401) askForKey(error.message);
    }
  }

  /** Chats that have no model yet get the one that was used last. */
  #fillIn() {
    const [last] = load(LAST_MODELS, []).filter((name) => this.models.includes(name));
    for (const column of this.conversation.columns) column.model ||= last ?? this.models[0] ?? "";
    this.#draw();
  }

  #status(text) {
    byId("models-status").textContent = text;
    byId("models-status").parentElement.hidden = !text;
  }

  /** Shows a chat; null: a new one with the same models and settings. */
  open(conversation) {
    if (this.isRunning) this.stop();
    const models = this.conversation.columns.map(({ model }) => model);
    this.conversation = conversation ?? newConversation(models, this.conversation.settings);
    this.conversation.settings = knownSettings(this.conversation.settings);
    if (!conversation && this.models.length) this.conversation.columns.forEach((column) => (column.model ||= this.models[0]));
    document.body.classList.remove("with-sidebar");
    byId("sidebar-toggle").setAttribute("aria-expanded", "false");
    this.#draw();
    this.composer.input.focus();
  }

  // What a column asks and tells.

  settings() {
    return this.conversation.settings;
  }

  edit(message) {
    if (!this.isRunning) this.composer.edit(message, message.content);
  }

  running() {
    this.composer.show({ running: this.isRunning });
    for (const id of ["compare-button", "blind-button", "settings-button"]) byId(id).disabled = this.isRunning;
    this.#buttons();
    this.#voting();
  }

  /** Something is to be kept; `answer`: a response that has ended. */
  changed(answer) {
    this.conversation.updated = Date.now();
    this.conversation.title = titleOf(this.conversation);
    if (!saveChat(this.conversation)) this.#status("The browser has no room to keep this chat: export it, or delete others.");
    if (answer?.error?.status === 401) askForKey(answer.error.message);
    this.#drawHistory();
  }

  // What the composer asks and tells.

  get isRunning() {
    return this.columns.some((column) => column.running);
  }

  canSend() {
    const ready = !this.isRunning && this.conversation.columns.every(({ model }) => model);
    if (!ready) announce(this.isRunning ? "A response is still coming: stop it first." : "There is no model to ask.");
    return ready;
  }

  lastPrompt() {
    return this.columns[0].column.tree.path().findLast((message) => message.role === "user") ?? null;
  }

  send(text) {
    for (const column of this.columns) column.ask(text);
    save(LAST_MODELS, this.conversation.columns.map(({ model }) => model));
    this.changed();
  }

  /** Sends another prompt in the place of this one: in all columns, where each has one at this place. */
  sendEdited(text, message) {
    const paths = this.columns.map(({ column }) => column.tree.path());
    const turn = Math.max(...paths.map((path) => path.indexOf(message)));
    this.columns.forEach((column, at) => {
      const replaced = paths[at][turn];
      if (replaced?.role === "user") column.ask(text, column.column.tree.parentOf(replaced));
    });
    this.changed();
  }

  stop() {
    for (const column of this.columns) column.stop();
  }

  // Columns.

  #addColumn() {
    const { columns } = this.conversation;
    if (columns.length >= MOST_COLUMNS) return;
    const unused = this.models.find((name) => columns.every(({ model }) => model !== name));
    columns.push({ model: unused ?? columns[0].model, tree: new Tree() });
    this.#draw();
    announce(`${columns.length} models side by side.`);
  }

  #removeColumn(at) {
    this.conversation.columns.splice(at, 1);
    if (this.conversation.columns.length < 2) this.conversation.blind = false;
    this.#draw();
    byId("compare-button").focus();
    announce(`${this.conversation.columns.length} models.`);
  }

  /** Hides the models' names, which are drawn by lot, until somebody has voted. */
  #setBlind(blind) {
    const { columns } = this.conversation;
    this.conversation.blind = blind;
    if (blind && columns.length < 2) columns.push({ model: "", tree: new Tree() });
    if (blind) {
      const drawn = shuffled(this.models);
      columns.forEach((column, at) => (column.model = drawn[at % drawn.length] ?? ""));
      for (const column of columns) column.tree = new Tree();
    }
    this.#draw();
    announce(blind ? "Names are hidden until you vote." : "Names are shown.");
  }

  get #hidesNames() {
    return this.conversation.blind && !this.conversation.voted.length;
  }

  #draw() {
    const { columns, blind } = this.conversation;
    const several = columns.length > 1;
    this.columns = columns.map((column, at) => this.#column(column, at, several));
    byId("columns").replaceChildren(...this.columns.map(({ element }) => element));
    byId("columns").dataset.count = String(columns.length);
    byId("compare-button").hidden = columns.length >= MOST_COLUMNS;
    byId("blind-button").setAttribute("aria-pressed", String(blind));
    this.running();
    for (const { log } of this.columns) log.scrollTop = log.scrollHeight;
    this.#drawHistory();
  }

  #column(column, at, several) {
    const label = several ? letter(at) : "Model";
    const choose = (model) => {
      column.model = model;
      save(LAST_MODELS, this.conversation.columns.map((each) => each.model));
    };
    const picker = this.#hidesNames ? el("span", { class: "hidden-name" }, label) : modelPicker(this.models, column.model, label, choose);
    const removing = several && button("×", `Remove ${label}`, () => this.#removeColumn(at), { class: "quiet remove" });
    const head = el("div", { class: "column-head" }, several && !this.#hidesNames && el("span", { class: "letter", "aria-hidden": "true" }, letter(at).slice(-1)), picker, removing);
    const name = (message) => (this.#hidesNames ? label : message.model || column.model);
    return new ColumnView(column, { chat: this, name, label, head });
  }

  #buttons() {
    for (const { element } of this.columns) {
      for (const control of element.querySelectorAll(".column-head select, .column-head .remove")) control.disabled = this.isRunning;
    }
  }

  #setSettings(settings) {
    this.conversation.settings = settings;
    save(LAST_SETTINGS, settings);
    announce("Settings are kept for this chat and those after it.");
  }

  #drawHistory() {
    drawHistory(this.conversation.id, (conversation) => this.open(conversation));
  }

  // Votes.

  /** A turn that all columns have answered can be voted on, once. */
  #voting() {
    const place = byId("vote-bar");
    const { columns, voted } = this.conversation;
    const last = columns.map(({ tree }) => tree.path().at(-1));
    const turn = last.map((message) => message?.id).join(" ");
    const canVote = columns.length > 1 && !this.isRunning && last.every((message) => message?.role === "assistant" && message.content) && !voted.includes(turn);
    place.replaceChildren(...(canVote ? [voteBar(columns, (choice) => this.#vote(choice, turn))] : []));
  }

  #vote(choice, turn) {
    const kept = keepVote(this.conversation, choice);
    const revealed = this.#hidesNames;
    this.conversation.voted.push(turn);
    this.changed();
    if (revealed) this.#draw();
    else this.#voting();
    const names = this.conversation.columns.map(({ model }, at) => `${letter(at)} is ${model}`).join(", ");
    announce(kept ? `Your vote is kept in this browser. ${names}.` : "The browser has no room to keep the vote.");
    this.composer.input.focus();
  }
}

function shuffled(names) {
  const found = [...names];
  for (let at = found.length - 1; at > 0; at -= 1) {
    const other = crypto.getRandomValues(new Uint32Array(1))[0] % (at + 1);
    [found[at], found[other]] = [found[other], found[at]];
  }
  return found;
}

