// The ranking of a layer by any measure, from its index.json.

import { drawScatter } from "./scatter.js";
import { number } from "./tokens.js";

const { layer } = document.body.dataset;
const select = document.getElementById("measure");
const more = document.getElementById("more");
const table = document.getElementById("table");
const body = table.tBodies[0];
const headers = [...table.tHead.querySelectorAll("th[data-column]")];
const measures = [...select.options].map((option) => option.value);
const SHOWN = body.rows.length;
const SHADES = 9;

const response = await fetch("index.json");
if (!response.ok) throw new Error(`index.json: ${response.status}`);
const { columns, n_neurons, dead, weights } = await response.json();
columns.neuron = Array.from({ length: n_neurons }, (_, i) => i);
const isDead = new Set(dead);
const state = { column: measures[0], descending: true, all: false };
// an address such as index.html#by=variance opens on that measure
const asked = /^#by=(\w+)$/.exec(location.hash)?.[1];
if (measures.includes(asked)) state.column = asked;

function order() {
  const values = columns[state.column];
  const sign = state.descending ? -1 : 1;
  return [...columns.neuron].sort((a, b) => {
    const [x, y] = [values[a], values[b]];
    if (x === null || y === null) return (x === null) - (y === null) || a - b; // without a value: last, either way
    return sign * (x - y) || a - b;
  });
}

const format = (name, value) => (name === "frequency" && value !== null ? `${number(value * 100)} %` : number(value));

function rows(ranking) {
  const shown = state.all ? ranking : ranking.slice(0, SHOWN);
  body.replaceChildren(...shown.map((neuron, i) => {
    const row = document.createElement("tr");
    row.insertCell().textContent = i + 1;
    const head = document.createElement("th");
    head.scope = "row";
    const link = document.createElement("a");
    link.href = `${neuron}.html`;
    link.textContent = `${layer}.${neuron}`;
    head.append(link);
    row.append(head);
    for (const name of [...measures, "min", "max"]) {
      const cell = row.insertCell();
      cell.className = name === state.column ? "num sorted" : "num";
      cell.textContent = format(name, columns[name][neuron]);
    }
    return row;
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

// the same picture as src/site/plot.rs draws for the default measure
function plot() {
  const values = columns[state.column].filter((value) => value !== null);
  const svg = document.querySelector("#plot svg");
  const [WIDTH, BASE, BINS] = [640, 124, 48];
  const draw = (name, attributes, text = "") => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.textContent = text;
    svg.append(node);
  };
  svg.replaceChildren();
  svg.setAttribute("aria-label", `Distribution of ${state.column} in layer ${layer}`);
  draw("path", { class: "axis", d: `M0 ${BASE}H${WIDTH}` });
  if (values.length === 0) return;
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const logarithmic = low > 0 && high / low > 30;
  const [forward, backward] = logarithmic ? [Math.log, Math.exp] : [(x) => x, (x) => x];
  const [from, to] = [forward(low), forward(high)];
  const span = to > from ? to - from : 1;
  const counts = new Array(BINS).fill(0);
  for (const value of values) counts[Math.min(BINS - 1, Math.floor(((forward(value) - from) / span) * BINS))]++;
  const most = Math.max(...counts);
  const bar = (count, bin) => {
    if (count === 0) return "";
    const [left, right] = [(bin / BINS) * WIDTH, ((bin + 1) / BINS) * WIDTH - 1];
    const top = BASE - Math.max((count / most) * (BASE - 6), 1);
    return `M${left.toFixed(1)} ${BASE}V${top.toFixed(1)}H${right.toFixed(1)}V${BASE}Z`;
  };
  draw("path", { class: "positive", d: counts.map(bar).join("") });
  for (let i = 0; i <= 4; i++) {
    const x = (i / 4) * WIDTH;
    const anchor = i === 0 ? "start" : i === 4 ? "end" : "middle";
    draw("path", { class: "axis", d: `M${x} ${BASE}v4` });
    draw("text", { x, y: BASE + 19, "text-anchor": anchor }, number(backward(from + (i / 4) * span)));
  }
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
  more.hidden = state.all || n_neurons <= SHOWN;
}

for (const header of headers) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  header.append(button);
  button.addEventListener("click", () => {
    const column = header.dataset.column;
    Object.assign(state, { descending: state.column === column ? !state.descending : column !== "neuron", column });
    show();
  });
}
select.addEventListener("change", () => {
  Object.assign(state, { column: select.value, descending: true });
  history.replaceState(null, "", `#by=${select.value}`);
  show();
});
more.addEventListener("click", () => {
  state.all = true;
  show();
});
select.disabled = false;
show();

const scatter = document.getElementById("scatter");
if (scatter && weights) drawScatter(scatter, layer, columns, weights);
