import { asked, comparison, folderOf, modelPage, neuronPage, siteHere } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { turns } from "../base/loading.089b0071.js";
import { tabRow } from "../base/tabs.49fc84c4.js";
import { bandsOf, highestFirst, idOf, item, leftOutOf, listsOf, reading, scaleChoice, wordsOf } from "../draw/examples.095d43bb.js";
import { activationPlot, cosinePlot, explainCards, facts, hint, logits, neuronLink, RELATIONS, vPlot } from "../draw/parts.1f28c8a2.js";
import { faultOf, parseNeuron } from "../read/places.60f0d3b3.js";
import { signed } from "../read/tokens.7e7233e7.js";
import { sayProblem } from "../neuron/problem.76aee695.js";
import { openNeuron } from "./open.3d5d344a.js";
const FIRST = 6; // examples of a list; the others are drawn when they are asked for
const site = siteHere();
const form = document.querySelector("form.compare");
const [problem, pair] = ["problem", "pair"].map((id) => document.getElementById(id));
const sides = ["a", "b"];
const pageTitle = document.title;
const spelled = ({ model, layer, neuron }) => `${model}/${layer}/${neuron}`;
function neuronOf(side) {
const text = asked(side);
const id = parseNeuron(site, text);
const fault = id ? faultOf(site, id) : `“${text}” is not a neuron: write its layer and number, such as 1.5`;
if (fault) throw Object.assign(new Error(`${side.toUpperCase()}: ${fault}`), { side });
return id;
}
function fill() {
for (const side of sides) {
const { model, layer, neuron } = parseNeuron(site, asked(side)) ?? {};
form.elements[`${side}-neuron`].value = model === undefined ? asked(side) : `${layer}.${neuron}`;
if (Object.hasOwn(site.models, model ?? "")) form.elements[`${side}-model`].value = model;
}
}
function typed(side) {
const text = form.elements[`${side}-neuron`].value;
const id = parseNeuron({ ...site, current: form.elements[`${side}-model`].value }, text);
return id ? spelled(id) : text.trim();
}
function go(a, b) {
history.pushState(null, "", comparison(a, b));
show();
}
async function load(side) {
const id = neuronOf(side);
const folder = folderOf(site.root, id.model);
const { page, ...opened } = await openNeuron(folder, id);
const neuron = reading(opened, folder, { address: neuronPage(folder, id.layer, id.neuron), letter: side.toUpperCase() });
return { ...neuron, page, id, name: `${id.model} ${id.layer}.${id.neuron}` };
}
function head({ letter, name, address, folder, page, record }) {
const tags = [...page.querySelectorAll("a.tag")].map((tag) => element("a", { class: "tag", href: modelPage(folder, tag.hash) }, tag.textContent));
const lines = Array.from(page.querySelectorAll("p.automatic"), (line) => element("p", { class: "automatic" }, ...[".sign", "bdi"].flatMap((part) => [line.querySelector(part), " "]), element("small", {}, "automatic")));
return element("div", { class: "kind" }, element("h2", {}, element("span", { class: "letter" }, letter), " ", element("a", { href: address }, name)),
element("code", {}, record.hook), ...tags, ...lines);
}
function section(title, id, neurons, draw, ...below) {
const column = (neuron) => element("div", { role: "group", "aria-label": neuron.name }, element("span", { class: "letter", "aria-hidden": "true" }, neuron.letter), ...draw(neuron));
return element("section", { id, "aria-labelledby": `${id}-title` },
element("h2", { id: `${id}-title` }, title), element("div", { class: "pair" }, ...neurons.map(column)), ...below);
}
function cards(neurons) {
const [own, others] = neurons.map(({ page }) => [...page.querySelectorAll(".card")]);
const hash = (card) => card.querySelector("a").hash;
const value = (letter, card) => element("dd", {}, element("span", { class: "letter" }, letter), " ", element("b", {}, card?.querySelector("b").textContent ?? "–"),
element("small", {}, card?.querySelector("small")?.textContent ?? ""));
const both = own.map((card) => element("div", { class: "card" },
element("dt", {}, element("a", { href: modelPage(neurons[0].folder, hash(card)) }, card.querySelector("dt").textContent)),
value(neurons[0].letter, card), value(neurons[1].letter, others.find((other) => hash(other) === hash(card)))));
const all = element("dl", { class: "cards two" }, ...both);
explainCards(all);
return all;
}
function relations([a, b]) {
if (a.id.model !== b.id.model || !a.record.weights) return [];
const found = [[a, b], [b, a]].flatMap(([from, to]) => Object.entries(from.record.weights.neighbours).flatMap(([relation, list]) => {
const at = list.findIndex(([layer, neuron]) => layer === to.id.layer && neuron === to.id.neuron);
if (at < 0) return [];
const [title, cosine] = RELATIONS[relation];
return [element("li", {}, `${to.letter} is number ${at + 1} among the neighbours of ${from.letter}: `, element("b", {}, title), ` ${cosine} `, element("span", { class: "num" }, signed(list[at][2])))];
}));
const list = found.length > 0 ? element("ul", {}, ...found) : hint("Neither is in the other's lists of neighbours.");
return [element("section", { id: "neighbours", "aria-labelledby": "neighbours-title" }, element("h2", { id: "neighbours-title" }, "Neighbours"), list)];
}
function exampleTabs(neurons) {
const all = (names) => [...new Set(neurons.flatMap(names))];
const names = [...all((neuron) => listsOf({ ...neuron, main: "top" })), ...all((neuron) => bandsOf(neuron).shown).sort(highestFirst)];
const explanation = hint();
const column = (neuron, list) => {
const examples = neuron.examples.list(list);
const items = element("ol", { class: "examples" });
const add = (from, until) => items.append(...neuron.examples.list(list).slice(from, until).map((example) => item(neuron, example)));
const draw = async (from, until) => {
try {
if (neuron.ready) await neuron.ready(list, until);
} catch (error) {
sayProblem(items, error, { after: from > 0 });
return false;
}
items.querySelector(".failed")?.remove();
add(from, until);
return true;
};
const click = async () => {
more.disabled = true; // until the text is there
const done = await draw(FIRST);
more.disabled = false;
if (!done) return;
items.children[FIRST].querySelector("a").focus();
more.remove();
};
if (examples.length > 0) draw(0, FIRST);
const more = element("button", { type: "button", class: "more", click }, `Show all ${examples.length}`);
return element("div", { class: "list", role: "group", "aria-label": neuron.name },
element("span", { class: "letter", "aria-hidden": "true" }, neuron.letter), examples.length > 0 ? items : hint("none"), ...(leftOutOf(neuron, list) ? [hint(leftOutOf(neuron, list))] : []), ...(examples.length > FIRST ? [more] : []));
};
const words = (list) => wordsOf((neurons.find(({ examples }) => examples.names.includes(list)) ?? neurons[0]).record, list);
const tabs = names.map((list) => ({ id: idOf(list), list, label: words(list).tab, title: words(list).title, panel: element("div") }));
if (tabs.length === 0) return hint("Neither has examples.");
const { row, select } = tabRow("Lists of examples", tabs, (id) => {
const { list, panel } = tabs.find((tab) => tab.id === id);
if (panel.childElementCount === 0) panel.append(element("div", { class: "pair" }, ...neurons.map((neuron) => column(neuron, list))));
explanation.textContent = words(list).text;
});
const node = element("section", { "aria-labelledby": "examples-title" }, element("h2", { id: "examples-title", class: "unseen" }, "Examples"),
element("div", { class: "tabs many" }, row, element("div", { class: "above" }, explanation, scaleChoice(neurons))), ...tabs.map(({ panel }) => panel));
const first = neurons.every(({ main }) => main === "bottom") ? "bottom" : "top";
select((tabs.find(({ list }) => list === first) ?? tabs[0]).id);
return node;
}
const tokensOf = ({ record }) => (record.logits ? [...record.logits.top.token, ...record.logits.bottom.token] : []);
function weights(neurons) {
if (neurons.some(({ record }) => !record.weights)) return [];
const [some, others] = neurons.map(tokensOf);
const shared = new Set(some.filter((token) => others.includes(token)));
const v = neurons.map(({ record }) => record.weights.v.histogram);
return [
section("Logit weights", "logits", neurons, ({ record, folder }) => logits(record, folder, { marked: shared }),
hint(shared.size > 0 ? "A dot marks tokens that are in the lists of both neurons." : "No token is in the lists of both neurons.")),
section("Input and output", "cosines", neurons, ({ record }) => [cosinePlot(record)],
hint("Cosines between the neuron's weights. Grey: what chance explains in its layer.")),
section("Output and tokens", "v", neurons, ({ record }) => [...vPlot(record, v), facts(record)],
hint("Number of tokens by v, the cosine of w_out with the token's column of W_U; both on one axis.")),
];
}
function drawPair(neurons) {
const histograms = neurons.map(({ record }) => record.stats.histogram);
return [
element("div", { class: "pair" }, ...neurons.map(head)),
cards(neurons),
exampleTabs(neurons),
section("Activations", "histogram", neurons, ({ record }) => activationPlot(record, histograms),
hint("Number of tokens by value, both axes logarithmic; both neurons on one axis.")),
...weights(neurons),
...relations(neurons),
];
}
function suggestions(neuron) {
const from = asked("a") || asked("b");
const all = Object.entries(neuron.record.weights?.neighbours ?? {}).filter(([, list]) => list.length > 0);
const one = ([relation, list]) => element("div", {}, element("h3", {}, RELATIONS[relation][0]), element("ol", {}, ...list.slice(0, 3).map(([layer, index, cosine]) => {
const link = neuronLink(neuron.folder, layer, index);
link.href = comparison(from, spelled({ model: neuron.id.model, layer, neuron: index }));
return element("li", {}, link, " ", element("span", { class: "num" }, signed(cosine)));
})));
return all.length === 0 ? [] : [element("h2", {}, `Compare ${neuron.name} with a neighbour`), element("div", { class: "lists" }, ...all.map(one))];
}
const turn = turns(); // an answer that a later one overtook is dropped
async function show() {
const isLatest = turn();
const given = sides.filter((side) => asked(side) !== "");
fill();
problem.textContent = "";
pair.setAttribute("aria-busy", "true");
let drawn = [];
let wrong; // what cannot be read
try {
const neurons = await Promise.all(given.map(load));
if (!isLatest()) return;
if (neurons.length === 2) drawn = drawPair(neurons);
else if (neurons.length === 1) drawn = suggestions(neurons[0]);
document.title = [...neurons.map(({ name }) => name), pageTitle].join(" · ");
} catch (error) {
if (!isLatest()) return;
problem.textContent = error.message;
wrong = error.side;
}
pair.replaceChildren(...drawn);
pair.setAttribute("aria-busy", "false");
const inputs = Object.fromEntries(sides.map((side) => [side, form.elements[`${side}-neuron`]]));
for (const side of sides) inputs[side].ariaInvalid = side === wrong ? "true" : null;
inputs[wrong ?? sides.find((side) => !given.includes(side))]?.focus();
}
form.addEventListener("submit", (event) => {
event.preventDefault();
go(typed("a"), typed("b"));
});
form.elements.swap.addEventListener("click", () => go(typed("b"), typed("a")));
addEventListener("popstate", show);
form.hidden = false;
show();
