import { folderHere, modelPage, siteHere } from "../base/address.d2b61dda.js";
import { offerCopies } from "../base/copy.833963c5.js";
import { element, whenSeen } from "../base/dom.951b2e7b.js";
import { turns } from "../base/loading.089b0071.js";
import { tabRow } from "../base/tabs.49fc84c4.js";
import { bandsOf, exampleId, idOf, item, leftOutOf, linkTo, listsOf, reading, scaleChoice, snippet, wordsOf } from "../draw/examples.095d43bb.js";
import { activationPlot, cosinePlot, explainCards, facts, hint, logits, neighbours, signTable, vPlot } from "../draw/parts.1f28c8a2.js";
import { aboutNeuron, linesOf } from "../read/lines.3c9452ea.js";
import { embedded } from "../read/record.910d1125.js";
import { listOf, sideOf } from "../read/sides.a05f4853.js";
import { number } from "../read/tokens.7e7233e7.js";
import { opened } from "./opened.61d391fd.js";
import { sayProblem } from "./problem.76aee695.js";
const folder = folderHere();
const neuron = reading(opened.neuron ?? embedded(document), folder);
const { record } = neuron;
const { model, layer, neuron: index, stats } = record;
const lists = listsOf(neuron);
const FIRST = 5; // examples of a list that are drawn before the text of the others is there
const tokens = element("div");
let shownSide;
function showTokens(side) {
if (side === shownSide) return;
const whole = tokens.querySelector(".whole-list") !== null;
shownSide = side;
tokens.replaceChildren(...logits(record, folder, { on: side, whole }));
}
let lineOf;
function about(otherLayer, other) {
const [, d_mlp] = siteHere().models[model];
lineOf ??= linesOf(neuron.read);
return aboutNeuron(lineOf(otherLayer * d_mlp + other));
}
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
if (name === "neighbours") return part.append(neighbours(record, folder, about));
if (name === "logits") showTokens(neuron.sides[0]);
const [title, draw] = PARTS[name];
part.setAttribute("aria-labelledby", `${name}-title`);
part.append(element("h2", { id: `${name}-title` }, title), ...draw());
}
function panelOf(list) {
const own = document.querySelector(`section.list[data-list="${list}"]`);
return own ?? element("section", { class: "list", "data-list": list }, element("h2", {}, wordsOf(record, list).title), element("ol", { class: "examples" }));
}
const drawing = new Map(); // lists whose text is being loaded, each with the promise that it will be there
function drawOnce(list, place) {
if (!drawing.has(list)) {
if (place.querySelector(".tokens")) return undefined;
drawing.set(list, drawList(list, place).finally(() => drawing.delete(list)));
}
return drawing.get(list);
}
async function drawList(list, place) {
const items = (from, until) => neuron.examples.list(list).slice(from, until).map((example) => item(neuron, example));
if (!neuron.ready) return place.replaceChildren(...items(0));
place.setAttribute("aria-busy", "true");
try {
await neuron.ready(list, FIRST);
place.replaceChildren(...items(0, FIRST));
await neuron.ready(list);
place.append(...items(FIRST));
} catch (error) {
sayProblem(place, error, { after: place.querySelector(".tokens") !== null });
}
return place.removeAttribute("aria-busy");
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
function band(list) {
const id = idOf(list);
const [, low, high] = list.split("_");
const [from, to] = [low, high].map((share) => number(share === "0" ? stats.min : stats.quantiles[share]));
return element("section", { class: "band", id, "aria-labelledby": `${id}-title` },
element("h3", { id: `${id}-title` }, wordsOf(record, list).title, " ", element("small", {}, `about ${from} to ${to}${leftOutOf(neuron, list)}`)),
drawSnippets(list, element("ol", { class: "snippets" })));
}
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
function named(part) {
try {
return decodeURIComponent(part);
} catch {
return part;
}
}
const following = turns();
async function follow(select) {
const isLatest = following();
const id = named(location.hash.slice(1));
const [, of, rank] = /^(.+)-(\d+)$/.exec(id) ?? [];
const list = lists.find((list) => idOf(list) === id) ?? lists.find((list) => idOf(list) === of || (list === neuron.main && of === "example"));
if (list) await select(idOf(list));
if (!isLatest()) return;
document.querySelector(".marked")?.classList.remove("marked");
const target = document.getElementById(list && idOf(list) !== id ? exampleId(neuron, { list, rank }) : id);
if (!target?.matches(".texts li")) return;
target.classList.add("marked");
target.querySelector("details")?.setAttribute("open", "");
target.scrollIntoView({ block: "center" });
target.querySelector("a, summary").focus({ preventScroll: true });
}
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
document.querySelectorAll("[data-part]").forEach(drawPart);
const tabs = document.querySelector(".tabs");
if (tabs && lists.length > 0) {
const select = drawTabs(tabs);
select(idOf(neuron.main));
drawBands(tabs.parentElement);
addEventListener("hashchange", () => follow(select));
follow(select);
}
explainCards(document);
document.querySelectorAll(".actions").forEach(offerPage);
