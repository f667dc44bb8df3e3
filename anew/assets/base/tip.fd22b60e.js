import { element } from "./dom.951b2e7b.js";
const GAP = 6; // px
const about = new WeakMap();
const tip = element("div", { id: "tip", role: "tooltip", popover: "manual" });
document.body.append(tip);
let shown; // the part that the tip is about
let asked; // that the pointer or the focus is on: what is said of it may have to be loaded
export function explain(part, lines) {
about.set(part, lines);
return part;
}
function explained(node) {
for (let part = node; part; part = part.parentElement) if (about.has(part)) return part;
return undefined;
}
function place() {
const box = shown.getClientRects()[0] ?? shown.getBoundingClientRect();
const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - GAP);
const above = box.top - tip.offsetHeight - GAP;
tip.style.left = `${Math.max(GAP, left)}px`;
tip.style.top = `${above > 0 ? above : box.bottom + GAP}px`;
}
async function show(part, focused) {
asked = part;
const lines = await about.get(part)();
if (asked !== part || !part.isConnected || lines.length === 0) return;
tip.replaceChildren(...lines.map((line) => element("div", {}, line)));
tip.hidePopover(); // the latest is on top, also of a dialog
tip.showPopover();
shown = part;
place();
focused?.setAttribute("aria-describedby", tip.id);
}
function hide() {
asked = undefined;
if (shown) tip.hidePopover();
shown = undefined;
}
function leave() {
const part = explained(document.activeElement);
if (part) show(part);
else hide();
}
document.addEventListener("pointerover", ({ target }) => {
const part = explained(target);
if (!part) return leave();
if (part !== shown) show(part);
});
document.addEventListener("pointerout", ({ relatedTarget }) => relatedTarget ?? leave());
document.addEventListener("focusin", ({ target }) => {
const part = explained(target);
if (part) show(part, target);
});
document.addEventListener("focusout", ({ target }) => {
if (explained(target)) target.removeAttribute("aria-describedby");
hide();
});
document.addEventListener("keydown", ({ key }) => key === "Escape" && hide());
document.addEventListener("scroll", () => shown && place(), { capture: true, passive: true });
