// The ranking of a layer by any measure, and its neurons by their cosines, from its index.json.

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

// Neurons by their cosines; without a gate, by one cosine and the length of what they write. Each is a link.
const scatter = document.getElementById("scatter");
if (scatter && weights) drawScatter();
function drawScatter() {
  const gated = "cos_gate_out" in columns;
  const [x, y] = [columns.cos_in_out, gated ? columns.cos_gate_out : columns.norm_out];
  const longest = gated ? 1 : Math.max(...y.filter((value) => value !== null)) * 1.05 || 1;
  const [low, high] = gated ? [-1, 1] : [0, longest];
  const canvas = scatter.querySelector("canvas");
  const text = document.getElementById("scatter-text");
  const words = gated
    ? "cos(w_in, w_out) to the right, cos(w_gate, w_out) upwards; filled where |cos(w_gate, w_in)| > 0.5; grey, what chance explains."
    : "cos(w_in, w_out) to the right, the length of w_out upwards; grey, what chance explains.";
  const PAD = 30;
  let size = 0;
  let chosen = -1;
  const left = (value) => PAD + ((value + 1) / 2) * (size - PAD - 6);
  const top = (value) => size - PAD - ((value - low) / (high - low)) * (size - PAD - 6);
  const known = columns.neuron.filter((neuron) => x[neuron] !== null && y[neuron] !== null);

  function draw() {
    const ratio = devicePixelRatio || 1;
    size = canvas.clientWidth;
    canvas.width = canvas.height = Math.round(size * ratio);
    const to = canvas.getContext("2d");
    to.scale(ratio, ratio);
    const style = getComputedStyle(scatter);
    const color = (name) => style.getPropertyValue(name);
    const region = weights.null ?? {};
    to.fillStyle = color("--region");
    const across = region.in_out && [left(region.in_out.low), left(region.in_out.high)];
    const up = gated ? region.gate_out && [top(region.gate_out.high), top(region.gate_out.low)] : [top(high), top(low)];
    if (across && up) to.fillRect(across[0], up[0], across[1] - across[0], up[1] - up[0]);
    to.strokeStyle = color("--grid");
    to.fillStyle = color("--label");
    to.font = "12px system-ui, sans-serif";
    for (const at of [-1, -0.5, 0, 0.5, 1]) {
      to.setLineDash(Math.abs(at) === 0.5 ? [4, 4] : []);
      const h = low + ((at + 1) / 2) * (high - low);
      to.beginPath();
      to.moveTo(left(at), top(low));
      to.lineTo(left(at), top(high));
      to.moveTo(left(-1), top(h));
      to.lineTo(left(1), top(h));
      to.stroke();
      to.textAlign = "center";
      to.fillText(String(at), left(at), size - PAD + 16);
      to.textAlign = "right";
      to.fillText(gated ? String(at) : number(h), PAD - 4, top(h) + 4);
    }
    to.setLineDash([]);
    const radius = known.length > 4000 ? 1.6 : 2.6;
    for (const neuron of known) {
      const cosine = columns.cos_gate_in?.[neuron] ?? 0;
      to.beginPath();
      to.arc(left(x[neuron]), top(y[neuron]), radius, 0, 7);
      to.fillStyle = to.strokeStyle = color(x[neuron] < 0 ? "--below" : "--above");
      if (!gated || Math.abs(cosine) > 0.5) to.fill();
      else to.stroke();
    }
    if (chosen >= 0) {
      to.beginPath();
      to.arc(left(x[chosen]), top(y[chosen]), radius + 4, 0, 7);
      to.strokeStyle = color("--mark");
      to.lineWidth = 2;
      to.stroke();
    }
  }

  const className = (neuron) => {
    const name = weights.classes[weights.class[neuron]] ?? "no class";
    return atypical.has(neuron) ? `atypical ${name}` : name;
  };
  const atypical = new Set(weights.atypical);
  function choose(neuron) {
    chosen = neuron;
    canvas.classList.toggle("over", neuron >= 0);
    text.textContent = neuron < 0 ? words
      : `${layer}.${neuron}: ${className(neuron)}; in·out ${number(x[neuron])}${gated ? `, gate·out ${number(y[neuron])}, gate·in ${number(columns.cos_gate_in[neuron])}` : `, length ${number(y[neuron])}`}`;
    draw();
  }
  function nearest(event) {
    const box = canvas.getBoundingClientRect();
    let best = 12 ** 2;
    let found = -1;
    for (const neuron of known) {
      const d = (left(x[neuron]) - event.clientX + box.left) ** 2 + (top(y[neuron]) - event.clientY + box.top) ** 2;
      if (d < best) [best, found] = [d, neuron];
    }
    return found;
  }
  const open = () => chosen >= 0 && (location.href = `${chosen}.html`);
  canvas.addEventListener("pointermove", (event) => {
    const neuron = nearest(event);
    if (neuron !== chosen) choose(neuron);
  });
  canvas.addEventListener("pointerleave", () => choose(-1));
  canvas.addEventListener("click", (event) => {
    choose(nearest(event));
    open();
  });
  // by keyboard: along the neurons from left to right
  const along = [...known].sort((a, b) => x[a] - x[b]);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -along.length, End: along.length }[event.key];
    if (event.key === "Enter") open();
    if (step === undefined || !along.length) return;
    event.preventDefault();
    event.stopPropagation();
    const at = along.indexOf(chosen) + step;
    choose(along[Math.max(0, Math.min(along.length - 1, at))]);
  });
  scatter.hidden = false;
  choose(-1);
  new ResizeObserver(() => canvas.clientWidth !== size && draw()).observe(canvas);
  // dark and light
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-mode"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
