import { element, hasModifier } from "./dom.951b2e7b.js";
const STEPS = { ArrowLeft: (at) => at - 1, ArrowRight: (at) => at + 1, Home: () => 0, End: () => -1 };
export function tabRow(name, tabs, selected) {
const buttons = new Map(tabs.map(({ id, label, title, kind }) => [id,
element("button", { type: "button", role: "tab", class: kind, id: `${id}-tab`, "aria-controls": id, title, click: () => select(id, true) }, label)]));
for (const { id, panel } of tabs) {
panel.id = id;
panel.setAttribute("role", "tabpanel");
panel.setAttribute("aria-labelledby", `${id}-tab`);
}
function select(id, chosen = false) {
for (const { id: own, panel } of tabs) {
panel.hidden = own !== id;
buttons.get(own).ariaSelected = String(own === id);
buttons.get(own).tabIndex = own === id ? 0 : -1;
}
return selected(id, chosen);
}
function keydown(event) {
const at = tabs.findIndex(({ id }) => buttons.get(id) === event.target);
if (at < 0 || !STEPS[event.key] || hasModifier(event)) return;
event.preventDefault(); // the page has arrows of its own
const { id } = tabs.at(STEPS[event.key](at) % tabs.length);
select(id, true);
buttons.get(id).focus();
}
return { row: element("div", { role: "tablist", "aria-label": name, keydown }, ...buttons.values()), select };
}
