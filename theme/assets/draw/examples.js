// Examples as heat maps: lists of them, one-line snippets, the value of each token, and the whole document around one.

import { isPacked, siteHere } from "../base/address.js";
import { offerCopies } from "../base/copy.js";
import { element, hasModifier } from "../base/dom.js";
import { reader, turns as newestOf } from "../base/loading.js";
import { recall, remember } from "../base/settings.js";
import { explain } from "../base/tip.js";
import { documentOf, Examples } from "../read/record.js";
import { listOf, sidesOf } from "../read/sides.js";
import { cells, hexOf, number, percent, shade, visible } from "../read/tokens.js";

const [BEFORE, AFTER] = [24, 12]; // cells of a snippet around its peak, of which the line shows as many as it can
const NEWLINE = 10;
const HOOKS = ["gate", "in", "act"]; // that may stand beside the values of a gated neuron
const POST = "post";

/**
 * A neuron that is read: its record, its examples, and where its things are, all relative to the page: the model's `folder`, whose
 * files `read` reads, and the `address` of its own page, empty if that is this one. A `letter` tells it from another on the page. Its
 * `sides` are those on which it speaks, the dominant one first, of which `main` is the list. It `hasDocuments` if the corpus was there;
 * `document` reads the one of an example. Where the text is not in the record, `ready` reads that of the first `n` examples of a list, or of all;
 * where hooks are not, `addHooks` does. Values have so many `bits`.
 */
export function reading({ record, fill, addHooks, whole, bits = 8 }, folder, { address = "", letter = "" } = {}) {
  const sides = sidesOf(record);
  const [, , , hasDocuments = true] = siteHere().models[record.model] ?? [];
  const [examples, read] = [new Examples(record, bits), reader(folder)];
  const ready = fill && (async (list, n) => {
    const rows = record.lists[list].rows.slice(0, n);
    await fill(rows);
    examples.update(rows);
  });
  const withHooks = addHooks && (async () => {
    await addHooks();
    examples.update([]);
  });
  const document = async ({ doc }) => (isPacked(folder) ? (await import("../read/packed.js")).packedDocument(folder, read, doc) : documentOf(read, doc));
  return { record, folder, address, letter, sides, main: listOf(sides[0]), examples, read, hasDocuments, ready, addHooks: withHooks, document, whole, bits };
}

// The lists: how they are called, and what they are

const SIGNS = { "+": "positive", "-": "negative" };
const ENDS = { top: "Most positive", bottom: "Most negative" };

/** What the examples of one side are next to those of the other, if the record says so. */
function ofSide(record, list) {
  if (!record.side) return undefined;
  const { both, balance, name } = record.side;
  const apart = record.at_starts ? " away from starts" : ""; // where values may be far larger
  if (both) return `One of two equal sides${apart}`;
  return list === listOf(name) ? `The dominant side${apart}` : `The weaker side, ${percent(balance)} as large${apart}`;
}

const NAMES = [ // of lists, with what is to be said of each
  [/^(top|bottom)$/, ([end], hook, list, record) => ({ tab: ENDS[end], title: `${ENDS[end]} activations`, text: `${ofSide(record, list) ?? `The ${ENDS[end].toLowerCase()} values`}, one per document.` })],
  [/^gate([+-])_in([+-])$/, ([gate, input], hook) => ({
    tab: `gate${gate} in${input}`.replaceAll("-", "−"),
    title: `Gate ${SIGNS[gate]}, in ${SIGNS[input]}`,
    text: `The largest |${hook}| among positions with these signs, one per document.`,
  })],
  [/^(.+)_(top|bottom)$/, ([other, end]) => ({ tab: `${ENDS[end]} hook_${other}`, title: `${ENDS[end]} hook_${other}`, text: "Values are those of this hook." })],
  [/^random$/, () => ({ tab: "Random", title: "Random positions", text: "Drawn from all counted positions, for how the neuron mostly behaves." })],
  [/^band_(.+)_(.+)$/, (shares) => {
    const title = `${shares.map((share) => Number((share * 100).toPrecision(6))).join("–")} %`;
    return { tab: title, title, text: "Drawn at random from the positions whose activation ranks in this band." };
  }],
  [/^/, (_, hook, list) => ({ tab: list, title: list, text: "" })],
];

