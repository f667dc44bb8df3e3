import { FILES, folderHere, here, neuronPage } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { reader } from "../base/loading.089b0071.js";
import { distribution } from "../draw/plots.acd76309.js";
import { FACTS } from "../read/facts.72ef62be.js";
import { measured, visible } from "../read/tokens.7e7233e7.js";
import { drawCosines } from "./cosines.57f5febd.js";
const folder = folderHere();
const { layer } = here();
const select = document.getElementById("measure");
const more = document.getElementById("more");
const table = document.getElementById("table");
const body = table.tBodies[0];
const headers = [...table.tHead.querySelectorAll("th[data-column]")];
const measures = [...select.options].map((option) => option.value);
const hasLines = table.tHead.rows[0].cells.length > headers.length + 1; // beside the numbers of the rows
const SHOWN = 50; // rows at first, as in the page
const SHADES = 9;
const { columns, ranks, n_neurons, dead, weights, lines, ...flags } = await reader(folder)(FILES.layer(layer));
columns.neuron = Array.from({ length: n_neurons }, (_, i) => i);
const isDead = new Set(dead);
const state = { column: measures[0], descending: true, all: false, starts: false };
const [, asked, ascending, withStarts] = /^#by=(\w+)(-ascending)?(&starts)?$/.exec(location.hash) ?? [];
const starts = document.getElementById("starts"); // if there are any
state.starts = Boolean(starts && withStarts);
if (asked === "neuron" || Object.hasOwn(columns, asked ?? "")) Object.assign(state, { column: asked, descending: !ascending });
const facts = new Map(FACTS.map((fact) => [fact.key, fact]));
const format = (name, value) => measured(value, facts.get(name)?.unit);
const leftOut = () => new Set(flags[facts.get(state.column)?.unranked]);
function order() {
const values = columns[state.column];
const among = ranks[state.column] ?? []; // ranks tell apart what looks equal
const out = state.starts ? new Set() : leftOut();
const sign = state.descending ? -1 : 1;
return columns.neuron.filter((neuron) => !out.has(neuron)).sort((a, b) => {
const [x, y] = [values[a], values[b]];
if (x === null || y === null) return (x === null) - (y === null) || a - b; // without a value: last, either way
return sign * (x - y || (among[b] ?? 0) - (among[a] ?? 0)) || a - b;
});
}
function rows(ranking) {
const shown = state.all ? ranking : ranking.slice(0, SHOWN);
body.replaceChildren(...shown.map((neuron, i) => {
const link = element("a", { href: neuronPage(folder, layer, neuron) }, `${layer}.${neuron}`);
const value = (name) => element("td", { class: name === state.column ? "num sorted" : "num" }, format(name, columns[name][neuron]));
const line = lines && hasLines ? [element("td", { class: "line" }, ...(lines[neuron] ? [element("bdi", {}, visible(lines[neuron]))] : []))] : [];
return element("tr", {}, element("td", {}, String(i + 1)), element("th", { scope: "row" }, link), ...[...measures, "min", "max"].map(value), ...line);
}));
}
function cells(ranking) {
const values = columns[state.column];
const ranked = ranking.filter((neuron) => values[neuron] !== null);
const grid = document.getElementById("cells");
if (grid.childElementCount === 0) grid.append(...columns.neuron.map((neuron) => element("a", { href: neuronPage(folder, layer, neuron) }, String(neuron))));
const nodes = grid.children;
for (const node of nodes) {
node.className = "s0";
node.title = "";
}
ranked.forEach((neuron, rank) => {
const shade = SHADES - Math.floor((rank * SHADES) / ranked.length);
nodes[neuron].className = `s${state.descending ? shade : SHADES + 1 - shade}`;
nodes[neuron].title = `${layer}.${neuron}: ${format(state.column, values[neuron])}`;
});
for (const neuron of isDead) nodes[neuron].classList.add("dead");
}
function plot() {
const values = columns[state.column].filter((value) => value !== null);
document.getElementById("plot").replaceChildren(distribution(values, `Distribution of ${state.column} in layer ${layer}`));
}
function show() {
const ranking = order();
rows(ranking);
if (state.column !== "neuron") cells(ranking);
if (measures.includes(state.column)) {
select.value = state.column;
document.getElementById("definition").textContent = headers.find((h) => h.dataset.column === state.column).title;
plot();
}
for (const header of headers) {
const own = header.dataset.column === state.column;
header.ariaSort = own ? (state.descending ? "descending" : "ascending") : "none";
}
for (const [name, button] of multiples) button.ariaPressed = String(name === state.column);
more.hidden = state.all || ranking.length <= SHOWN;
more.textContent = `Show all ${ranking.length}`;
sayLeftOut();
}
function sayLeftOut() {
if (!starts) return;
const n = leftOut().size;
starts.checked = state.starts;
document.getElementById("left-out").textContent = n === 0 ? "none by this measure" : `${n} ${n === 1 ? "is" : "are"} ${state.starts ? "included" : "left out"}`;
}
for (const header of headers) {
const { column } = header.dataset;
const click = () => rankBy(column, state.column === column ? !state.descending : column !== "neuron");
header.append(element("button", { type: "button", click }, ...header.childNodes));
}
function rankBy(column, descending = true) {
Object.assign(state, { column, descending });
address();
show();
}
function address() {
const { column, descending } = state;
history.replaceState(null, "", `#by=${column}${descending ? "" : "-ascending"}${state.starts ? "&starts" : ""}`);
}
select.addEventListener("change", () => rankBy(select.value));
const multiples = new Map([...select.options].map(({ value: name, label }) => {
const figure = distribution(columns[name].filter((value) => value !== null), "");
figure.setAttribute("aria-hidden", "true");
return [name, element("button", { type: "button", click: () => rankBy(name) }, element("span", {}, label), figure)];
}));
document.getElementById("multiples").replaceChildren(...multiples.values());
more.addEventListener("click", () => {
state.all = true;
show();
});
starts?.addEventListener("change", () => {
state.starts = starts.checked;
address();
show();
});
if (starts) starts.disabled = false;
select.disabled = false;
show();
const scatter = document.getElementById("scatter");
if (scatter && weights) drawCosines(scatter, folder, layer, columns, weights);
