import { neuronPage, placeOf } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { doesOf } from "../read/lines.3c9452ea.js";
import { number, visible } from "../read/tokens.7e7233e7.js";
const NEAR = "300px";
export function neuronRow({ flat, d_mlp, folder, hash = "", facts = [], tags = [], lineOf }) {
const [layer, neuron] = placeOf(flat, d_mlp);
const link = element("a", { class: "id", href: neuronPage(folder, layer, neuron, hash) }, `${layer}.${neuron}`);
const row = element("li", { class: "neuron" },
element("p", { class: "about" }, link, ...facts.flatMap((fact) => [" ", fact])),
element("p", { class: "line" }),
element("p", { class: "beneath" }, ...tags.flatMap((tag) => [element("span", { class: "tag" }, tag), " "])));
whenNear(row, () => fill(row, lineOf(flat)));
return row;
}
async function fill(row, coming) {
const [line, beneath] = ["line", "beneath"].map((name) => row.querySelector(`.${name}`));
try {
const found = await coming;
line.replaceChildren(...(found ? inContext(found) : [element("span", { class: "none" }, "no example")]));
beneath.append(...doesOf(found));
} catch (error) {
line.replaceChildren(element("span", { class: "none" }, error.message));
}
}
function inContext([value, before, peak, after]) {
return [
element("span", { class: "before" }, element("bdi", {}, visible(before))),
element("mark", { class: value < 0 && "n4", title: `activation ${number(value)}` }, element("bdi", {}, visible(peak))),
element("bdi", { class: "after" }, visible(after)),
];
}
const work = new WeakMap();
let watch;
function whenNear(node, start) {
watch ??= new IntersectionObserver((entries) => {
for (const { isIntersecting, target } of entries) {
if (!isIntersecting) continue;
watch.unobserve(target);
work.get(target)();
}
}, { rootMargin: NEAR });
work.set(node, start);
watch.observe(node);
}
