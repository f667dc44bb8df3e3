import { shape } from "../base/dom.951b2e7b.js";
import { edge } from "../read/record.910d1125.js";
import { number } from "../read/tokens.7e7233e7.js";
const WIDE = { width: 640, height: 150 };
const NARROW = { width: 360, height: 120 }; // of the column beside the examples
const BELOW = 26; // height of the numbers below an axis
const ABOVE = 6;
function frame(label, { width, height }, ...shapes) {
return shape("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...shapes);
}
const axis = ({ width, height }) => shape("path", { class: "axis", d: `M0 ${height - BELOW}H${width}` });
function tick(size, x, text) {
const base = size.height - BELOW;
const anchor = x < 30 ? "start" : x > size.width - 30 ? "end" : "middle";
return [
shape("path", { class: "axis", d: `M${x.toFixed(1)} ${base}v4` }),
shape("text", { x: x.toFixed(1), y: base + 19, "text-anchor": anchor }, text),
];
}
function bars(size, className, all) {
const base = size.height - BELOW;
const bar = ([left, right, height]) => {
const top = base - Math.max(height * (base - ABOVE), 1);
return `M${left.toFixed(1)} ${base}V${top.toFixed(1)}H${right.toFixed(1)}V${base}Z`;
};
return shape("path", { class: className, d: all.filter(([, , height]) => height > 0).map(bar).join("") });
}
function signedBars(size, all, isNegative) {
const of = (sign, has) => bars(size, sign, all.filter((_, i) => has(i)));
return [of("negative", isNegative), of("positive", (i) => !isNegative(i))];
}
export function distribution(values, label) {
const BINS = 48;
if (values.length === 0) return frame(label, WIDE, axis(WIDE));
const [low, high] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
const logarithmic = low > 0 && high / low > 30;
const [forward, backward] = logarithmic ? [Math.log, Math.exp] : [(x) => x, (x) => x];
const [from, to] = [forward(low), forward(high)];
const span = to > from ? to - from : 1;
const counts = new Array(BINS).fill(0);
for (const value of values) counts[Math.min(BINS - 1, Math.floor(((forward(value) - from) / span) * BINS))]++;
const most = Math.max(...counts);
const width = WIDE.width / BINS;
const ticks = [0, 1, 2, 3, 4].flatMap((i) => tick(WIDE, (i / 4) * WIDE.width, number(backward(from + (i / 4) * span))));
return frame(label, WIDE, axis(WIDE), bars(WIDE, "positive", counts.map((count, i) => [i * width, (i + 1) * width - 1, count / most])), ...ticks);
}
function powerOfTen(exponent) {
if (exponent >= -2 && exponent <= 3) return String(10 ** exponent);
return `10${Array.from(String(exponent), (digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]).join("")}`;
}
export function binRange(histograms) {
const used = histograms.filter(({ counts }) => counts.length > 0);
if (used.length === 0) return [128, 129];
return [Math.min(...used.map(({ first_bin }) => first_bin)), Math.max(...used.map(({ first_bin, counts }) => first_bin + counts.length))];
}
export function activations({ first_bin, counts }, [from, to], label) {
const size = NARROW;
const width = size.width / (to - from);
const most = Math.log(Math.max(1, ...counts) + 1);
const bar = (count, i) => [(first_bin + i - from) * width, (first_bin + i + 1 - from) * width, Math.log(count + 1) / most];
const isNegative = (i) => first_bin + i < 128;
const all = counts.map(bar);
const at = (value) => {
let bin = from;
while (bin < to - 1 && edge(bin + 1) <= value) bin++;
return (bin + (value - edge(bin)) / (edge(bin + 1) - edge(bin)) - from) * width;
};
const taken = [];
const ticks = [];
const mark = (value, text) => {
if (value < edge(from) || value > edge(to)) return;
const x = at(value);
const room = 3.2 * text.length + 5; // on either side
if (taken.some(([other, own]) => Math.abs(x - other) < room + own)) return;
taken.push([x, room]);
ticks.push(...tick(size, x, text));
};
mark(0, "0");
for (let exponent = 4; exponent >= -4; exponent--) {
mark(10 ** exponent, powerOfTen(exponent));
mark(-(10 ** exponent), `-${powerOfTen(exponent)}`);
}
return frame(label, size, axis(size), ...signedBars(size, all, isNegative), ...ticks);
}
export function valueRange(histograms) {
const ends = histograms.flatMap(({ low, step, counts }) => {
const used = (count) => count > 0;
return counts.some(used) ? [low + counts.findIndex(used) * step, low + (counts.findLastIndex(used) + 1) * step] : [];
});
return ends.length > 0 ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
}
export function histogram({ low, step, counts }, [from, to], label) {
const size = NARROW;
const x = (value) => ((value - from) / (to - from)) * size.width;
const most = Math.max(1, ...counts);
const all = counts.map((count, i) => [x(low + i * step), x(low + (i + 1) * step), count / most]);
const isNegative = (i) => low + i * step < 0;
const rough = (to - from) / 5;
const decade = 10 ** Math.floor(Math.log10(rough));
const every = decade * ([1, 2, 5, 10].find((n) => n * decade >= rough) ?? 10);
const digits = Math.max(0, -Math.floor(Math.log10(every)));
const ticks = [];
for (let i = Math.ceil(from / every); i * every <= to; i++) ticks.push(...tick(size, x(i * every), i === 0 ? "0" : (i * every).toFixed(digits)));
return frame(label, size, axis(size), ...signedBars(size, all, isNegative), ...ticks);
}
export function cosines(rows, label) {
const [ROW, LEFT, RIGHT] = [28, 84, 52];
const size = { width: NARROW.width, height: rows.length * ROW + 6 + BELOW };
const base = size.height - BELOW;
const x = (cosine) => LEFT + ((cosine + 1) / 2) * (size.width - LEFT - RIGHT);
const path = (className, d) => shape("path", { class: className, d });
const text = (attributes, words) => shape("text", attributes, words);
const scale = [-1, -0.5, 0, 0.5, 1].flatMap((at) => [
path(at === 0 ? "axis" : "axis dashed", `M${x(at).toFixed(1)} 2V${base}`),
text({ x: x(at).toFixed(1), y: base + 19, "text-anchor": "middle" }, String(at)),
]);
const drawn = rows.flatMap(({ label: name, value, null: chance }, i) => {
const y = i * ROW + ROW / 2 + 2;
const row = [text({ x: 0, y: y + 4 }, name)];
if (chance) row.push(path("null", `M${x(chance[0]).toFixed(1)} ${y - 8}H${x(chance[1]).toFixed(1)}v16H${x(chance[0]).toFixed(1)}Z`));
if (value === null) return row;
const sign = value < 0 ? "negative" : "positive";
row.push(path(sign, `M${x(0).toFixed(1)} ${y - 2}H${x(value).toFixed(1)}v4H${x(0).toFixed(1)}Z`));
row.push(shape("circle", { class: sign, cx: x(value).toFixed(1), cy: y, r: 4.5 }));
row.push(text({ x: size.width, y: y + 4, "text-anchor": "end" }, number(value)));
return row;
});
return frame(label, size, path("axis", `M${x(-1).toFixed(1)} ${base}H${x(1).toFixed(1)}`), ...scale, ...drawn);
}
