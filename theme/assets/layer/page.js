// The ranking of a layer by any measure, from its index.json.

import { FILES, folderHere, here, neuronPage } from "../base/address.js";
import { element } from "../base/dom.js";
import { answer } from "../base/loading.js";
import { distribution } from "../draw/plots.js";
import { FACTS } from "../read/facts.js";
import { measured } from "../read/tokens.js";
import { drawCosines } from "./cosines.js";

const folder = folderHere();
const { layer } = here();
const select = document.getElementById("measure");
const more = document.getElementById("more");
const table = document.getElementById("table");
const body = table.tBodies[0];
const headers = [...table.tHead.querySelectorAll("th[data-column]")];
const measures = [...select.options].map((option) => option.value);
const SHOWN = body.rows.length;
const SHADES = 9;

const { columns, ranks, n_neurons, dead, weights } = await (await answer(folder + FILES.layer(layer))).json();
columns.neuron = Array.from({ length: n_neurons }, (_, i) => i);
const isDead = new Set(dead);
const state = { column: measures[0], descending: true, all: false };
// an address such as index.html#by=variance or #by=variance-ascending opens on that measure
const [, asked, ascending] = /^#by=(\w+)(-ascending)?$/.exec(location.hash) ?? [];
if (asked === "neuron" || Object.hasOwn(columns, asked ?? "")) Object.assign(state, { column: asked, descending: !ascending });

function order() {
  const values = ranks[state.column]?.map((rank) => rank && -rank) ?? columns[state.column]; // ranks tell apart what looks equal
  const sign = state.descending ? -1 : 1;
  return [...columns.neuron].sort((a, b) => {
    const [x, y] = [values[a], values[b]];
    if (x === null || y === null) return (x === null) - (y === null) || a - b; // without a value: last, either way
    return sign * (x - y) || a - b;
  });
}

const units = new Map(FACTS.map(({ key, unit }) => [key, unit]));
const format = (name, value) => measured(value, units.get(name));

function rows(ranking) {
  const shown = state.all ? ranking : ranking.slice(0, SHOWN);
  body.replaceChildren(...shown.map((neuron, i) => {
    const link = element("a", { href: neuronPage(folder, layer, neuron) }, `${layer}.${neuron}`);
    const value = (name) => element("td", { class: name === state.column ? "num sorted" : "num" }, format(name, columns[name][neuron]));
    return element("tr", {}, element("td", {}, String(i + 1)), element("th", { scope: "row" }, link), ...[...measures, "min", "max"].map(value));
  }));
}

function cells(ranking) {
  const values = columns[state.column];
  const ranked = ranking.filter((neuron) => values[neuron] !== null);
  const nodes = document.getElementById("cells").children;
  for (const node of nodes) node.className = "s0";
  ranked.forEach((neuron, rank) => {
    const shade = SHADES - Math.floor((rank * SHADES) / ranked.length);
    nodes[neuron].className = `s${state.descending ? shade : SHADES + 1 - shade}`;
    nodes[neuron].title = `${layer}.${neuron}: ${format(state.column, values[neuron])}`;
  });
  for (const neuron of isDead) nodes[neuron].classList.add("dead");
}

// the same picture as src/site/pages/plot.rs draws for the default measure
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
  more.hidden = state.all || n_neurons <= SHOWN;
}

for (const header of headers) {
  const { column } = header.dataset;
  const click = () => rankBy(column, state.column === column ? !state.descending : column !== "neuron");
  header.append(element("button", { type: "button", click }, ...header.childNodes));
}
function rankBy(column, descending = true) {
  Object.assign(state, { column, descending });
  history.replaceState(null, "", `#by=${column}${descending ? "" : "-ascending"}`);
  show();
}
select.addEventListener("change", () => rankBy(select.value));

// every measure in small, each a button that ranks by it
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
select.disabled = false;
show();

const scatter = document.getElementById("scatter");
if (scatter && weights) drawCosines(scatter, folder, layer, columns, weights);
