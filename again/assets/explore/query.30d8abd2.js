import { ofKind } from "./table.f0377278.js";
export const NONE = "none"; // among a column's categories: the neurons without one
export const STARTS = "at_starts"; // the flag of neurons that are left out to begin with
const FIRST = ["kurtosis", "frequency"]; // measures to begin with, of the models that have them
const NUMBER = String.raw`-?(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?`;
const RANGE = new RegExp(String.raw`^(${NUMBER})?(\.\.)?(${NUMBER})?$`, "i");
export function usual(table) {
const names = ofKind(table, "number").map((column) => column.name);
const known = FIRST.filter((name) => names.includes(name));
return [...known, ...names.filter((name) => !known.includes(name))].slice(0, FIRST.length);
}
const flagsOf = (table) => ofKind(table, "flags").flatMap((column) => column.flags);
export function firstQuery(table) {
const [x, y = x] = usual(table);
return {
ranges: {}, categories: {}, flags: flagsOf(table).includes(STARTS) ? { [STARTS]: false } : {}, token: null, rank: null,
sort: { by: x ?? "neuron", descending: x !== undefined },
axes: { x: { name: x, scale: null }, y: { name: y, scale: null } },
};
}
export const nFilters = ({ ranges, categories, flags, token, rank }) =>
[ranges, categories, flags].reduce((n, of) => n + Object.keys(of).length, 0) - Number(flags[STARTS] === false) + Number(token !== null) + Number(rank !== null);
function parseRange(text) {
const [, min, dots, max] = RANGE.exec(text) ?? [];
if (min === undefined && max === undefined) return undefined;
if (!dots) return max === undefined ? [Number(min), Number(min)] : undefined;
return [min, max].map((end) => (end === undefined ? null : Number(end)));
}
const writeRange = ([min, max]) => (min === max ? String(min) : `${min ?? ""}..${max ?? ""}`);
const writeName = (name) => name.replace(/[%,]/g, encodeURIComponent);
const readName = (name) => name.replace(/%(25|2C)/g, decodeURIComponent);
function parseSort(text, names) {
const descending = text.startsWith("-");
const by = descending ? text.slice(1) : text;
return by === "neuron" || names.has(by) ? { by, descending } : undefined;
}
export function parse(search, table) {
const words = new URLSearchParams(search);
const query = firstQuery(table);
const numbers = new Set(ofKind(table, "number").map((column) => column.name));
for (const name of ["layer", ...numbers]) {
const range = parseRange(words.get(name) ?? "");
if (range) query.ranges[name] = range;
}
for (const { name, categories } of ofKind(table, "category")) {
const asked = (words.get(name) ?? "").split(",").map(readName);
const known = [...categories, NONE].filter((category) => asked.includes(category));
if (known.length > 0) query.categories[name] = known;
}
for (const flag of flagsOf(table)) {
const word = words.get(flag);
if (["yes", "no"].includes(word)) query.flags[flag] = word === "yes";
else if (word === "any") delete query.flags[flag];
}
const [, of, text] = /^([^:]+):(.+)$/s.exec(words.get("token") ?? "") ?? [];
if (of === "any" || ofKind(table, "token").some((column) => column.name === of)) query.token = { of, text };
const [, within = "model", best] = /^(?:(layer|model):)?(\d+)$/.exec(words.get("rank") ?? "") ?? [];
if (Number(best) > 0) query.rank = { best: Number(best), within };
query.sort = parseSort(words.get("sort") ?? "", numbers) ?? query.sort;
for (const [at, axis] of Object.entries(query.axes)) {
if (numbers.has(words.get(at))) axis.name = words.get(at);
if (["linear", "log"].includes(words.get(`${at}scale`))) axis.scale = words.get(`${at}scale`);
}
return query;
}
const encode = (text) => encodeURIComponent(text).replace(/%(?:2C|3A|2F|40|24|3B)/g, decodeURIComponent).replaceAll("%20", "+");
export function serialise(query, table) {
const first = firstQuery(table);
const words = [];
const add = (name, value) => words.push(`${encode(name)}=${encode(value)}`);
for (const [name, range] of Object.entries(query.ranges)) add(name, writeRange(range));
for (const [name, names] of Object.entries(query.categories)) add(name, names.map(writeName).join(","));
for (const [name, wanted] of Object.entries(query.flags)) if (wanted !== first.flags[name]) add(name, wanted ? "yes" : "no");
for (const name of Object.keys(first.flags)) if (!(name in query.flags)) add(name, "any");
if (query.token) add("token", `${query.token.of}:${query.token.text}`);
if (query.rank) add("rank", `${query.rank.within === "layer" ? "layer:" : ""}${query.rank.best}`);
const { by, descending } = query.sort;
if (by !== first.sort.by || descending !== first.sort.descending) add("sort", `${descending ? "-" : ""}${by}`);
for (const [at, { name, scale }] of Object.entries(query.axes)) {
if (name !== first.axes[at].name) add(at, name);
if (scale) add(`${at}scale`, scale);
}
return words.join("&");
}