/** What a list of a record's examples is called on its tab and above it, and what stands in it. */
export function wordsOf(record, list) {
  const [name, say] = NAMES.find(([name]) => name.test(list));
  return say(name.exec(list).slice(1), record.hook.split(".").at(-1), list, record);
}

/** What a packed site leaves out of a list: some of its examples, bits of their values. Nothing of what is whole. */
export function leftOutOf({ record, examples, bits }, list) {
  const [n, all] = [record.lists[list]?.rows.length ?? 0, examples.numberOf(list)];
  const some = n < all ? ` This site has ${n} of ${all}.` : "";
  return bits < 8 ? `${some} Values other than the peak’s are kept in ${bits} bits.` : some;
}

const isBand = (list) => list.startsWith("band_");
const lowEnd = (band) => Number(band.split("_")[1]);
export const highestFirst = (a, b) => lowEnd(b) - lowEnd(a); // of bands
const SILENT = 0.01; // of a neuron's largest magnitude
const rankOf = (list) => NAMES.findIndex(([name]) => name.test(list));

/** The lists that have tabs, the main one first. */
export function listsOf({ examples, main }) {
  const lists = examples.names.filter((list) => !isBand(list));
  return lists.sort((a, b) => (b === main) - (a === main) || rankOf(a) - rankOf(b));
}

/** The population bands, the highest first: those that are `shown`, and those `hidden`, whose values tell nothing of the neuron. */
export function bandsOf({ examples, record, sides }) {
  const bands = examples.names.filter(isBand).sort(highestFirst);
  const { min, max } = record.stats;
  const least = SILENT * Math.max(Math.abs(min), Math.abs(max));
  const outermost = sides.map((side) => (side === "positive" ? bands.at(0) : bands.at(-1)));
  // values at starts, and all of an atlas of before 0.3, do not say how large is large
  const tells = (band) => record.at_starts !== false || lowEnd(band) === 0 || outermost.includes(band) || examples.list(band).some(({ value }) => Math.abs(value) >= least);
  return { shown: bands.filter(tells), hidden: bands.filter((band) => !tells(band)) };
}

/** A list's name in addresses. */
export const idOf = (list) => list.replaceAll("+", "p").replace("gate-", "gaten").replace("in-", "inn").replaceAll(".", "-");

/** An example's name in addresses. */
export const exampleId = ({ main }, { list, rank }) => `${list === main ? "example" : idOf(list)}-${rank}`;

// Colours

/** What they are relative to: the largest magnitude at counted positions of the `neuron`, of the `example`, or of `all` neurons on the page. */
const scale = { by: recall("scale") === "example" ? "example" : "neuron", neurons: [] };
const drawn = new WeakMap(); // a cell → its value, its neuron and hook, and the largest magnitude of its example

const maxOfAll = (hook) => Math.max(...scale.neurons.map(({ examples }) => examples.maxOf(hook)));
const SCALES = { neuron: ({ neuron, hook }) => neuron.examples.maxOf(hook), example: ({ max }) => max, all: ({ hook }) => maxOfAll(hook) };
const maxOf = (of) => SCALES[scale.by](of);

function paint(cell) {
  const of = drawn.get(cell);
  const name = of.value === undefined ? "" : shade(of.value, maxOf(of));
  if (name === cell.dataset.shade) return;
  if (cell.dataset.shade) cell.classList.remove(cell.dataset.shade);
  if (name) cell.classList.add(name);
  cell.dataset.shade = name;
}

/** What the colours mean, in numbers. */
function legend(neuron) {
  const max = maxOf({ neuron });
  const ends = max === undefined ? ["−max", "", "0", "", "+max"] : [-max, -max / 2, 0, max / 2, max].map(number);
  const words = max === undefined ? "Colours from minus to plus the largest magnitude of each example" : `Colours from ${ends[0]} to ${ends[4]}`;
  const steps = ["n8", "n4", "", "p4", "p8"].map((name, i) => element("span", { class: name }, ends[i]));
  return element("span", { class: "legend", role: "img", "aria-label": words }, ...steps);
}

/** How far the colours of an example reach that shows another hook than the legend is of. */
function sayRange(node) {
  const of = drawn.get(node);
  node.textContent = of ? `±${number(maxOf(of))}` : "";
}

