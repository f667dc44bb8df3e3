import { countsOf, extentOf, valueOf } from "./table.f0377278.js";
const MARGIN = 0.02; // of an axis, beyond the data on either side
const NEAR = 0.02; // share of the values that a logarithmic axis need not spread out
const LOPSIDED = 0.2; // share of a range on one side of its median
const SMALL = 0.15; // share of a range
const bends = new WeakMap();
function bendOf(column) {
if (!bends.has(column)) {
const counts = countsOf(column.codes, extentOf(column)[1]);
const sizes = Array.from(counts, (n, code) => [n && code && Math.abs(valueOf(column, code)), n]).filter(([size]) => size > 0).sort(([a], [b]) => a - b);
const n = sizes.reduce((sum, [, n]) => sum + n, 0);
let [at, seen] = [0, sizes[0]?.[1]];
while (seen <= NEAR * n) seen += sizes[++at][1];
bends.set(column, sizes[at]?.[0] ?? 1);
}
return bends.get(column);
}
export function axisOf(column, scale) {
const [least, most] = extentOf(column).map((code) => valueOf(column, code));
const log = scale === "log" ? bendOf(column) : undefined;
const bend = log ? (value) => Math.asinh(value / log) : (value) => value;
const unbend = log ? (bent) => log * Math.sinh(bent) : (bent) => bent;
const margin = (bend(most) - bend(least) || Math.abs(bend(most)) || 1) * MARGIN;
const [from, to] = [bend(least) - margin, bend(most) + margin];
return {
scale, least, most,
place: (value) => (bend(value) - from) / (to - from),
valueAt: (place) => unbend(from + place * (to - from)),
};
}
export function fittingScale(column) {
const [first, last] = extentOf(column);
const counts = countsOf(column.codes, last);
const n = column.codes.length - counts[0];
const quantile = (share) => {
let [code, seen] = [first, counts[first]];
while (code < last && seen < share * n) seen += counts[++code];
return valueOf(column, code);
};
const [low, middle, high] = [0.05, 0.5, 0.95].map(quantile);
const side = Math.min(middle - low, high - middle) / (high - low);
const spread = (high - low) / (valueOf(column, last) - valueOf(column, first));
return side < LOPSIDED || spread < SMALL ? "log" : "linear";
}
function evenTicks(low, high, most) {
const least = (high - low) / most;
const power = 10 ** Math.floor(Math.log10(least));
const step = [1, 2, 5, 10].map((of) => of * power).find((step) => step >= least * (1 - 1e-9));
const first = Math.ceil(low / step - 1e-9);
const n = Math.max(0, Math.floor(high / step + 1e-9) - first + 1);
return Array.from({ length: n }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
export function ticksOf(axis, most) {
const [low, high] = [axis.valueAt(0), axis.valueAt(1)];
const even = evenTicks(low, high, most);
if (axis.scale !== "log") return even;
const top = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high))));
const powers = Array.from({ length: 16 }, (_, i) => 10 ** (top - i));
const signed = (values) => values.flatMap((value) => [value, -value]);
const candidates = [0, ...signed(powers), ...signed(powers.flatMap((power) => [5 * power, 2 * power])), ...even];
const ticks = [];
for (const value of candidates) {
const inside = value >= low && value <= high;
if (inside && ticks.every((other) => Math.abs(axis.place(other) - axis.place(value)) >= 1 / most)) ticks.push(value);
}
return ticks.sort((a, b) => a - b);
}
export function roundest(low, high) {
if (low <= 0 && high >= 0) return 0;
const middle = (low + high) / 2;
for (let digits = 1; digits < 17; digits++) {
const value = Number(middle.toPrecision(digits));
if (value >= low && value <= high) return value;
}
return middle;
}
