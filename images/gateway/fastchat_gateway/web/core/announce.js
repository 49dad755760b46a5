// What a screen reader says of a response while it comes: sentences, not tokens, and at most every few seconds.
import { byId } from "./dom.js";

const PAUSE_MS = 2500;
const LONGEST = 600;
let last = 0;

/** Says this now. */
export function announce(text) {
  last = performance.now();
  byId("announcer").textContent = text;
}

/** Tells a text that grows: whole sentences of what was not said yet. */
export class Narrator {
  #said = 0;

  grow(text) {
    if (performance.now() - last < PAUSE_MS) return;
    const fresh = text.slice(this.#said);
    const end = Math.max(...[". ", "! ", "? ", "\n"].map((mark) => fresh.lastIndexOf(mark)));
    if (end < 0) return;
    this.#said += end + 1;
    announce(fresh.slice(0, end + 1).trim().slice(-LONGEST));
  }

  finish(text) {
    announce(text.slice(this.#said).trim().slice(-LONGEST) || "The response is complete.");
  }
}
