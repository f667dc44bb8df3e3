// The page of a neuron, drawn from the record that it embeds, or from that which was opened for it.

import { folderHere, modelPage, siteHere } from "../base/address.js";
import { offerCopies } from "../base/copy.js";
import { element, whenSeen } from "../base/dom.js";
import { turns } from "../base/loading.js";
import { tabRow } from "../base/tabs.js";
import { bandsOf, exampleId, idOf, item, leftOutOf, linkTo, listsOf, reading, scaleChoice, snippet, wordsOf } from "../draw/examples.js";
import { activationPlot, cosinePlot, explainCards, facts, hint, logits, neighbours, signTable, vPlot } from "../draw/parts.js";
import { aboutNeuron, linesOf, shortLinesOf } from "../read/lines.js";
import { embedded } from "../read/record.js";
import { listOf, sideOf } from "../read/sides.js";
import { number } from "../read/tokens.js";
import { opened } from "./opened.js";
import { sayProblem } from "./problem.js";

const folder = folderHere();
const neuron = reading(opened.neuron ?? embedded(document), folder);
const { record } = neuron;
const { model, layer, neuron: index, stats } = record;
const lists = listsOf(neuron);
const FIRST = 5; // examples of a list that are drawn before the text of the others is there

// What stands beside the examples

// the tokens of the side whose examples are seen
const tokens = element("div");
let shownSide;
function showTokens(side) {
  if (side === shownSide) return;
  const whole = tokens.querySelector(".whole-list") !== null;
  shownSide = side;
  tokens.replaceChildren(...logits(record, folder, { on: side, whole }));
}

// what other neurons do
const flatOf = (otherLayer, other) => otherLayer * siteHere().models[model][1] + other;
let lineOf; // for those who come to one
const about = (otherLayer, other) => aboutNeuron((lineOf ??= linesOf(neuron.read))(flatOf(otherLayer, other)));
let shortLineOf;
const shortLine = (otherLayer, other) => (shortLineOf ??= shortLinesOf(neuron.read))(flatOf(otherLayer, other));

const chance = () => element("a", { href: modelPage(folder, "#classes") }, "chance explains");
const PARTS = {
  logits: ["Logit weights", () => [tokens]],
  histogram: ["Activations", () => [...activationPlot(record), ...(stats.histogram ? [hint("Number of tokens by value, both axes logarithmic.")] : [])]],
  signs: ["Sign cases", () => [signTable(record), hint("Means, and below them the values of largest magnitude.")]],
  cosines: ["Input and output", () => [cosinePlot(record), hint("Cosines between the neuron's weights. Grey: what ", chance(), " in this layer.", record.weights.cosines.in_written ? " Normed: w_out with the norm after the MLP folded in." : "")]],
  v: ["Output and tokens", () => [...vPlot(record), hint("Number of tokens by v, the cosine of w_out with the token's column of W_U."), facts(record)]],
};

const NEEDS = { logits: record.logits, signs: record.signs, cosines: record.weights, v: record.weights, neighbours: record.weights };

function drawPart(part) {
  const name = part.dataset.part;
  if (name in NEEDS && !NEEDS[name]) return part.remove(); // a theme may ask for what is not there
  if (name === "neighbours") return part.append(...neighbours(record, folder, { about, shortLine, chance: Number(part.dataset.chance) }));
  if (name === "logits") showTokens(neuron.sides[0]);
  const [title, draw] = PARTS[name];
  part.setAttribute("aria-labelledby", `${name}-title`);
  part.append(element("h2", { id: `${name}-title` }, title), ...draw());
}

// The lists of examples as tabs; the main one is on the page already, in part

function panelOf(list) {
  const own = document.querySelector(`section.list[data-list="${list}"]`);
  return own ?? element("section", { class: "list", "data-list": list }, element("h2", {}, wordsOf(record, list).title), element("ol", { class: "examples" }));
}

const going = new Map(); // what is being drawn, by the element that is busy with it

