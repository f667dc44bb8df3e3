const FAINT = 0.45; // opacity of the densest place of the neurons that are not kept, to 1 of those that are
function dotOf(n) {
if (n <= 1000) return { radius: 2.6, opacity: 0.75 };
if (n <= 10_000) return { radius: 2, opacity: 0.5 };
if (n <= 60_000) return { radius: 1.3, opacity: 0.4 };
return { radius: 0.8, opacity: 0.35 };
}
function stampOf(radius, width) {
const [offsets, weights] = [[], []];
const reach = Math.ceil(radius);
for (let y = -reach; y <= reach; y++) {
for (let x = -reach; x <= reach; x++) {
const weight = Math.min(1, radius + 0.5 - Math.hypot(x, y));
if (weight <= 0) continue;
offsets.push(y * width + x);
weights.push(weight);
}
}
return { offsets: Int32Array.from(offsets), weights: Float32Array.from(weights) };
}
function densityOf({ x, y, keep, from, until }, kept, { offsets, weights }, { width, height }) {
const density = new Float32Array(width * height);
for (let i = from; i < until; i++) {
if (keep[i] !== kept || x.codes[i] === 0 || y.codes[i] === 0) continue;
const at = y.pixels[y.codes[i]] * width + x.pixels[x.codes[i]];
for (let j = 0; j < offsets.length; j++) density[at + offsets[j]] += weights[j];
}
return density;
}
function opacityBy(density, one, most) {
let densest = 1;
for (const value of density) if (value > densest) densest = value;
const slope = (most - one) / (Math.log(densest) || 1);
return (value) => (value < 1 ? value * one : one + slope * Math.log(value));
}
function bytesOf(color) {
const to = new OffscreenCanvas(1, 1).getContext("2d");
to.fillStyle = color;
to.fillRect(0, 0, 1, 1);
return to.getImageData(0, 0, 1, 1).data.subarray(0, 3);
}
export function paintDots(canvas, dots, colors, ratio) {
const { keep, from, until } = dots;
let nKept = 0;
for (let i = from; i < until; i++) nKept += keep[i];
const layers = [until - from - nKept, nKept].map((n, kept) => {
const { radius, opacity } = dotOf(n);
const share = kept ? 1 : FAINT;
const density = densityOf(dots, kept, stampOf(radius * ratio, canvas.width), canvas);
return { density, opacity: opacityBy(density, opacity * share, share), color: bytesOf(colors[kept]) };
});
canvas.getContext("2d").putImageData(blended(layers, canvas), 0, 0);
}
function blended([under, over], { width, height }) {
const image = new ImageData(width, height);
const { data } = image;
for (let at = 0; at < width * height; at++) {
if (under.density[at] + over.density[at] === 0) continue;
const above = over.opacity(over.density[at]);
const below = under.opacity(under.density[at]) * (1 - above);
for (let c = 0; c < 3; c++) data[4 * at + c] = (over.color[c] * above + under.color[c] * below) / (above + below);
data[4 * at + 3] = 255 * (above + below);
}
return image;
}
