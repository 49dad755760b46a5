// Where a link of a model's text may lead: to web pages and mailboxes. A click on anything else is impossible.
import { el } from "../core/dom.js";

const SCHEMES = new Set(["http:", "https:", "mailto:"]);
const ABSOLUTE = /^(?:https?:\/\/|mailto:)/i;

/** The address in full; null for what is no link here: scripts, data, files, paths of this gateway. */
export function safeAddress(text) {
  if (!ABSOLUTE.test(text) || text.length > 2048) return null;
  try {
    const url = new URL(text);
    return SCHEMES.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** A link that tells the page that it leads to nothing of where it came from. */
export function link(address, ...children) {
  return el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", title: address }, ...children);
}
