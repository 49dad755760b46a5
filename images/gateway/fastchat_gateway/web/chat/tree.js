// One model's side of a chat: messages, each with those that were tried after it, and which of them is shown.

const FIRST = "";

export class Tree {
  /** `kept`: what `toJSON` has given. */
  constructor(kept = { messages: [], chosen: {} }) {
    this.messages = new Map(kept.messages.map((message) => [message.id, message]));
    this.chosen = { ...kept.chosen };
  }

  toJSON() {
    return { messages: [...this.messages.values()], chosen: this.chosen };
  }

  /** The messages that are shown, in order. */
  path() {
    const found = [];
    for (let id = this.chosen[FIRST]; id !== undefined && found.length <= this.messages.size; id = this.chosen[id]) {
      const message = this.messages.get(id);
      if (!message) break;
      found.push(message);
    }
    return found;
  }

  /** Puts a message after this one (none: as the first), and shows it. */
  add(parent, fields) {
    const message = { id: crypto.getRandomValues(new Uint32Array(2)).join("-"), parent: parent?.id ?? FIRST, ...fields };
    this.messages.set(message.id, message);
    this.chosen[message.parent] = message.id;
    return message;
  }

  /** The messages that were tried in the place of this one, and it; in the order in which they came. */
  siblings(message) {
    return [...this.messages.values()].filter((other) => other.parent === message.parent);
  }

  parentOf(message) {
    return this.messages.get(message.parent) ?? null;
  }

  /** Shows this one of its siblings, and what came after it. */
  choose(message) {
    this.chosen[message.parent] = message.id;
  }

  /** Shows nothing after this message. */
  endAt(message) {
    delete this.chosen[message.id];
  }
}

/** What a file or the browser's store has, if it can be a tree. */
export function isTree(thing) {
  const isMessage = (each) =>
    each && typeof each.id === "string" && typeof each.parent === "string" && typeof each.content === "string" && ["user", "assistant"].includes(each.role);
  return Boolean(thing) && Array.isArray(thing.messages) && thing.messages.every(isMessage) && typeof thing.chosen === "object" && thing.chosen !== null;
}
