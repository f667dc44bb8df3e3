// The page on which the neurons of a model are filtered, sorted and plotted. Its controls come first, from what the header says; what they
// need of columns is loaded when it is used.

import { explorePage, here, neuronPage, placeOf, rewrite } from "../base/address.js";
import { element } from "../base/dom.js";
import { delayed, turns } from "../base/loading.js";
import { dress, neuronRow } from "../draw/rows.js";
import { linesOf } from "../read/lines.js";
import { signOf } from "../read/sides.js";
import { count, measured, visible } from "../read/tokens.js";
import { fittingScale } from "./axis.js";
import { beginning, folder, read } from "./begin.js";
import { csv, json, save } from "./export.js";
import { FilterForm, columnOptions } from "./filters.js";
import { firstQuery, nFilters, parse, serialise, STARTS } from "./query.js";
import { Scatter } from "./scatter.js";
import { calledOf, flatRange, hasFlag, kept, neededToFind, neededToSort, ofKind, pick, ranking, scannedIn, tally, valueOf } from "./table.js";

const SHOWN = 50; // rows at a time
const EITHER = "at_starts_either"; // a flag that says more only of neurons without that of the dominant side
const DELAY = 250; // ms without a change before the address is written and the count said

const { model, layer } = here();
const byId = (id) => document.getElementById(id);
const [status, sort, direction, list, more, whole, figure, problem] = ["count", "sort", "direction", "found", "more", "whole", "scatter", "problem"].map(byId);
const LOADING = "Loading…";

status.textContent = LOADING;
const lineOf = linesOf(read);
const columns = await beginning.catch((error) => {
  status.textContent = `The numbers of the neurons cannot be loaded: ${error.message}`;
  throw error;
});
const { table } = columns;
const own = layer === undefined ? undefined : [Number(layer), Number(layer)]; // the layers of a layer's page
const [from, until] = flatRange(table, own);
let query, ranks, down; // what is asked, all neurons in the order asked for and with the largest first
let keep, found; // for each neuron whether the query keeps it, and those that are kept; not known until its columns are there

// what is said of a neuron

const isBoth = hasFlag(table, "both_sides");
const nameOf = (flat) => placeOf(flat, table.d_mlp).join(".");
const hrefOf = (flat) => neuronPage(folder, ...placeOf(flat, table.d_mlp));
const format = ({ unit }, value) => measured(value, unit);
const valueText = (column, flat) => format(column, valueOf(column, column.codes[flat]));
const isThere = ({ codes }) => codes !== undefined;
const loaded = (kind) => ofKind(table, kind).filter(isThere);
const axis = (at) => table.byName.get(query.axes[at].name);

function describe(flat) {
  const values = [...new Set([axis("x"), axis("y")])].filter(isThere).map((column) => `${column.label} ${valueText(column, flat)}`);
  return `${nameOf(flat)}: ${values.join(", ")}`;
}

/** The side on which a neuron speaks, if that is known. */
function sideOf(flat) {
  const { categories, codes } = table.byName.get("side") ?? {};
  const side = categories?.[codes?.[flat] - 1];
  if (side === undefined) return [];
  const [sign, words] = isBoth(flat) ? ["±", "Both sides are alike"] : [signOf(side), `Its ${side} side dominates`];
  return [element("span", { class: "side", title: words }, `(${sign})`)];
}

function factsOf(flat) {
  return [...sideOf(flat), ...ranksOf(flat)];
}

function ranksOf(flat) {
  const column = table.byName.get(query.sort.by);
  if (!column?.codes) return [];
  const value = element("span", { class: "value", title: column.label }, valueText(column, flat));
  const [inModel, inLayer] = [down.inModel[flat], down.inLayer[flat]];
  if (inModel === 0) return [value];
  return [value, element("span", { class: "rank" }, `#${count(inModel)} in model, #${count(inLayer)} in layer`)];
}

function tagsOf(flat) {
  const categories = loaded("category").filter(({ name }) => name !== "side").map(({ categories, codes }) => categories[codes[flat] - 1]);
  const flags = loaded("flags").flatMap(({ flags, codes }) => flags.filter((_, bit) => codes[flat] & (1 << bit)));
  const says = (name) => (name !== EITHER ? calledOf(name) : flags.includes(STARTS) ? undefined : "weaker side fires at starts");
  return [...categories, ...flags.map(says)].filter(Boolean);
}

const about = (flat) => ({ facts: factsOf(flat), tags: tagsOf(flat) });
const row = (flat) => neuronRow({ flat, d_mlp: table.d_mlp, folder, ...about(flat), lineOf });

