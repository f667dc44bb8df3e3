// The parts of a neuron's page beside its examples, drawn from its record. The page of two neurons shows them as well.

import { neuronPage, tokenPage } from "../base/address.js";
import { element, whenSeen } from "../base/dom.js";
import { explain } from "../base/tip.js";
import { FACTS } from "../read/facts.js";
import { sidesOf, signOf } from "../read/sides.js";
import { measured, number, percent, signed, tokenText, visible } from "../read/tokens.js";
import { activations, binRange, cosines, histogram, valueRange } from "./plots.js";

const FIRST = 10; // tokens of a list; the others are folded away

/** A remark below a heading or a figure. */
export const hint = (...children) => element("p", { class: "hint" }, ...children);

/** A neuron of a model in `folder`, as a link. */
export const neuronLink = (folder, layer, neuron) => element("a", { href: neuronPage(folder, layer, neuron) }, `${layer}.${neuron}`);

const valued = (what, value) => element("li", {}, what, " ", element("span", { class: "num" }, signed(value)));

/** Tokens with their values, each a link to its page; those of `marked` are marked. */
function tokenList({ token, id, value }, folder, marked = new Set()) {
  const items = token.map((text, i) => {
    const link = element("a", { class: "token", href: tokenPage(folder, id[i]) }, tokenText(text));
    if (marked.has(text)) link.append(element("span", { class: "both", role: "img", "aria-label": "in lists of both", title: "in lists of both" }, "•"));
    return valued(link, value[i]);
  });
  items.slice(FIRST).forEach((item) => item.classList.add("further"));
  return element("ol", {}, ...items);
}

/** Statistics as cards: what each is, and its ranks. */
export function explainCards(within) {
  function lines(card) {
    const name = card.querySelector("a").hash.slice(1);
    const [inLayer, inModel] = ["small", ".in-model"].map((rank) => card.querySelector(rank)?.textContent);
    const { definition } = FACTS.find(({ key }) => key === name) ?? {};
    return [definition, inModel && `${inLayer} in layer, ${inModel}`].filter(Boolean);
  }
  within.querySelectorAll(".card").forEach((card) => explain(card, () => lines(card)));
}

/** The tokens that a neuron promotes and suppresses most when it fires on the side `on`; where its side is not known, when it is positive. */
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

/** The histogram of activations, on an axis that fits those of `others` as well; a remark if it is not known. */
export function activationPlot({ stats }, others = [stats.histogram]) {
  const { min, max, quantiles } = stats;
  if (stats.histogram === null) return [hint("The distribution of activations is not known in this atlas.")];
  const words = `Histogram of activations: from ${number(min)} to ${number(max)}, half of them between ${number(quantiles["0.25"])} and ${number(quantiles["0.75"])}`;
  return [activations(stats.histogram, binRange(others.filter(Boolean)), words)];
}

/** Cosines between the neuron's weights. */
export function cosinePlot({ weights }) {
  const names = { in_out: "in · out", gate_out: "gate · out", gate_in: "gate · in", in_written: "in · normed", gate_written: "gate · normed" };
  const rows = Object.entries(weights.cosines).map(([name, cosine]) => ({ label: names[name], ...cosine }));
  const chance = ({ outside }) => (outside === null ? "" : outside ? ", outside chance" : ", within chance");
  const words = rows.map((row) => `${row.label} ${number(row.value)}${chance(row)}`);
  return cosines(rows, `Cosines between the neuron's weights: ${words.join("; ")}`);
}

/** v, the cosines of the neuron's output with the columns of W_U; on the axis of `others` as well. None without a vocabulary. */
export const vPlot = ({ weights: { v } }, others = [v.histogram]) =>
  (v.histogram ? [histogram(v.histogram, valueRange(others.filter(Boolean)), "Histogram of v")] : []);

/** A number of the weights by its key in the catalogue: `v_kurtosis` is `v.kurtosis`. */
function ofWeights(weights, key) {
  const [, group, name] = key.match(/^(v|norm)_(.+)$/) ?? [];
  return group === "v" ? weights.v[name] : group === "norm" ? weights.norms[name] : weights[key];
}

/** Numbers of the weights, each with what it means. */
export function facts({ weights }) {
  const own = FACTS.filter(({ group, ranked, key }) => group === "weights" && !ranked && ofWeights(weights, key) !== undefined);
  const fact = ({ key, label, definition, unit }) =>
    explain(element("div", {}, element("dt", {}, element("button", { type: "button", class: "term" }, label)), " ", element("dd", {}, measured(ofWeights(weights, key), unit))), () => [definition]);
  return element("dl", { class: "inline" }, ...own.map(fact));
}

/** Means and extremes by the signs of gate and input. */
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

/** How one neuron can be related to others: name of the list, and what its cosines are. */
export const RELATIONS = {
  alike: ["Most alike", "mean of cos(w_in, w_in) and cos(w_out, w_out)"],
  in_in_layer: ["Same or opposite input direction, this layer", "cos(w_in, w_in)"],
  in_in_others: ["Same or opposite input direction, other layers", "cos(w_in, w_in)"],
  out_out_layer: ["Same or opposite output direction, this layer", "cos(w_out, w_out)"],
  out_out_others: ["Same or opposite output direction, other layers", "cos(w_out, w_out)"],
  upstream_in: ["Upstream, into w_in", "cos(their w_out, this w_in), earlier layers"],
  upstream_gate: ["Upstream, into w_gate", "cos(their w_out, this w_gate), earlier layers"],
  downstream_in: ["Downstream, into w_in", "cos(this w_out, their w_in), later layers"],
  downstream_gate: ["Downstream, into w_gate", "cos(this w_out, their w_gate), later layers"],
};