/** Does something in an element, unless it is being done; the promise that it is done. */
function once(node, act) {
  if (!going.has(node)) {
    node.setAttribute("aria-busy", "true");
    const done = () => {
      node.removeAttribute("aria-busy");
      going.delete(node);
    };
    going.set(node, act().finally(done));
  }
  return going.get(node);
}

/** Draws a list, unless it is drawn or about to be: where its text is loaded, the first examples, and the others when a reader comes near. */
function drawOnce(list, place) {
  if (place.querySelector(".tokens")) return undefined;
  return once(place, async () => {
    if (!neuron.ready) return drawItems(list, place, 0);
    neuron.ready(list, FIRST).catch(() => {}); // asked for at once; what fails is said below
    const isDrawn = (await drawItems(list, place, 0, 1)) && (await drawItems(list, place, 1, FIRST));
    const left = record.lists[list].rows.length - FIRST;
    if (!isDrawn || left <= 0) return isDrawn;
    const coming = element("li", { class: "coming" }, `${left} more`);
    place.append(coming);
    whenSeen(coming, () => drawRest(list, place));
    return isDrawn;
  });
}

/** Draws what a list has but its first examples, unless it is drawn or about to be. */
function drawRest(list, place) {
  const coming = place.querySelector(".coming");
  if (!coming) return undefined;
  return once(coming, async () => {
    await drawItems(list, place, FIRST);
    coming.remove();
  });
}

/** Draws examples of a list when their text is there; answers whether it is. */
async function drawItems(list, place, from, until) {
  try {
    await neuron.ready?.(list, until);
    const items = neuron.examples.list(list).slice(from, until).map((example) => item(neuron, example));
    if (from === 0) place.replaceChildren(...items);
    else place.append(...items);
    return true;
  } catch (error) {
    sayProblem(place, error, { after: from > 0 });
    return false;
  }
}

function drawTabs(place) {
  const explanation = element("p", { class: "hint", id: "list-hint" });
  const speaks = record.side ? neuron.sides.map(listOf) : []; // the tabs of these stand out
  const tabs = lists.map((list) => ({ id: idOf(list), list, panel: panelOf(list), label: wordsOf(record, list).tab, title: wordsOf(record, list).title, kind: speaks.includes(list) && "speaks" }));
  const { row, select } = tabRow("Lists of examples", tabs, (id, chosen) => {
    const { list, panel } = tabs.find((tab) => tab.id === id);
    const drawn = drawOnce(list, panel.querySelector("ol"));
    explanation.textContent = `${wordsOf(record, list).text}${leftOutOf(neuron, list)}`;
    if (record.logits) showTokens(sideOf(neuron, list));
    if (chosen) history.replaceState(null, "", `#${id}`);
    return drawn;
  });
  tabs.forEach(({ panel }) => panel.setAttribute("aria-describedby", explanation.id));
  const [first, ...others] = tabs.map(({ panel }) => panel);
  if (!first.isConnected) place.after(first);
  first.after(...others);
  place.append(row, element("div", { class: "above" }, explanation, scaleChoice([neuron])));
  return select;
}

// Population bands: what the neuron does elsewhere than at its extremes

function band(list) {
  const id = idOf(list);
  const [, low, high] = list.split("_");
  const [from, to] = [low, high].map((share) => number(share === "0" ? stats.min : stats.quantiles[share]));
  return element("section", { class: "band", id, "aria-labelledby": `${id}-title` },
    element("h3", { id: `${id}-title` }, wordsOf(record, list).title, " ", element("small", {}, `about ${from} to ${to}${leftOutOf(neuron, list)}`)),
    drawSnippets(list, element("ol", { class: "snippets" })));
}

/** Draws the examples of a band; where their text is loaded, when they come into view. */
function drawSnippets(list, place) {
  const draw = () => place.replaceChildren(...neuron.examples.list(list).map((example) => snippet(neuron, example)));
  if (!neuron.ready) {
    draw();
    return place;
  }
  whenSeen(place, async () => {
    try {
      await neuron.ready(list);
      draw();
    } catch (error) {
      sayProblem(place, error);
    }
  });
  return place;
}

