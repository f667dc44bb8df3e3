import { neuronPage } from "../base/address.d2b61dda.js";
import { whenRecoloured } from "../base/dom.951b2e7b.js";
import { number } from "../read/tokens.7e7233e7.js";
export function drawCosines(scatter, folder, layer, columns, weights) {
const gated = "cos_gate_out" in columns;
const [x, y] = [columns.cos_in_out, gated ? columns.cos_gate_out : columns.norm_out];
const longest = gated ? 1 : Math.max(...y.filter((value) => value !== null)) * 1.05 || 1;
const [low, high] = gated ? [-1, 1] : [0, longest];
const canvas = scatter.querySelector("canvas");
const text = document.getElementById("scatter-text");
const words = gated
? "X axis: cos(w_in, w_out). Y axis: cos(w_gate, w_out). Filled: |cos(w_gate, w_in)| > 0.5. Grey: what chance explains."
: "X axis: cos(w_in, w_out). Y axis: the length of w_out. Grey: what chance explains.";
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
const open = () => chosen >= 0 && (location.href = neuronPage(folder, layer, chosen));
canvas.addEventListener("pointermove", (event) => {
const neuron = nearest(event);
if (neuron !== chosen) choose(neuron);
});
canvas.addEventListener("pointerleave", () => choose(-1));
canvas.addEventListener("click", (event) => {
choose(nearest(event));
open();
});
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
whenRecoloured(draw);
}