// from the query to what is seen

/** Takes the query from the address. */
async function recall() {
  ask(parse(location.search, table));
  await update();
  settle();
}

/** Makes it the query, which on a layer's page is always of that layer. */
function ask(asked) {
  query = own ? { ...asked, ranges: { ...asked.ranges, layer: own } } : asked;
  filters.write(query);
}

const codesOf = (some) => some.map((column) => [column, "codes"]);
const tagged = codesOf([...ofKind(table, "category"), ...ofKind(table, "flags")]);

/** What is shown of the query, the first that readers look for first: where, what it needs of columns, and how. */
const PARTS = [
  { node: list, needs: () => neededToFind(table, query), show: showFound },
  { node: figure, needs: () => codesOf([axis("x"), axis("y")]), show: showScatter },
  { node: byId("filters"), needs: () => filters.needs(), show: showFilters },
  { node: undefined, needs: () => tagged, show: showTags },
];

const turn = turns();
/** Shows what the query asks for, each part when its columns are there, unless something else is asked for by then. */
async function update() {
  const isLatest = turn();
  found = undefined;
  showAsked();
  settling.ask();
  for (const { node, needs, show } of PARTS) {
    const needed = needs();
    const waits = columns.isWaiting(needed);
    node?.setAttribute("aria-busy", waits);
    if (waits) {
      if (!found) status.textContent = LOADING;
      await columns.load(needed);
      if (!isLatest()) return;
      node?.setAttribute("aria-busy", false);
    }
    columns.load(PARTS.flatMap((part) => part.needs())); // what comes next need not wait for its turn
    show(waits);
    sayProblems();
  }
}

/** What needs no column. */
function showAsked() {
  sort.value = query.sort.by;
  byId("definition").textContent = table.byName.get(query.sort.by)?.definition ?? "";
  direction.textContent = query.sort.descending ? "↓ largest first" : "↑ smallest first";
  for (const at of ["x", "y"]) byId(at).value = axis(at).name;
  const n = nFilters(query) - Number(own !== undefined);
  byId("active").textContent = n > 0 ? `${n} set` : "";
  document.querySelector("[type=reset]").hidden = n === 0;
}

function showFound(hasWaited) {
  rank();
  keep = kept(table, query, ranks);
  found = pick(ranks.order, keep);
  list.replaceChildren();
  areTagged = !columns.isWaiting(tagged);
  extend();
  if (!hasWaited) return;
  settling.cancel();
  say();
}

let areTagged = false; // whether the rows were made with their tags
let ranked; // the order of which `ranks` are
function rank() {
  const { by, descending } = query.sort;
  const order = [by, descending, ...neededToSort(table, query.sort).map(([column, part]) => column[part] !== undefined)].join();
  if (order === ranked) return;
  ranked = order;
  ranks = ranking(table, query.sort);
  down = descending ? ranks : ranking(table, { by, descending: true }); // as ranks are on neurons' pages
}

function showScatter() {
  if (["x", "y"].every((at) => isThere(axis(at)))) scatter.show({ ...axes(), keep });
  else scatter.clear();
}

function showFilters() {
  filters.draw();
  tallyCategories();
}

/** Adds what was not there when the rows were made. */
function showTags() {
  if (!areTagged) Array.from(list.children, (item, at) => dress(item, about(found[at])));
  areTagged = true;
}

function sayProblems() {
  problem.hidden = columns.problems.size === 0;
  const causes = Array.from(columns.problems, ([label, { message }]) => `${label} cannot be loaded: ${message}`);
  const [words, remedy] = columns.isOutdated ? ["The site was built again since this page was loaded.", "Load the page again"] : [`${causes.join("; ")}. The page works without it.`, "Try again"];
  problem.querySelector("span").textContent = words;
  problem.querySelector("button").textContent = remedy;
}

/** More rows; answers the first of them. */
function extend() {
  const at = list.children.length;
  list.append(...Array.from(found.subarray(at, at + SHOWN), row));
  const rest = found.length - list.children.length;
  more.hidden = rest === 0;
  more.textContent = `Show ${Math.min(SHOWN, rest)} more`;
  return list.children[at];
}

const fitting = new Map(); // scales by column
function axes() {
  const [x, y] = ["x", "y"].map((at) => {
    const column = axis(at);
    if (!fitting.has(column)) fitting.set(column, fittingScale(column));
    const scale = query.axes[at].scale ?? fitting.get(column);
    byId(`${at}scale`).checked = scale === "log";
    return { column, scale };
  });
  return { x, y, ranges: { x: query.ranges[x.column.name], y: query.ranges[y.column.name] } };
}

