import { explorePage, FILES, folderHere, here, neuronPage, placeOf, rewrite } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { answer, delayed, reader } from "../base/loading.089b0071.js";
import { neuronRow } from "../draw/rows.a01e4a57.js";
import { linesOf } from "../read/lines.3c9452ea.js";
import { signOf } from "../read/sides.a05f4853.js";
import { count, measured, visible } from "../read/tokens.7e7233e7.js";
import { fittingScale } from "./axis.14dbcfac.js";
import { csv, json, save } from "./export.58236124.js";
import { FilterForm, columnOptions } from "./filters.e4f76aec.js";
import { firstQuery, nFilters, parse, serialise, STARTS } from "./query.30d8abd2.js";
import { Scatter } from "./scatter.75eba0a1.js";
import { calledOf, flatRange, hasFlag, kept, ofKind, pick, ranking, readTable, tally, valueOf } from "./table.f0377278.js";
const SHOWN = 50; // rows at a time
const EITHER = "at_starts_either"; // a flag that says more only of neurons without that of the dominant side
const DELAY = 250; // ms without a change before the address is written and the count said
const { model, layer } = here();
const folder = folderHere();
const byId = (id) => document.getElementById(id);
const [status, sort, direction, list, more, whole] = ["count", "sort", "direction", "found", "more", "whole"].map(byId);
const load = async () => readTable(new Uint8Array(await (await answer(folder + FILES.explore)).arrayBuffer()));
status.textContent = "Loading…";
const lineOf = linesOf(reader(folder));
const table = await load().catch((error) => {
status.textContent = `The numbers of the neurons cannot be loaded: ${error.message}`;
throw error;
});
const own = layer === undefined ? undefined : [Number(layer), Number(layer)]; // the layers of a layer's page
const [from, until] = flatRange(table, own);
let query, ranks, down, found; // what is asked, all neurons in the order asked for and with the largest first, those that are kept
const isBoth = hasFlag(table, "both_sides");
const nameOf = (flat) => placeOf(flat, table.d_mlp).join(".");
const hrefOf = (flat) => neuronPage(folder, ...placeOf(flat, table.d_mlp));
const format = ({ unit }, value) => measured(value, unit);
const valueText = (column, flat) => format(column, valueOf(column, column.codes[flat]));
const axis = (at) => table.byName.get(query.axes[at].name);
function describe(flat) {
const values = [...new Set([axis("x"), axis("y")])].map((column) => `${column.label} ${valueText(column, flat)}`);
return `${nameOf(flat)}: ${values.join(", ")}`;
}
function sideOf(flat) {
const { categories, codes } = table.byName.get("side") ?? {};
const side = categories?.[codes[flat] - 1];
if (side === undefined) return [];
const [sign, words] = isBoth(flat) ? ["±", "Both sides are alike"] : [signOf(side), `Its ${side} side dominates`];
return [element("span", { class: "side", title: words }, `(${sign})`)];
}
function factsOf(flat) {
return [...sideOf(flat), ...ranksOf(flat)];
}
function ranksOf(flat) {
const column = table.byName.get(query.sort.by);
if (!column) return [];
const value = element("span", { class: "value", title: column.label }, valueText(column, flat));
const [inModel, inLayer] = [down.inModel[flat], down.inLayer[flat]];
if (inModel === 0) return [value];
return [value, element("span", { class: "rank" }, `#${count(inModel)} in model, #${count(inLayer)} in layer`)];
}
function tagsOf(flat) {
const categories = ofKind(table, "category").filter(({ name }) => name !== "side").map(({ categories, codes }) => categories[codes[flat] - 1]);
const flags = ofKind(table, "flags").flatMap(({ flags, codes }) => flags.filter((_, bit) => codes[flat] & (1 << bit)));
const says = (name) => (name !== EITHER ? calledOf(name) : flags.includes(STARTS) ? undefined : "weaker side fires at starts");
return [...categories, ...flags.map(says)].filter(Boolean);
}
const row = (flat) => neuronRow({ flat, d_mlp: table.d_mlp, folder, facts: factsOf(flat), tags: tagsOf(flat), lineOf });
function recall() {
ask(parse(location.search, table));
sorted();
update();
settle();
}
function ask(asked) {
query = own ? { ...asked, ranges: { ...asked.ranges, layer: own } } : asked;
filters.write(query);
}
function sorted() {
ranks = ranking(table, query.sort);
down = query.sort.descending ? ranks : ranking(table, { ...query.sort, descending: true }); // as ranks are on neurons' pages
sort.value = query.sort.by;
byId("definition").textContent = table.byName.get(query.sort.by)?.definition ?? "";
direction.textContent = query.sort.descending ? "↓ largest first" : "↑ smallest first";
}
function update() {
const keep = kept(table, query, ranks);
found = pick(ranks.order, keep);
list.replaceChildren();
extend();
scatter.show({ ...axes(), keep });
tallyCategories();
const n = nFilters(query) - Number(own !== undefined);
byId("active").textContent = n > 0 ? `${n} set` : "";
document.querySelector("[type=reset]").hidden = n === 0;
settling.ask();
}
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
byId(at).value = column.name;
byId(`${at}scale`).checked = scale === "log";
return { column, scale };
});
return { x, y, ranges: { x: query.ranges[x.column.name], y: query.ranges[y.column.name] } };
}
function tallyCategories() {
filters.tally((column) => {
const { [column.name]: _, ...categories } = query.categories;
return tally(column, kept(table, { ...query, categories }, ranks));
});
}
function nLeftOut() {
const { [STARTS]: starts, ...flags } = query.flags;
return starts === false ? pick(ranks.order, kept(table, { ...query, flags }, ranks)).length - found.length : 0;
}
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
const all = until - from;
status.textContent = found.length === all ? `All ${count(all)} neurons` : `${count(found.length)} of ${count(all)} neurons`;
const n = nLeftOut();
byId("left-out").textContent = n === 0 ? "" : `${count(n)} that ${n === 1 ? "fires" : "fire"} at starts ${n === 1 ? "is" : "are"} left out`;
}
let frame;
const filters = new FilterForm(byId("form"), table, [from, until], () => {
Object.assign(query, filters.read());
if (own) query.ranges.layer = own;
cancelAnimationFrame(frame);
frame = requestAnimationFrame(update);
});
filters.whenUnfolded(tallyCategories);
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
sorted();
update();
});
direction.addEventListener("click", () => {
query.sort.descending = !query.sort.descending;
sorted();
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
more.addEventListener("click", () => extend().querySelector("a").focus());
const SAVED = {
csv: ["text/csv", () => csv(table, found)],
json: ["application/json", () => json(table, found, serialise(query, table))],
};
for (const button of document.querySelectorAll("[data-save]")) {
button.addEventListener("click", async () => {
if (button.ariaBusy === "true") return;
const [type, parts] = SAVED[button.dataset.save];
button.ariaBusy = "true";
await save(`${model}${own ? `-layer-${layer}` : ""}-neurons.${button.dataset.save}`, type, parts());
button.ariaBusy = "false";
});
}
addEventListener("popstate", recall);
document.addEventListener("click", settle, true); // a link may lead away before the address is written
const numbers = ofKind(table, "number");
sort.replaceChildren(new Option("Neuron", "neuron"), ...columnOptions(numbers));
for (const at of ["x", "y"]) byId(at).replaceChildren(...columnOptions(numbers));
byId("filters").open = matchMedia("(min-width: 60rem)").matches;
byId("explore").hidden = false;
recall();