/** The legends of the neurons on the page, and the choice of their scale. */
export function scaleChoice(neurons) {
  const choices = { neuron: "colours by neuron", example: "colours by example", ...(neurons.length > 1 ? { all: "one scale for both" } : {}) };
  const options = Object.entries(choices).map(([by, label]) => element("option", { value: by, selected: by === scale.by }, label));
  const change = () => {
    scale.by = select.value;
    if (scale.by !== "all") remember("scale", scale.by);
    draw();
    document.querySelectorAll(".t").forEach(paint);
    document.querySelectorAll(".range").forEach(sayRange);
  };
  const select = element("select", { "aria-label": "Colours", change }, ...options);
  const legends = element("span", { class: "legends" });
  const draw = () => {
    const each = scale.by === "neuron" ? neurons : neurons.slice(0, 1); // otherwise one legend holds for all
    const letter = (neuron) => (each.length > 1 ? [element("b", {}, neuron.letter)] : []);
    legends.replaceChildren(...each.flatMap((neuron) => [...letter(neuron), legend(neuron)]));
  };
  scale.neurons = neurons;
  draw();
  return element("div", { class: "scale" }, legends, select);
}

// Cells: one a token, or one for the tokens that share a character

/** A value in words. But for the peak's it is known to a step of its window only, half a step to either side. */
function inWords(value, step) {
  if (value === null) return "not a finite number";
  if (!step) return String(Number(value.toPrecision(5)));
  return `${number(value)} ± ${number(step / 2)}`;
}

/** The value of a cell: of its tokens' that of the largest magnitude, `undefined` where none is known. */
function valueOf({ from, until }, values) {
  const known = values.slice(from, until).filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((best, value) => (Math.abs(value ?? 0) > Math.abs(best ?? 0) ? value : best));
}

/** What is said of a cell: its text, and of each of its tokens the value and the place; the bytes, where a token is no whole text. */
function sayOf({ text, from, until }, { tokens, values, step, ids, start, peak, starts, turns, hooks = [] }) {
  const pieces = until - from > 1;
  const each = tokens.slice(from, until).flatMap((bytes, i) => {
    const at = from + i;
    const value = values[at] === undefined ? "value not kept" : element("b", {}, inWords(values[at], at === peak ? 0 : step));
    const place = [...(pieces ? [`bytes ${hexOf(bytes)}`] : []), ...(ids ? [`id ${ids[at]}`] : []), `position ${start + at}`];
    const beside = hooks.map(([name, kept]) => `${name} ${inWords(kept.values[at], kept.step)}`);
    return [value, ...(hooks.length > 0 ? [beside.join(" · ")] : []), place.join(" · ")];
  });
  const context = begins(starts, { from, until }) ? ["the model's context begins here"] : [];
  const role = turns.findLast(({ at }) => at < until)?.role;
  return [pieces ? `“${text}” in ${until - from} tokens` : `“${text}”`, ...each, ...context, ...(role ? [`role ${role}`] : [])];
}

const begins = (starts, { from, until }) => starts.some((at) => at >= from && at < until);

/** Text whose lines end where those of the document do. */
const inLines = (text) => text.split(/(?<=↵)/).flatMap((line) => (line.endsWith("↵") ? [line, element("br")] : [line]));

/** Where others begin to speak in an example, `{at, role}`, counted from `start`; the role is empty where the template's own text begins. */
const turnsOf = ({ turns, roles }, start = 0) => turns.map((at, i) => ({ at: start + at, role: roles[i] }));

/** Cells of some tokens; those without a value are dim. `peak`, `starts` and `turns` count from the first. */
function cellsOf(neuron, { tokens, values, step, ids, start = 0, peak, starts = [], turns = [], max, hook, hooks, said = { values, step } }, found = cells(tokens)) {
  return found.map((cell) => {
    const { from, until, text } = cell;
    const isText = ids && tokens[from].includes(NEWLINE);
    const node = element("bdi", { class: "t" }, ...(isText ? inLines(text) : [text]));
    if (until - from > 1) node.classList.add("pieces");
    if (peak >= from && peak < until) node.classList.add("peak");
    if (begins(starts, cell)) node.classList.add("start");
    const role = turns.find(({ at }) => at >= from && at < until)?.role;
    if (role) node.dataset.role = role;
    const value = valueOf(cell, values);
    if (value === undefined) node.classList.add("unknown");
    drawn.set(node, { neuron, hook, max, value });
    paint(node);
    return explain(node, () => sayOf(cell, { tokens, ids, start, peak, starts, turns, hooks, ...said }));
  });
}