/** How many neurons each category would have, were there no filter on its column. */
function tallyCategories() {
  filters.tally((column) => {
    const { [column.name]: _, ...categories } = query.categories;
    return tally(column, kept(table, { ...query, categories }, ranks));
  });
}

/** How many neurons are left out for nothing but that they fire where windows start. */
function nLeftOut() {
  const { [STARTS]: starts, ...flags } = query.flags;
  return starts === false ? pick(ranks.order, kept(table, { ...query, flags }, ranks)).length - found.length : 0;
}

// when nothing has changed for a moment, the address is written and the count said

const words = () => {
  const { layer: _, ...ranges } = query.ranges;
  return serialise(own ? { ...query, ranges } : query, table);
};
const settling = delayed(say, DELAY);
function settle() {
  if (!settling.isAsked()) return;
  settling.cancel();
  say();
}
function say() {
  const search = words() && `?${words()}`;
  rewrite(search);
  if (whole) whole.href = explorePage(folder, search);
  if (!found) return;
  const all = scannedIn(table, from, until);
  status.textContent = found.length === all ? `All ${count(all)} neurons` : `${count(found.length)} of ${count(all)} neurons`;
  const n = nLeftOut();
  byId("left-out").textContent = n === 0 ? "" : `${count(n)} that ${n === 1 ? "fires" : "fire"} at starts ${n === 1 ? "is" : "are"} left out`;
}

// what a reader does

let frame;
const filters = new FilterForm(byId("form"), table, [from, until], () => {
  Object.assign(query, filters.read());
  if (own) query.ranges.layer = own;
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(update);
});
filters.whenUnfolded(async () => {
  await columns.load(filters.needs());
  if (found) showFilters();
  sayProblems();
});

const scatter = new Scatter(byId("scatter"), {
  from, until, describe, format, href: hrefOf, line: async (flat) => (await lineOf(flat))?.slice(4).map((text) => text && visible(text)).find(Boolean),
  brush(drawn) {
    const ranges = { ...query.ranges };
    for (const [at, range] of Object.entries(drawn)) {
      if (range.every((end) => end === null)) delete ranges[axis(at).name];
      else ranges[axis(at).name] = range;
    }
    ask({ ...query, ranges });
    update();
  },
});

byId("form").addEventListener("reset", (event) => {
  event.preventDefault();
  byId("filters").querySelector("summary").focus(); // the button goes
  filters.clear();
  ask({ ...firstQuery(table), sort: query.sort, axes: query.axes });
  update();
});
sort.addEventListener("input", () => {
  query.sort = { by: sort.value, descending: table.byName.has(sort.value) };
  update();
});
direction.addEventListener("click", () => {
  query.sort.descending = !query.sort.descending;
  update();
});
for (const at of ["x", "y"]) {
  const [measure, scale] = [byId(at), byId(`${at}scale`)];
  measure.addEventListener("input", () => {
    query.axes[at] = { name: measure.value, scale: null };
    update();
  });
  scale.addEventListener("input", () => {
    query.axes[at].scale = scale.checked ? "log" : "linear";
    update();
  });
}
more.addEventListener("click", () => found && extend().querySelector("a").focus());

const SAVED = {
  csv: ["text/csv", () => csv(table, found)],
  json: ["application/json", () => json(table, found, serialise(query, table))],
};
for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", async () => {
    if (button.ariaBusy === "true") return;
    const [type, parts] = SAVED[button.dataset.save];
    button.ariaBusy = "true";
    const all = codesOf(table.columns);
    await columns.load(all);
    sayProblems();
    if (found && all.every(([column]) => isThere(column))) await save(`${model}${own ? `-layer-${layer}` : ""}-neurons.${button.dataset.save}`, type, parts());
    button.ariaBusy = "false";
  });
}
problem.querySelector("button").addEventListener("click", () => {
  if (columns.isOutdated) return location.reload();
  columns.retry();
  return update();
});
addEventListener("popstate", recall);
document.addEventListener("click", settle, true); // a link may lead away before the address is written

const numbers = ofKind(table, "number");
sort.replaceChildren(new Option("Neuron", "neuron"), ...columnOptions(numbers));
for (const at of ["x", "y"]) byId(at).replaceChildren(...columnOptions(numbers));
byId("filters").open = matchMedia("(min-width: 60rem)").matches;
byId("explore").hidden = false;
recall();
