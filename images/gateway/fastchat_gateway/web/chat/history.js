// The list of chats, and their way out of this browser and into it.
import { announce } from "../core/announce.js";
import { button, byId, el } from "../core/dom.js";
import { download } from "../core/files.js";
import { deleteChat, loadChats, saveChat } from "../core/store.js";
import { isConversation, readConversation } from "./conversation.js";
import { knownSettings } from "./settings.js";
import { votes, votesAsLines } from "./votes.js";

const FORMAT = "fastchat-chats/1";
const LARGEST_FILE = 50_000_000;

/** `open(conversation)` is called with the chat that somebody chooses, null: a new one. */
export function startHistory(open) {
  byId("new-chat").addEventListener("click", () => open(null));
  byId("export-chats").addEventListener("click", exportChats);
  byId("export-votes").addEventListener("click", () => {
    download("votes.jsonl", votesAsLines(), "application/jsonl");
    announce(`${votes().length} votes exported.`);
  });
  const picker = byId("import-file");
  byId("import-chats").addEventListener("click", () => picker.click());
  picker.addEventListener("change", async () => {
    const [file] = picker.files;
    picker.value = "";
    if (file) await importChats(file, open);
  });
}

/** Draws the list; `current`: the id of the chat that is shown. */
export function drawHistory(current, open) {
  const chats = loadChats(isConversation);
  const entries = chats.map((chat) => entry(chat, chat.id === current, open));
  byId("chat-list").replaceChildren(...entries);
  byId("export-votes").textContent = `Export votes (${votes().length})`;
}

function entry(chat, isCurrent, open) {
  const remove = () => {
    deleteChat(chat.id);
    announce(`${chat.title} is deleted.`);
    if (isCurrent) open(null);
    else drawHistory(null, open);
    byId("new-chat").focus();
  };
  const opening = el("button", { type: "button", class: "chat-title", "aria-current": isCurrent ? "true" : null, onclick: () => open(readConversation(chat)) }, chat.title);
  return el("li", {}, opening, button("×", `Delete ${chat.title}`, remove, { class: "quiet" }));
}

function exportChats() {
  const chats = loadChats(isConversation);
  download("chats.json", JSON.stringify({ format: FORMAT, chats }, null, 1), "application/json");
  announce(`${chats.length} chats exported.`);
}

async function importChats(file, open) {
  try {
    if (file.size > LARGEST_FILE) throw new Error("it is larger than 50 MB");
    const document = JSON.parse(await file.text());
    if (document?.format !== FORMAT || !Array.isArray(document.chats)) throw new Error(`it is not of the form ${FORMAT}`);
    const chats = document.chats.filter(isConversation).map(readConversation);
    if (chats.length < document.chats.length) throw new Error("a chat in it cannot be read");
    for (const chat of chats) saveChat({ ...chat, settings: knownSettings(chat.settings) });
    announce(`${chats.length} chats imported.`);
    showProblem("");
    open(chats[0] ?? null);
  } catch (error) {
    showProblem(`${file.name} cannot be imported: ${error.message}.`);
  }
}

function showProblem(text) {
  byId("history-problem").textContent = text;
}
