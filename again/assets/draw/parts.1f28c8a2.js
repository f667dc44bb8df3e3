import { neuronPage, tokenPage } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { explain } from "../base/tip.fd22b60e.js";
import { FACTS } from "../read/facts.72ef62be.js";
import { sidesOf, signOf } from "../read/sides.a05f4853.js";
import { measured, number, percent, signed, tokenText } from "../read/tokens.7e7233e7.js";
import { activations, binRange, cosines, histogram, valueRange } from "./plots.acd76309.js";
const FIRST = 10; // tokens of a list; the others are folded away
export const hint = (...children) => element("p", { class: "hint" }, ...children);
export const neuronLink = (folder, layer, neuron) => element("a", { href: neuronPage(folder, layer, neuron) }, `${layer}.${neuron}`);
const valued = (what, value) => element("li", {}, what, " ", element("span", { class: "num" }, signed(value)));
function tokenList({ token, id, value }, folder, marked = new Set()) {
const items = token.map((text, i) => {
const link = element("a", { class: "token", href: tokenPage(folder, id[i]) }, tokenText(text));
if (marked.has(text)) link.append(element("span", { class: "both", role: "img", "aria-label": "in lists of both", title: "in lists of both" }, "•"));
return valued(link, value[i]);
});
items.slice(FIRST).forEach((item) => item.classList.add("further"));
return element("ol", {}, ...items);
}
export function explainCards(within) {
function lines(card) {
const name = card.querySelector("a").hash.slice(1);
const [inLayer, inModel] = ["small", ".in-model"].map((rank) => card.querySelector(rank)?.textContent);
const { definition } = FACTS.find(({ key }) => key === name) ?? {};
return [definition, inModel && `${inLayer} in layer, ${inModel}`].filter(Boolean);
}
within.querySelectorAll(".card").forEach((card) => explain(card, () => lines(card)));
}
export function logits(record, folder, { on = sidesOf(record)[0], marked, whole = false } = {}) {
const { logits: { top, bottom }, side, at_starts } = record;
const [promoted, suppressed] = side && on === "negative" ? [bottom, top] : [top, bottom];
const titles = side ? [`Promotes when it fires (${signOf(on)})`, `Suppresses when it fires (${signOf(on)})`] : ["Promoted when positive", "Suppressed when positive"];
const lists = element("div", { class: "logits" },
element("div", {}, element("h3", {}, titles[0]), tokenList(promoted, folder, marked)),
element("div", {}, element("h3", {}, titles[1]), tokenList(suppressed, folder, marked)));
const notes = at_starts === null ? [hint("This atlas does not say on which side a neuron speaks: run ", element("code", {}, "neuroscope analyze"), " again.")] : [];
if (lists.querySelector(".further") === null) return [...notes, lists];
lists.classList.toggle("whole-list", whole);
const click = () => more.setAttribute("aria-expanded", lists.classList.toggle("whole-list"));
const more = element("button", { type: "button", class: "more", "aria-expanded": String(whole), click }, "All ", String(top.token.length));
return [...notes, lists, more];
}
export function activationPlot({ stats }, others = [stats.histogram]) {
const { min, max, quantiles } = stats;
if (stats.histogram === null) return [hint("The distribution of activations is not known in this atlas.")];
const words = `Histogram of activations: from ${number(min)} to ${number(max)}, half of them between ${number(quantiles["0.25"])} and ${number(quantiles["0.75"])}`;
return [activations(stats.histogram, binRange(others.filter(Boolean)), words)];
}
export function cosinePlot({ weights }) {
const names = { in_out: "in · out", gate_out: "gate · out", gate_in: "gate · in", in_written: "in · normed", gate_written: "gate · normed" };
const rows = Object.entries(weights.cosines).map(([name, cosine]) => ({ label: names[name], ...cosine }));
const chance = ({ outside }) => (outside === null ? "" : outside ? ", outside chance" : ", within chance");
const words = rows.map((row) => `${row.label} ${number(row.value)}${chance(row)}`);
return cosines(rows, `Cosines between the neuron's weights: ${words.join("; ")}`);
}
export const vPlot = ({ weights: { v } }, others = [v.histogram]) =>
(v.histogram ? [histogram(v.histogram, valueRange(others.filter(Boolean)), "Histogram of v")] : []);
function ofWeights(weights, key) {
const [, group, name] = key.match(/^(v|norm)_(.+)$/) ?? [];
return group === "v" ? weights.v[name] : group === "norm" ? weights.norms[name] : weights[key];
}
export function facts({ weights }) {
const own = FACTS.filter(({ group, ranked, key }) => group === "weights" && !ranked && ofWeights(weights, key) !== undefined);
const fact = ({ key, label, definition, unit }) =>
explain(element("div", {}, element("dt", {}, element("button", { type: "button", class: "term" }, label)), " ", element("dd", {}, measured(ofWeights(weights, key), unit))), () => [definition]);
return element("dl", { class: "inline" }, ...own.map(fact));
}
export function signTable({ signs }) {
const quantities = { gate: "gate", act: "act(gate)", in: "in", post: "post" };
const head = (text, attributes = {}) => element("th", { scope: "col", ...attributes }, text);
const cell = ({ mean, extreme }) => element("td", { class: "num" }, number(mean), element("small", {}, number(extreme)));
const row = ([name, of]) => element("tr", {},
element("th", { scope: "row" }, name.replace("_", " ").replaceAll("-", "−")),
element("td", { class: "num" }, percent(of.frequency)),
...Object.keys(quantities).map((quantity) => cell(of[quantity])));
return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of sign cases" },
element("table", { class: "signs" },
element("thead", {}, element("tr", {}, head("Case"), head("Share", { class: "num" }), ...Object.values(quantities).map((text) => head(text, { class: "num" })))),
element("tbody", {}, ...Object.entries(signs).map(row))));
}
export const RELATIONS = {
in_in_layer: ["Same or opposite input direction, this layer", "cos(w_in, w_in)"],
in_in_others: ["Same or opposite input direction, other layers", "cos(w_in, w_in)"],
out_out_layer: ["Same or opposite output direction, this layer", "cos(w_out, w_out)"],
out_out_others: ["Same or opposite output direction, other layers", "cos(w_out, w_out)"],
upstream_in: ["Upstream, into w_in", "cos(their w_out, this w_in), earlier layers"],
upstream_gate: ["Upstream, into w_gate", "cos(their w_out, this w_gate), earlier layers"],
downstream_in: ["Downstream, into w_in", "cos(this w_out, their w_in), later layers"],
downstream_gate: ["Downstream, into w_gate", "cos(this w_out, their w_gate), later layers"],
};
const READS = { in: ["w_in", "W_E·w_in"], gate: ["w_gate", "W_E·w_gate"] };
const titled = (heading, title, more, list) => element("div", {}, element(heading, {}, title, " ", element("small", {}, more)), list);
export function neighbours({ weights }, folder, about) {
const { reads } = weights;
const lists = Object.entries(weights.neighbours).map(([relation, neurons]) => {
const items = neurons.map(([layer, neuron, cosine]) => valued(explain(neuronLink(folder, layer, neuron), () => about(layer, neuron)), cosine));
return titled("h3", ...RELATIONS[relation], element("ol", {}, ...items));
});
const tokens = Object.entries(reads ?? {}).flatMap(([name, { top, bottom }]) => {
const [weight, product] = READS[name];
return [titled("h4", `Along ${weight}`, `most positive ${product}`, tokenList(top, folder)), titled("h4", `Against ${weight}`, `most negative ${product}`, tokenList(bottom, folder))];
});
const read = [
element("h3", {}, "Tokens read"),
hint("Products of its input weights with W_E, shown for the first layers only, where the residual stream is still close to the embedding."),
element("div", { class: "lists" }, ...tokens),
];
return element("details", { class: "fold", id: "neighbours" },
element("summary", {}, element("h2", {}, "Neighbours"), ` which neurons read and write alike, which feed it and which it feeds${reads ? "; tokens read" : ""}`),
hint("In the order of the cosine's magnitude, the largest first; norms are folded in."),
element("div", { class: "lists" }, ...lists),
...(reads ? read : []));
}
