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

/** Calls `draw` once, when a node comes near the part of the page that is in view. */
export function whenSeen(node, draw) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    draw();
  }, { rootMargin: "400px" });
  observer.observe(node);
}

/** Calls `draw` when the page turns dark or light, for pictures that style sheets do not reach. */
export function whenRecoloured(draw) {
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-mode"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
