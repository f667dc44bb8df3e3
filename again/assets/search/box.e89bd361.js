import { folderOf, neuronPage, placeOf, searchPage, siteHere, tokenPage } from "../base/address.d2b61dda.js";
import { element, hasModifier } from "../base/dom.951b2e7b.js";
import { delayed, turns } from "../base/loading.089b0071.js";
import { aim, neuronAt, placesAt } from "../read/places.60f0d3b3.js";
import { number, visible } from "../read/tokens.7e7233e7.js";
import { tokenNodes } from "../read/tokensearch.eb9adfe1.js";
import { find, hashOf } from "./find.ae006bb0.js";
const DELAY = 120; // ms without a key before a search
const TOKENS = 6;
const NEURONS = 6; // whose lines are loaded
const NOTES = 2; // of these, at most, where there are neurons by words as well
const site = siteHere();
const several = Object.keys(site.models).length > 1;
const form = document.querySelector("form.goto");
const input = document.getElementById("goto");
const output = document.getElementById("goto-error");
const list = element("div", { id: "goto-list", role: "listbox", "aria-label": "Found" });
const status = element("p", { role: "status" });
const popup = element("div", { class: "popup", hidden: true }, list, status);
form.append(popup);
await new Promise((resolve) => {
const href = new URL("./box.2caaaeff.css", import.meta.url).href;
document.head.append(element("link", { rel: "stylesheet", href, load: resolve, error: resolve }));
});
const options = () => [...list.querySelectorAll("[role=option]")];
const option = (href, name, ...children) => element("a", { href, class: name, role: "option", "aria-selected": "false", tabindex: -1 }, ...children);
const ofModel = (model) => (several && model ? [" ", element("small", {}, model)] : []);
const part = (name, text) => element("span", { class: name }, element("bdi", {}, visible(text)));
async function fill(node, coming, noted) {
try {
const [value, before, peak, after, note] = (await coming) ?? [];
if (noted && note) node.append(part("after", note));
else if (value !== undefined) node.append(part("before", before), element("mark", { class: value < 0 && "n4", title: number(value) }, visible(peak)), part("after", after));
} catch (error) {
node.append(element("i", {}, error.message));
}
}
function neuronOption({ flat, first }, { folder, d_mlp, lineOf }) {
const noted = first === undefined; // found by what is said of it
const [layer, neuron] = placeOf(flat, d_mlp);
const excerpt = element("span", { class: "excerpt" });
fill(excerpt, lineOf(flat), noted);
return option(neuronPage(folder, layer, neuron, noted ? "" : hashOf(first)), "hit", element("b", {}, `${layer}.${neuron}`), excerpt);
}
const allResults = ({ model, text }) => searchPage(folderOf(site.root, model), text);
function groups(typed, aimed, answer) {
const places = placesAt(site, typed).map(({ href, label, model }) => option(href, "place", label, ...ofModel(model)));
const all = option(allResults(aimed), "place all", "All results", ...ofModel(aimed.model));
if (!answer) return [["Go to", places], ["", [all]]];
const noted = answer.notes.slice(0, answer.neurons.length > 0 ? NOTES : NEURONS);
const neurons = answer.neurons.slice(0, NEURONS - noted.length);
return [
["Go to", places],
["Tokens", answer.tokens.tokens.map((token) => option(tokenPage(answer.folder, token[0]), "of-token", ...tokenNodes(token)))],
["In examples (their strongest is shown)", neurons.map((found) => neuronOption(found, answer))],
["In notes and explanations", noted.map((flat) => neuronOption({ flat }, answer))],
["", [all]],
];
}
function group([title, found], i) {
if (title === "") return found;
const heading = element("div", { id: `goto-group-${i}`, class: "title" }, title);
return [element("div", { role: "group", "aria-labelledby": heading.id }, heading, ...found)];
}
function say(typed, answer) {
const problems = [neuronAt(site, typed)?.error, answer?.tokens.error?.message, answer?.error?.message].filter(Boolean);
const n = options().length - 1;
if (answer && n === 0 && problems.length === 0) problems.push("Nothing found");
status.className = problems.length > 0 ? "" : "unseen";
status.textContent = problems.length > 0 ? problems.join("; ") : answer ? `${n} ${n === 1 ? "result" : "results"}` : "";
}
function show(typed, aimed, answer) {
const marked = active()?.href;
list.replaceChildren(...groups(typed, aimed, answer).filter(([, found]) => found.length > 0).flatMap(group));
options().forEach((one, i) => (one.id = `goto-option-${i}`));
mark(options().find(({ href }) => href === marked));
list.ariaBusy = "false";
popup.hidden = false;
input.ariaExpanded = "true";
say(typed, answer);
}
const active = () => list.querySelector("[aria-selected=true]");
function mark(one) {
active()?.setAttribute("aria-selected", "false");
one?.setAttribute("aria-selected", "true");
one?.scrollIntoView({ block: "nearest" });
if (one) input.setAttribute("aria-activedescendant", one.id);
else input.removeAttribute("aria-activedescendant");
}
function step(by) {
const stops = [undefined, ...options()];
mark(stops.at((stops.indexOf(active() ?? undefined) + by) % stops.length));
}
const searching = delayed(search, DELAY);
const turn = turns(); // an answer that a later one overtook is dropped
function close() {
searching.cancel();
turn();
mark(undefined);
status.textContent = "";
popup.hidden = true;
input.ariaExpanded = "false";
}
async function search() {
searching.cancel();
const typed = input.value;
if (typed === "") return close();
const isLatest = turn();
const aimed = aim(site, typed);
const known = neuronAt(site, typed)?.href !== undefined; // nothing else is meant
if (popup.hidden || known) show(typed, aimed);
if (known) return;
list.ariaBusy = "true";
const answer = await find(site, aimed.model, aimed.text, TOKENS);
if (!isLatest()) return;
show(typed, aimed, answer);
}
export function submit() {
close();
const typed = input.value;
const { href, error } = neuronAt(site, typed) ?? {};
if (typed === "") output.value = "write a neuron, such as 2.17, a token or a word";
else if (error) output.value = error;
else location.href = href ?? placesAt(site, typed)[0]?.href ?? allResults(aim(site, typed));
}
input.addEventListener("input", () => {
mark(undefined);
searching.ask();
});
input.addEventListener("focus", search);
input.addEventListener("keydown", (event) => {
if (event.isComposing || hasModifier(event)) return;
const open = !popup.hidden;
if (event.key === "ArrowDown" || event.key === "ArrowUp") {
if (open) step(event.key === "ArrowDown" ? 1 : -1);
else search();
} else if (event.key === "Enter" && open && active()) active().click();
else if (event.key === "Escape" && open) close();
else return;
event.preventDefault();
});
popup.addEventListener("mousedown", (event) => event.preventDefault());
list.addEventListener("click", close);
form.addEventListener("focusout", close);
if (document.activeElement === input) search();