/** Whether hooks were kept of an example whose values are not loaded yet. */
const isToCome = (neuron, example) => example.hooks && neuron.examples.hook(HOOKS[0], example) === undefined;

function windowOf(neuron, example) {
  const hooks = HOOKS.map((name) => [name, neuron.examples.hook(name, example)]).filter(([, kept]) => kept);
  return { ...example, tokens: neuron.examples.tokens(example), starts: example.context_starts, turns: turnsOf(example), hooks };
}

/** A text whose cells the keyboard can go through, beginning at the peak. */
function walkable(nodes) {
  for (const node of nodes) node.tabIndex = node.matches(".peak") ? 0 : -1;
  return element("p", { class: "tokens", dir: "ltr" }, ...nodes);
}

document.addEventListener("keydown", (event) => {
  if (!event.target.matches?.(".tokens > .t") || hasModifier(event)) return;
  const line = [...event.target.parentElement.querySelectorAll(".t")];
  const at = line.indexOf(event.target);
  const step = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: line.length - 1 }[event.key];
  if (step === undefined) return;
  event.preventDefault(); // the page has arrows of its own
  const to = line[step];
  if (!to) return;
  event.target.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}, true);

// Lists

/** An example as data, its tokens as text. */
function dataOf({ record: { model, layer, neuron, hook }, examples }, example) {
  const { list, rank, value, hook_post, source, doc, start, peak, values, step, context_starts, turns, roles, duplicates } = example;
  const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  const tokens = examples.tokens(example).map((bytes) => utf8.decode(bytes));
  const partial = tokens.flatMap((text, i) => (text.includes("\ufffd") ? [[i, hexOf(examples.tokens(example)[i])]] : []));
  const hooks = Object.fromEntries(HOOKS.map((name) => [name, examples.hook(name, example)?.values]));
  const bytes = partial.length > 0 ? Object.fromEntries(partial) : undefined;
  return { model, layer, neuron, hook, list, rank, value, hook_post, source, doc, start, peak, duplicates, context_starts, ...(turns.length > 0 ? { turns, roles } : {}), tokens, bytes, values, step, ...hooks };
}

/** Chooses which hook the text of an example shows. */
function hookChoice(neuron, example, show) {
  const range = element("span", { class: "range" });
  const turn = newestOf();
  const choose = async (name) => {
    const isLatest = turn();
    try {
      if (name && isToCome(neuron, example)) await neuron.addHooks();
    } catch (error) {
      if (isLatest()) range.textContent = (error.cause ?? error).message;
      return;
    }
    if (!isLatest()) return;
    buttons.forEach((button) => button.setAttribute("aria-pressed", button.textContent === (name ?? POST)));
    const kept = name && neuron.examples.hook(name, example);
    if (kept) drawn.set(range, { neuron, hook: name, max: kept.max });
    else drawn.delete(range);
    sayRange(range);
    show(name, kept);
  };
  const button = (name) => element("button", { type: "button", "aria-pressed": String(name === undefined), click: () => choose(name) }, name ?? POST);
  const buttons = [undefined, ...HOOKS].map(button);
  return element("span", { class: "hooks", role: "group", "aria-label": `Values of example ${example.rank}` }, ...buttons, range);
}

/** What is said of an example, and its text. */
function inFull(neuron, example) {
  const around = windowOf(neuron, example);
  let text = walkable(cellsOf(neuron, around));
  const show = (hook, kept) => {
    const now = windowOf(neuron, example); // its hooks may have come
    const said = { values: now.values, step: now.step };
    const next = walkable(cellsOf(neuron, { ...now, ...kept, hook, said }));
    text.replaceWith(next);
    text = next;
  };
  const choice = around.hooks.length > 0 || isToCome(neuron, example) ? [hookChoice(neuron, example, show)] : [];
  return [about(neuron, example, choice), text];
}

