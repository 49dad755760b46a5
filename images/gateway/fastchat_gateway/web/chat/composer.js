// Where prompts are written: Enter sends, Shift and Enter begin a new line, Escape stops.
import { byId } from "../core/dom.js";

export class Composer {
  #editing = null;

  /** `chat`: told by `send(text)`, `sendEdited(text, message)`, `stop()`, and asked for `lastPrompt()`. */
  constructor(chat) {
    this.chat = chat;
    this.input = byId("composer-input");
    this.form = byId("composer");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("input", () => this.#grow());
    byId("stop-button").addEventListener("click", () => chat.stop());
    byId("edit-cancel").addEventListener("click", () => this.endEdit());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) chat.stop();
    });
  }

  /** Shows what can be done now. */
  show({ running }) {
    byId("stop-button").hidden = !running;
    byId("send-button").hidden = running;
  }

  edit(message, text) {
    this.#editing = message;
    byId("edit-note").hidden = false;
    this.input.value = text;
    this.#grow();
    this.input.focus();
  }

  endEdit() {
    this.#editing = null;
    byId("edit-note").hidden = true;
    this.input.value = "";
    this.#grow();
    this.input.focus();
  }

  #key(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && !this.input.value) {
      const last = this.chat.lastPrompt();
      if (last) event.preventDefault();
      if (last) this.edit(last, last.content);
    } else if (event.key === "Escape" && this.#editing) {
      this.endEdit();
    }
  }

  #send() {
    const text = this.input.value.trim();
    const editing = this.#editing;
    if (!text || !this.chat.canSend()) return;
    this.endEdit();
    if (editing) this.chat.sendEdited(text, editing);
    else this.chat.send(text);
  }

  #grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight + 2, 220)}px`;
  }
}
