// Nodes of a page, made by scripts.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** An element; an attribute that is a function listens to the event of that name, one that is `false` or `undefined` is left out. */
export const element = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

/** The same in a drawing. */
export const shape = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Whether a key was pressed with another, which is a command to the browser. */
export const hasModifier = (event) => event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;

/** A choice of the reader's, kept from page to page where the browser lets it be kept. */
export function recall(name) {
  try {
    return localStorage.getItem(`neuroscope-${name}`);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`neuroscope-${name}`, value);
  } catch {
    // forbidden: the choice holds for this page only
  }
}
