// Makes DOM nodes. Text becomes text nodes and nothing else: no string here is ever read as markup or as a script.

/** An element. Properties: on… are listeners (functions), `class`, and attributes; null and false leave one out. */
export function el(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** An element of SVG. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

/** An element of MathML. */
export function mathml(tag, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/1998/Math/MathML", tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** A button that says what it does: `label` is its name, `text` what is seen of it. */
export function button(text, label, onclick, properties = {}) {
  return el("button", { type: "button", "aria-label": label, title: label, onclick, ...properties }, text);
}

/** The element of the document with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Replaces the text of a node where it has changed, so that nothing is drawn anew for nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