function about(neuron, example, choice) {
  const { examples, address } = neuron;
  const id = exampleId(neuron, example);
  const name = `example ${example.rank}`;
  const link = element("a", { class: "value", href: `${address}#${id}`, title: "Link to this example" }, number(example.value));
  const open = element("button", { type: "button", class: "document", "aria-label": `Document of ${name}`, click: () => showDocument(neuron, example) }, "Document");
  const whole = neuron.hasDocuments ? [open] : [];
  const copy = offerCopies(element("button", { type: "button", "aria-label": `Copy ${name}` }, "Copy"), [
    ["Text", () => examples.text(example)],
    ["JSON", async () => {
      if (isToCome(neuron, example)) await neuron.addHooks();
      return JSON.stringify(dataOf(neuron, example), null, 1);
    }],
    ["Link", () => linkTo(`${address}#${id}`)],
  ]);
  const { hook_post, duplicates: n } = example;
  const source = example.source === undefined ? [] : [element("span", { class: "source" }, example.source)];
  const post = hook_post === undefined ? [] : [element("span", {}, `hook_post ${number(hook_post)}`)];
  const like = n === 0 ? [] : [element("span", { title: "other documents with the same tokens up to the peak" }, `and ${n}${n >= 255 ? "+" : ""} like it`)];
  return element("div", { class: "about" }, link, ...source, ...post, ...like, ...choice, element("span", { class: "do" }, ...whole, copy));
}

/** The address of something on this page, or from it, as others can open it. */
export function linkTo(href) {
  const canonical = document.querySelector("link[rel=canonical]")?.href;
  return new URL(href, href.startsWith("#") || href === "" ? canonical ?? location.href : location.href).href;
}

/** An example of a list. */
export function item(neuron, example) {
  return element("li", { id: neuron.address ? undefined : exampleId(neuron, example) }, ...inFull(neuron, example));
}

/** An example as one line around its peak, which unfolds to the whole. */
export function snippet(neuron, example) {
  const around = windowOf(neuron, example);
  const found = cells(around.tokens);
  const at = found.findIndex(({ until }) => until > example.peak);
  const first = Math.max(0, at - BEFORE);
  const nodes = cellsOf(neuron, around, found.slice(first, at + AFTER + 1));
  const line = element("span", { class: "context", dir: "ltr" },
    element("span", { class: "before" }, element("span", {}, ...nodes.slice(0, at - first))),
    nodes[at - first],
    element("span", { class: "after" }, ...nodes.slice(at - first + 1)));
  const unfold = () => details.childElementCount === 1 && details.append(...inFull(neuron, example));
  const details = element("details", { toggle: unfold }, element("summary", {}, element("span", { class: "value" }, number(example.value)), line));
  return element("li", { id: neuron.address ? undefined : exampleId(neuron, example) }, details);
}

// The whole document of an example

let dialog;
function openDialog(title) {
  const close = element("button", { type: "button", class: "close", click: () => dialog.close() }, "Close");
  const click = ({ target }) => target === dialog && dialog.close(); // beside it
  dialog ??= document.body.appendChild(element("dialog", { class: "whole", "aria-labelledby": "whole-title", click }));
  const heading = element("h2", { id: "whole-title" }, title);
  const body = element("div", { class: "body", tabindex: "0", role: "region", "aria-labelledby": "whole-title" }, element("p", {}, "Loading…"));
  dialog.replaceChildren(element("header", {}, heading, close), body);
  dialog.showModal();
  return { heading, body };
}

async function showDocument(neuron, example) {
  const { heading, body } = openDialog(`Document ${example.doc}`);
  try {
    const whole = await neuron.document(example);
    const values = [];
    example.values.forEach((value, i) => (values[example.start + i] = value));
    const { start, peak, step, max } = example;
    const starts = example.context_starts.map((at) => start + at);
    const turns = [...turnsOf(example, start), { at: values.length, role: "" }]; // roles are known of the example only
    const text = walkable(cellsOf(neuron, { ...whole, values, step, peak: start + peak, starts, turns, max }));
    const kept = `values kept of positions ${start} to ${values.length - 1}`;
    heading.textContent = visible(whole.id);
    body.replaceChildren(element("p", { class: "meta" }, `${whole.source}${whole.license ? ` · ${whole.license}` : ""} · ${whole.tokens.length} tokens · ${kept}`), text);
    text.querySelector(".peak")?.scrollIntoView({ block: "center" });
  } catch (error) {
    body.replaceChildren(element("p", {}, `The document cannot be loaded: ${(error.cause ?? error).message}`));
  }
}