/** The lists of a neuron's page: name, what its cosines are, of which relations, and with which sign if only one is meant. */
const LISTS = [
  ["Read alike", "cos(w_in, w_in)", ["in_in_layer", "in_in_others"], 1],
  ["Write alike", "cos(w_out, w_out)", ["out_out_layer", "out_out_others"], 1],
  ["Upstream, into w_in", "cos(their w_out, this w_in), earlier layers", ["upstream_in"]],
  ["Upstream, into w_gate", "cos(their w_out, this w_gate), earlier layers", ["upstream_gate"]],
  ["Downstream, into w_in", "cos(this w_out, their w_in), later layers", ["downstream_in"]],
  ["Downstream, into w_gate", "cos(this w_out, their w_gate), later layers", ["downstream_gate"]],
  ["Read the opposite", "cos(w_in, w_in)", ["in_in_layer", "in_in_others"], -1],
  ["Write the opposite", "cos(w_out, w_out)", ["out_out_layer", "out_out_others"], -1],
];

const READS = { in: ["w_in", "W_E·w_in"], gate: ["w_gate", "W_E·w_gate"] };

const titled = (heading, title, more, list) => element("div", {}, element(heading, {}, title, " ", element("small", {}, more)), list);

/** Neurons `[layer, neuron, cosine]` in rows, each with a few words that `fill` puts there; cosines that chance gives as well are grey. */
function neuronRows(neurons, folder, { about, chance }) {
  const row = ([layer, neuron, cosine]) => {
    const item = valued(explain(neuronLink(folder, layer, neuron), () => about(layer, neuron)), cosine);
    item.querySelector(".num").before(element("bdi", { class: "short", "data-layer": layer, "data-neuron": neuron }), " ");
    item.classList.toggle("chance", Math.abs(cosine) <= chance);
    return item;
  };
  return element("ol", {}, ...neurons.map(row));
}

/** Puts a few words on each neuron of the rows within a node, once. */
async function fillRows(node, shortLine) {
  const empty = [...node.querySelectorAll(".short:empty")];
  await Promise.all(empty.map(async (place) => {
    place.textContent = visible(await shortLine(Number(place.dataset.layer), Number(place.dataset.neuron)).catch(() => "")); // a row is one without words
  }));
}

/** The tokens that a neuron of an early layer reads. */
function tokensRead(reads, folder) {
  const tokens = Object.entries(reads).flatMap(([name, { top, bottom }]) => {
    const [weight, product] = READS[name];
    return [titled("h4", `Along ${weight}`, `most positive ${product}`, tokenList(top, folder)), titled("h4", `Against ${weight}`, `most negative ${product}`, tokenList(bottom, folder))];
  });
  return [
    element("h3", {}, "Tokens read"),
    hint("Products of its input weights with W_E, shown for the first layers only, where the residual stream is still close to the embedding."),
    element("div", { class: "lists" }, ...tokens),
  ];
}

/**
 * The neurons that are most alike, those with the strongest weights in common, and the tokens that a neuron of an early layer reads. `about` says of a neuron
 * what it does, and `shortLine` the same in a few words; `chance` is the cosine of the closest of as many random directions.
 */
export function neighbours({ weights }, folder, { about, shortLine, chance }) {
  const { reads, neighbours: { alike, ...others } } = weights;
  const rows = (neurons) => neuronRows(neurons, folder, { about, chance });
  const of = (relations, sign) => relations.flatMap((relation) => others[relation] ?? [])
    .filter(([, , cosine]) => !sign || cosine * sign > 0)
    .sort(([, , a], [, , b]) => Math.abs(b) - Math.abs(a));
  const lists = LISTS.filter(([, , relations]) => relations.some((relation) => others[relation]))
    .map(([title, more, relations, sign]) => titled("h3", title, more, rows(of(relations, sign))));
  const fold = element("details", { class: "fold", id: "neighbours", toggle: () => fold.open && fillRows(fold, shortLine) },
    element("summary", {}, element("h2", {}, alike ? "More neighbours" : "Neighbours"), ` who reads and writes alike or the opposite, who feeds it and whom it feeds${reads ? "; tokens read" : ""}`),
    hint("By the size of the cosine, norms folded in; grey where chance would give as much among all neurons."),
    element("div", { class: "lists" }, ...lists),
    ...(reads ? tokensRead(reads, folder) : []));
  if (!alike) return [fold];
  const [title, more] = RELATIONS.alike;
  const similar = element("section", { id: "alike", "aria-labelledby": "alike-title" },
    element("h2", { id: "alike-title" }, title), hint("Neurons of any layer that read and write alike, by the ", more, "."), element("div", { class: "lists wide" }, rows(alike)));
  whenSeen(similar, () => fillRows(similar, shortLine));
  return [similar, fold];
}
