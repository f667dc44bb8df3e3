import { element } from "./dom.951b2e7b.js";
const SAID = 2000; // ms
const menu = element("div", { id: "copy", popover: "auto", role: "group", "aria-label": "Copy" });
const status = element("p", { id: "copied", role: "status" });
document.getElementById("main").append(menu, status);
let from; // the button that the menu belongs to
export function offerCopies(button, choices) {
button.setAttribute("popovertarget", menu.id);
button.addEventListener("click", () => {
from = button;
menu.replaceChildren(...choices.map(([label, text]) => element("button", { type: "button", click: () => copy(text) }, label)));
});
return button;
}
async function write(text) {
try {
await navigator.clipboard.writeText(text);
return true;
} catch {
const area = element("textarea", { readonly: true });
area.value = text;
document.body.append(area);
area.select();
const done = document.execCommand("copy");
area.remove();
return done;
}
}
let timer;
async function copy(text) {
menu.hidePopover();
const said = async () => ((await write(await text())) ? "Copied" : "This browser does not allow copying");
const words = await said().catch((error) => `This cannot be copied: ${error.message}`);
from.focus();
status.textContent = words;
clearTimeout(timer);
timer = setTimeout(() => (status.textContent = ""), SAID);
}
function place() {
const box = from.getBoundingClientRect();
const left = Math.min(box.left, document.documentElement.clientWidth - menu.offsetWidth - 4);
const below = box.bottom + 4;
menu.style.left = `${Math.max(4, left)}px`;
menu.style.top = `${below + menu.offsetHeight < innerHeight ? below : box.top - menu.offsetHeight - 4}px`;
menu.firstElementChild.focus({ preventScroll: true });
}
menu.addEventListener("beforetoggle", ({ newState }) => newState === "open" && requestAnimationFrame(place));
menu.addEventListener("keydown", (event) => {
const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
if (step === undefined) return;
event.preventDefault();
const all = [...menu.children];
all.at((all.indexOf(document.activeElement) + step) % all.length).focus();
});
