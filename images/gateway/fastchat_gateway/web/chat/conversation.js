// A chat: one to four models that get the same prompts, and the settings that they get them with.
import { isTree, Tree } from "./tree.js";

export const MOST_COLUMNS = 4;

/** A new chat with these models. */
export function newConversation(models, settings) {
  const now = Date.now();
  return { id: crypto.getRandomValues(new Uint32Array(2)).join("-"), title: "New chat", created: now, updated: now, settings, blind: false, voted: [], columns: models.map((model) => ({ model, tree: new Tree() })) };
}

/** Whether a document can be read as a chat. */
export function isConversation(thing) {
  const isColumn = (column) => column && typeof column.model === "string" && isTree(column.tree);
  return Boolean(thing) && typeof thing.id === "string" && typeof thing.title === "string" && Array.isArray(thing.columns) &&
    thing.columns.length >= 1 && thing.columns.length <= MOST_COLUMNS && thing.columns.every(isColumn);
}

/** The chat that a document has, of which only what is known here is taken over. */
export function readConversation(document) {
  const { id, title, created, updated, settings, blind, voted, columns } = document;
  const number = (value) => (Number.isFinite(value) ? value : Date.now());
  const kept = columns.map((column) => ({ model: column.model, tree: new Tree(column.tree) }));
  return { id, title, created: number(created), updated: number(updated), settings: settings && typeof settings === "object" ? settings : {}, blind: blind === true, voted: Array.isArray(voted) ? voted : [], columns: kept };
}

/** A title made of the first thing that the user said. */
export function titleOf(conversation) {
  const first = conversation.columns[0].tree.path()[0]?.content ?? "";
  const line = first.trim().split("\n")[0];
  return line.length > 60 ? `${line.slice(0, 57)}…` : line || "New chat";
}

/** What the API is sent of a path of messages. */
export function toMessages(path, system) {
  const said = path.filter((message) => !message.error || message.content).map(({ role, content }) => ({ role, content }));
  return system?.trim() ? [{ role: "system", content: system }, ...said] : said;
}
