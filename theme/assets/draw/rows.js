// Neurons as a list of results: a link, facts about the neuron, one line of text around its largest activation, and what it does.
//
//   const lineOf = linesOf(reader(folder));
//   list.append(neuronRow({ flat, d_mlp, folder, facts: ["Kurtosis 45.2"], tags: ["dead"], lineOf }));
//
// The line is fetched when the row comes near the reader: of some at a time, those in sight first. Styles: rows.css.

import { neuronPage, placeOf } from "../base/address.js";
import { element } from "../base/dom.js";
import { doesOf } from "../read/lines.js";
import { number, visible } from "../read/tokens.js";

const NEAR = "300px";
const AT_ONCE = 8; // lines that are loaded at a time

/** A neuron as an item of a list. `facts` (text or nodes) stand beside its link, `tags` (text) below its line; `hash` is where it leads on the neuron's page. */
export function neuronRow({ flat, d_mlp, folder, hash = "", facts, tags, lineOf }) {
  const [layer, neuron] = placeOf(flat, d_mlp);
  const link = element("a", { class: "id", href: neuronPage(folder, layer, neuron, hash) }, `${layer}.${neuron}`);
  const row = element("li", { class: "neuron" },
    element("p", { class: "about" }, link, " ", element("span", { class: "facts" })),
    element("p", { class: "line" }),
    element("p", { class: "beneath" }, element("span", { class: "tags" })));
  dress(row, { facts, tags });
  whenNear(row, () => fill(row, lineOf(flat)));
  return row;
}

/** Puts facts and tags into a row, in place of those that it has. */
export function dress(row, { facts = [], tags = [] }) {
  row.querySelector(".facts").replaceChildren(...facts.flatMap((fact) => [fact, " "]).slice(0, -1));
  row.querySelector(".tags").replaceChildren(...tags.flatMap((tag) => [element("span", { class: "tag" }, tag), " "]));
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

/** The peak between what is before and after it, each on its own, so that no direction of writing carries over. */
function inContext([value, before, peak, after]) {
  return [
    element("span", { class: "before" }, element("bdi", {}, visible(before))),
    element("mark", { class: value < 0 && "n4", title: `activation ${number(value)}` }, element("bdi", {}, visible(peak))),
    element("bdi", { class: "after" }, visible(after)),
  ];
}

const work = new WeakMap(); // what fills a row
const near = new Set(); // rows near the reader whose lines have not been asked for
let watch;
let nLoading = 0;

function whenNear(row, start) {
  watch ??= new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) near.add(target);
      else near.delete(target);
    }
    begin();
  }, { rootMargin: NEAR });
  work.set(row, start);
  watch.observe(row);
}

/** Starts work on as many rows as may be loaded at a time. Rows that went by before their turn wait until they come near again. */
function begin() {
  while (nLoading < AT_ONCE && near.size > 0) {
    const row = nearest();
    near.delete(row);
    watch.unobserve(row);
    nLoading++;
    work.get(row)().finally(() => {
      nLoading--;
      begin();
    });
  }
}

/** The first of the rows in sight, or else the one that is nearest. */
function nearest() {
  let [least, found] = [Infinity];
  for (const row of near) {
    const distance = beyondSight(row);
    if (distance < least) [least, found] = [distance, row];
  }
  return found;
}

/** How far a row lies outside what is seen, in px; very far if it has been taken out of the page. */
function beyondSight(row) {
  if (!row.isConnected) return Number.MAX_VALUE;
  const { top, bottom } = row.getBoundingClientRect();
  return Math.max(0, top - innerHeight, -bottom);
}
