import { placeOf } from "../base/address.d2b61dda.js";
import { valueOf } from "./table.f0377278.js";
const ROWS = 2048; // of one piece of a file
const DECODED = {
number: valueOf,
category: ({ categories }, code) => categories[code - 1] ?? null,
token: ({ tokens }, code) => tokens[code - 1] ?? null,
};
function cellsOf({ columns, d_mlp }, write) {
const cells = ["layer", "neuron"].map((name, i) => [name, (flat) => String(placeOf(flat, d_mlp)[i])]);
for (const column of columns) {
const { codes, kind } = column;
if (kind === "flags") {
column.flags.forEach((name, bit) => cells.push([name, (flat) => String(Boolean(codes[flat] & (1 << bit)))]));
} else {
const written = []; // by code
cells.push([column.name, (flat) => (written[codes[flat]] ??= write(DECODED[kind](column, codes[flat])))]);
}
}
return cells;
}
const quoted = (cell) => (typeof cell === "string" ? `"${cell.replaceAll('"', '""')}"` : String(cell ?? ""));
function* pieces(cells, flats, [open, close], between) {
for (let at = 0; at < flats.length; at += ROWS) {
const rows = Array.from(flats.subarray(at, at + ROWS), (flat) => open + cells.map(([, of]) => of(flat)).join(",") + close);
yield (at === 0 ? "" : between) + rows.join(between);
}
}
export function* csv(table, flats) {
const cells = cellsOf(table, quoted);
yield cells.map(([name]) => quoted(name)).join(",");
yield* pieces(cells, flats, ["\n", ""], "");
yield "\n";
}
export function* json(table, flats, query) {
const cells = cellsOf(table, JSON.stringify);
const names = cells.map(([name]) => name);
yield `${JSON.stringify({ model: table.model, query, columns: names }).slice(0, -1)},"rows":[\n`;
yield* pieces(cells, flats, ["[", "]"], ",\n");
yield "\n]}\n";
}
export async function save(name, type, parts) {
const all = [];
for (const part of parts) {
all.push(part);
await new Promise((resolve) => setTimeout(resolve));
}
const href = URL.createObjectURL(new Blob(all, { type }));
Object.assign(document.createElement("a"), { href, download: name }).click();
setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
