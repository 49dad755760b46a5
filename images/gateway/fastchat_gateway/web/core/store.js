// What is kept in this browser, within bounds: the oldest chats go first.

const PREFIX = "fastchat.chat.";
const MOST_CHATS = 200;
const MOST_CHARACTERS = 4_000_000;

/** A value that was kept under this name, or `otherwise`. */
export function load(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keeps a value; false where the browser has no room for it, or keeps nothing. */
export function save(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

function chatNames() {
  try {
    return Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
  } catch {
    return [];
  }
}

/** All chats that are kept, the newest first; `isValid` says which of them can be read. */
export function loadChats(isValid) {
  const chats = chatNames().map((name) => load(name, null));
  return chats.filter((chat) => chat && isValid(chat)).sort((a, b) => b.updated - a.updated);
}

/** Keeps a chat, and drops the oldest others where there are too many; false where even that was not enough. */
export function saveChat(chat) {
  const name = PREFIX + chat.id;
  const others = chatNames().filter((each) => each !== name);
  const oldest = others.map((each) => ({ each, updated: load(each, {}).updated ?? 0, size: (localStorage.getItem(each) ?? "").length }));
  oldest.sort((a, b) => a.updated - b.updated);
  let size = JSON.stringify(chat).length + oldest.reduce((sum, { size: one }) => sum + one, 0);
  while (oldest.length && (oldest.length >= MOST_CHATS || size > MOST_CHARACTERS)) {
    const gone = oldest.shift();
    size -= gone.size;
    localStorage.removeItem(gone.each);
  }
  while (!save(name, chat)) {
    if (!oldest.length) return false;
    localStorage.removeItem(oldest.shift().each);
  }
  return true;
}

export function deleteChat(id) {
  try {
    localStorage.removeItem(PREFIX + id);
  } catch {
    // Nothing was kept.
  }
}
