// The API key, or the internal token: entered once, kept for this tab, sent to this gateway and nowhere else.
import { byId } from "./dom.js";

const NAME = "fastchat.key";
let inMemory = "";
const listeners = [];

/** The key that requests carry; empty without one. */
export function currentKey() {
  try {
    return sessionStorage.getItem(NAME) ?? inMemory;
  } catch {
    return inMemory;
  }
}

function keep(key) {
  inMemory = key;
  try {
    if (key) sessionStorage.setItem(NAME, key);
    else sessionStorage.removeItem(NAME);
  } catch {
    // It stays in memory.
  }
  for (const listener of listeners) listener();
}

/** Calls `listener` whenever another key was entered. */
export function onKeyChange(listener) {
  listeners.push(listener);
}

/** Opens the dialog that asks for a key; `reason` is shown in it. */
export function askForKey(reason = "") {
  const dialog = byId("key-dialog");
  byId("key-reason").textContent = reason;
  byId("key-input").value = currentKey();
  if (!dialog.open) dialog.showModal();
  byId("key-input").focus();
}

export function startKeyDialog() {
  const dialog = byId("key-dialog");
  byId("key-button").addEventListener("click", () => askForKey());
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
    keep(byId("key-input").value.trim());
  });
  byId("key-forget").addEventListener("click", () => {
    dialog.close();
    keep("");
  });
  byId("key-cancel").addEventListener("click", () => dialog.close());
}
