const SVG = "http://www.w3.org/2000/svg";
function fill(node, attributes, children) {
for (const [name, value] of Object.entries(attributes)) {
if (typeof value === "function") node.addEventListener(name, value);
else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
}
node.append(...children);
return node;
}
export const element = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
export const shape = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
export const hasModifier = (event) => event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
export function whenSeen(node, draw) {
const observer = new IntersectionObserver((entries) => {
if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
observer.disconnect();
draw();
}, { rootMargin: "400px" });
observer.observe(node);
}
export function whenRecoloured(draw) {
new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-mode"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
