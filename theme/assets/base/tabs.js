// Tabs: one of some panels is shown, and the arrows go from tab to tab (WAI-ARIA Authoring Practices, "Tabs").

import { element, hasModifier } from "./dom.js";

const STEPS = { ArrowLeft: (at) => at - 1, ArrowRight: (at) => at + 1, Home: () => 0, End: () => -1 };

/**
 * Tabs `{id, label, title, panel, kind}`, whose panels are on the page already; the kind is a class. Returns the row of tabs, and a function that selects one by its id.
 * `selected(id, isChosen)` is called with each tab that is selected, and says whether the reader chose it; the function returns what it returns.
 */
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