function drawBands(place) {
  const { shown, hidden } = bandsOf(neuron);
  if (shown.length === 0) return;
  const silent = hidden.map((list) => wordsOf(record, list).title).join(", ");
  place.append(element("section", { class: "bands", "aria-labelledby": "bands-title" },
    element("h2", { id: "bands-title" }, "Population bands"),
    hint("Drawn at random from the positions whose activation ranks in each band, for what the neuron does where it is not extreme."),
    ...shown.map(band),
    ...(hidden.length > 0 ? [hint(`Not shown, since all examples are below 1 % of the neuron's largest magnitude: ${silent}.`)] : [])));
}

/** What a part of an address spells; one that spells nothing is itself. */
function named(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// An address may name a list, or an example of one: #bottom, #bottom-3, #example-3

/** What the address names: its part as `id`, and of an example the `list` and `rank`, of a list the `list`. */
function namedHere() {
  const id = named(location.hash.slice(1));
  const whole = lists.find((list) => idOf(list) === id);
  if (whole) return { id, list: whole };
  const [, of, rank] = /^(.+)-(\d+)$/.exec(id) ?? [];
  return { id, list: lists.find((list) => idOf(list) === of || (list === neuron.main && of === "example")), rank };
}

const following = turns();

async function follow(select) {
  const isLatest = following();
  const { id, list, rank } = namedHere();
  if (list) await select(idOf(list));
  if (rank > FIRST && list) await drawRest(list, document.getElementById(idOf(list)).querySelector("ol"));
  if (!isLatest()) return;
  document.querySelector(".marked")?.classList.remove("marked");
  const target = document.getElementById(list && rank ? exampleId(neuron, { list, rank }) : id);
  if (!target?.matches(".texts li")) return;
  target.classList.add("marked");
  target.querySelector("details")?.setAttribute("open", "");
  target.scrollIntoView({ block: "center" });
  target.querySelector("a, summary").focus({ preventScroll: true });
}

// Copying

/** An entry for a bibliography, of what the page says of itself. */
function bibtex({ site, version, corpus }) {
  const ESCAPES = { "\\": "\\textbackslash{}", "^": "\\^{}", "~": "\\~{}" };
  const plain = (text) => text.replace(/[\\{}$&#^_~%]/g, (c) => ESCAPES[c] ?? `\\${c}`);
  const note = `${record.hook} over ${stats.count.toLocaleString("en")} tokens of ${corpus}; made with neuroscope ${version}`;
  return [
    `@misc{neuron-${model.replace(/[^\w.-]/g, "-")}-${layer}-${index},`,
    `  title = {Neuron {${plain(`${model} ${layer}.${index}`)}}},`,
    `  howpublished = {${plain(site)}, \\url{${linkTo("")}}},`,
    `  note = {${plain(note)}}`,
    "}",
    "",
  ].join("\n");
}

function offerPage(actions) {
  const button = actions.querySelector("button");
  offerCopies(button, [
    ["Link", () => linkTo(location.hash)],
    ["Record (JSON)", () => document.getElementById("neuron")?.textContent ?? neuron.whole().then(JSON.stringify)],
    ["BibTeX", () => bibtex(actions.dataset)],
  ]);
  button.hidden = false;
}

// a theme may leave any of these out
const tabs = document.querySelector(".tabs");
const select = tabs && lists.length > 0 ? drawTabs(tabs) : undefined;
const examples = select?.(idOf(namedHere().list ?? neuron.main)); // their text comes while the rest is drawn
document.querySelectorAll("[data-part]").forEach(drawPart);
explainCards(document);
document.querySelectorAll(".actions").forEach(offerPage);
if (select) {
  await examples;
  drawBands(tabs.parentElement); // below the examples, so that text in view comes first
  addEventListener("hashchange", () => follow(select));
  follow(select);
}
