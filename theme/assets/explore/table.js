// The columns of all neurons of a model, and which neurons a query keeps, in which order. A column has its `codes` once it is loaded
// (columns.js); one without them filters nothing and orders nothing.
//
// Filters never decode a neuron's value: what a query accepts is worked out once for each code that a column can have,
// and the order of a column is counted, not compared.

import { parseQuery } from "../read/tokensearch.js";

const SCHEMA = "neuroscope/explore/v1";
const DECADE = 900; // numbers of three digits
const WHOLE = 999_000; // whole numbers of four to six digits
const BOTH = "both_sides"; // a flag of neurons whose sides are alike
const OPPOSITE = { promoted: "suppressed", suppressed: "promoted" };

/** What a header says, with its columns also by name. */
export const tableOf = (header, columns) => ({ ...header, columns, byName: new Map(columns.map((column) => [column.name, column])) });

/** The unpacked bytes of explore.bin.gz as a table, with `codes` in each column. */
export function parseTable(bytes) {
  const length = bytes.length < 4 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (length === 0 || 4 + length > bytes.length) throw new Error("it is cut off");
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  if (header.schema !== SCHEMA) throw new Error(`its schema is ${header.schema}, not ${SCHEMA}`);
  const body = bytes.subarray(4 + length);
  const { n_neurons, tokens = [] } = header;
  const codesOf = ({ offset, bytes: nPlanes }) => {
    const planes = body.subarray(offset, offset + nPlanes * n_neurons);
    if (planes.length < nPlanes * n_neurons) throw new Error("it is cut off");
    return joined(planes, n_neurons, nPlanes);
  };
  const columns = header.columns.map((column) => ({
    ...column, codes: codesOf(column), ...(column.order && { order: codesOf(column.order) }), ...(column.kind === "token" && { tokens }),
  }));
  return tableOf(header, columns);
}

/** Codes from their planes of bytes, the lowest first. */
export function joined(planes, n, bytes) {
  if (bytes === 1) return planes;
  const codes = bytes === 2 ? new Uint16Array(n) : new Uint32Array(n);
  for (let plane = 0; plane < bytes; plane++) {
    const [from, shift] = [plane * n, 8 * plane];
    for (let i = 0; i < n; i++) codes[i] |= planes[from + i] << shift;
  }
  return codes;
}

export const ofKind = (table, kind) => table.columns.filter((column) => column.kind === kind);

const POWERS = Array.from({ length: 80 }, (_, e) => 10 ** e);
/** m · 10^e, the number nearest to it. */
const decimal = (m, e) => (e < 0 ? m / POWERS[-e] : m * POWERS[e]);

/** The number that a code of a number column stands for: code 1 is `first` steps from zero, and numbers of 10^exponent are one. */
export function valueOf({ first, exponent, unit }, code) {
  if (code === 0) return null;
  const n = first + code - 1;
  const size = Math.abs(n);
  if (size === 0) return 0;
  const shift = unit === "share" ? 4 : 2; // shares are in per cent
  const ofThree = (step, from) => decimal(100 + (step % DECADE), from + Math.floor(step / DECADE) - shift);
  const thousand = (3 - exponent) * DECADE + 1;
  const over = size - thousand - WHOLE;
  const magnitude = size < thousand ? ofThree(size - 1, exponent) : over < 0 ? decimal(1000 + size - thousand, 2 - shift) : ofThree(over, 6);
  return Math.sign(n) * magnitude;
}

const extents = new WeakMap();
/** The smallest and the largest code that a number column has, which a header may say. */
export function extentOf({ codes, extent }) {
  if (extent) return extent;
  if (!extents.has(codes)) {
    let [first, last] = [Infinity, 1];
    for (const code of codes) {
      if (code > last) last = code;
      if (code > 0 && code < first) first = code;
    }
    extents.set(codes, [Math.min(first, last), last]);
  }
  return extents.get(codes);
}

/** How many of some codes there are of each, up to the `last`. */
export function countsOf(codes, last) {
  const counts = new Uint32Array(last + 1);
  for (let i = 0; i < codes.length; i++) counts[codes[i]]++;
  return counts;
}

/** The smallest code up to the `last`, of those that stand for a value, from which on `holds` is true; one more than the last if it never is. */
function firstCode(last, holds) {
  let [from, until] = [1, last + 1];
  while (from < until) {
    const middle = (from + until) >> 1;
    if (holds(middle)) until = middle;
    else from = middle + 1;
  }
  return from;
}

/** The codes [first, last] of the values from `min` to `max`, either of which may be null; first > last if there is none. */
export function codeRange(column, [min, max]) {
  const [, most] = extentOf(column);
  const first = min === null ? 1 : firstCode(most, (code) => valueOf(column, code) >= min);
  const last = max === null ? most : firstCode(most, (code) => valueOf(column, code) > max) - 1;
  return [first, last];
}

/** What a flag is called; one that is not here, by its name. */
const CALLED = { at_starts: "fires at starts", at_starts_either: "fires at starts on either side", both_sides: "both sides alike" };
export const calledOf = (flag) => CALLED[flag] ?? flag;

/** Whether each neuron has a flag, as a function of its index; none has one that the table does not know. */
export function hasFlag(table, name) {
  const column = ofKind(table, "flags").find(({ flags }) => flags.includes(name));
  const bit = column ? 1 << column.flags.indexOf(name) : 0;
  return bit === 0 ? () => false : (flat) => column.codes !== undefined && (column.codes[flat] & bit) !== 0;
}

/** The flags that a query asks for: who leaves out neurons that fire at starts leaves out all that rankings in its order do. */
export function flagsAsked({ byName }, { flags, sort }) {
  const unranked = byName.get(sort.by)?.unranked;
  return flags.at_starts === false && unranked ? { [unranked]: false, ...flags } : flags;
}

const isLoaded = (column) => column?.codes !== undefined;

const flagColumns = (table, names) => ofKind(table, "flags").filter(({ flags }) => flags.some((name) => names.includes(name)));

/** Columns in which the token of a query is looked for. */
const tokenColumns = (table, { of }) => ofKind(table, "token").filter(({ name }) => of === "any" || of === name);

// What is needed of columns: pairs of a column and `codes` or `order`

/** What an order by a column needs. */
export function neededToSort(table, { by }) {
  const column = table.byName.get(by);
  return column ? [[column, "codes"], [column, "order"], ...flagColumns(table, [column.unranked]).map((flags) => [flags, "codes"])] : [];
}

/** What the filters of a query need. */
function neededToFilter(table, query) {
  const { byName } = table;
  const names = [...Object.keys(query.ranges), ...Object.keys(query.categories)].filter((name) => byName.has(name));
  const tokens = query.token ? [...tokenColumns(table, query.token), byName.get(OPPOSITE[query.token.of])].filter(Boolean) : [];
  const flags = [...Object.keys(flagsAsked(table, query)), ...(tokens.length > 0 ? [BOTH] : [])];
  return [...names.map((name) => byName.get(name)), ...flagColumns(table, flags), ...tokens].map((column) => [column, "codes"]);
}

/** What it takes to find the neurons of a query, in its order. */
export const neededToFind = (table, query) => [...neededToSort(table, query.sort), ...neededToFilter(table, query)];

// What a query accepts, as an array over a column's codes that has 1 for each one accepted.

function acceptedNumbers(column, range) {
  const [first, last] = codeRange(column, range);
  const accepted = new Uint8Array(extentOf(column)[1] + 1);
  return first > last ? accepted : accepted.fill(1, first, last + 1);
}

function acceptedCategories({ categories }, names) {
  const accepted = new Uint8Array(categories.length + 1);
  for (const name of names) accepted[categories.indexOf(name) + 1] = 1; // none, which is no category, is 0
  return accepted;
}

function acceptedFlags({ flags, bytes }, asked) {
  const accepted = new Uint8Array(256 ** bytes).fill(1);
  flags.forEach((name, bit) => {
    if (name in asked) accepted.forEach((_, code) => (accepted[code] &= Number(Boolean(code & (1 << bit)) === asked[name])));
  });
  return accepted;
}

/** Tokens that contain a text; a capital in it makes case count. */
function acceptedTokens({ tokens }, typed) {
  const { text = typed, caseCounts = text !== text.toLowerCase() } = parseQuery(typed);
  const sought = caseCounts ? text : text.toLowerCase();
  const accepted = new Uint8Array(tokens.length + 1);
  tokens.forEach((token, i) => (accepted[i + 1] = Number((caseCounts ? token : token.toLowerCase()).includes(sought))));
  return accepted;
}

/** Flat indices [from, until) of the layers of a range. */
export function flatRange({ n_layers, d_mlp }, [first, last] = [null, null]) {
  const from = Math.max(0, Math.ceil(first ?? 0));
  const until = Math.min(n_layers, Math.floor(last ?? n_layers) + 1);
  return [from * d_mlp, Math.max(from, until) * d_mlp];
}

function narrow(keep, codes, accepted, from, until) {
  for (let i = from; i < until; i++) keep[i] &= accepted[codes[i]];
}

/** How many of the neurons with flat indices [from, until), which are whole layers, were scanned. */
export function scannedIn({ layers_scanned, d_mlp }, from, until) {
  if (!layers_scanned) return until - from;
  return d_mlp * layers_scanned.filter((layer) => layer * d_mlp >= from && layer * d_mlp < until).length;
}

/** Keeps no neuron of a layer that was not scanned. */
function leaveUnscanned(keep, { layers_scanned, n_layers, d_mlp }) {
  if (!layers_scanned) return;
  for (let layer = 0; layer < n_layers; layer++) if (!layers_scanned.includes(layer)) keep.fill(0, layer * d_mlp, (layer + 1) * d_mlp);
}

/** For each neuron, whether a query keeps it: 1 or 0. `ranks` are those of the query's order. */
export function kept(table, query, ranks) {
  const { byName, n_neurons } = table;
  const keep = new Uint8Array(n_neurons);
  const [from, until] = flatRange(table, query.ranges.layer);
  keep.fill(1, from, until);
  leaveUnscanned(keep, table);
  const by = (column, accepted, asked) => isLoaded(column) && narrow(keep, column.codes, accepted(column, asked), from, until);
  for (const [name, range] of Object.entries(query.ranges)) by(byName.get(name), acceptedNumbers, range);
  for (const [name, names] of Object.entries(query.categories)) by(byName.get(name), acceptedCategories, names);
  const flags = flagsAsked(table, query);
  for (const column of flagColumns(table, Object.keys(flags))) by(column, acceptedFlags, flags);
  const tokens = query.token ? tokenColumns(table, query.token).filter(isLoaded) : [];
  if (tokens.length > 0) {
    const has = new Uint8Array(n_neurons);
    for (const column of tokens) {
      const [{ codes }, accepted] = [column, acceptedTokens(column, query.token.text)];
      for (let i = from; i < until; i++) has[i] |= accepted[codes[i]];
    }
    // what a neuron of both sides suppresses on one, it promotes on the other
    const opposite = byName.get(OPPOSITE[query.token.of]);
    if (isLoaded(opposite)) {
      const [{ codes }, accepted, isBoth] = [opposite, acceptedTokens(opposite, query.token.text), hasFlag(table, BOTH)];
      for (let i = from; i < until; i++) if (isBoth(i)) has[i] |= accepted[codes[i]];
    }
    for (let i = from; i < until; i++) keep[i] &= has[i];
  }
  if (query.rank) {
    const { best, within } = query.rank;
    const rank = within === "layer" ? ranks.inLayer : ranks.inModel;
    for (let i = from; i < until; i++) keep[i] &= Number(rank[i] > 0 && rank[i] <= best);
  }
  return keep;
}

/** All neurons in the order of a column, those without a value last, equal ones by their rank, which is known of measures, or their index. */
export function orderOf(column, descending) {
  const { codes, order: among } = column;
  const [, last] = extentOf(column);
  const next = countsOf(codes, last); // for each code: how many have it, then the place of the next that has
  let place = 0;
  for (let step = 1; step <= last + 1; step++) {
    const code = step > last ? 0 : descending ? last + 1 - step : step;
    const n = next[code];
    // ranks begin with the largest
    next[code] = among && !descending && code > 0 ? place + n - 1 : place;
    place += n;
  }
  const order = new Uint32Array(codes.length);
  if (among) putAmong(order, codes, next, among, descending ? 1 : -1);
  else putInTurn(order, codes, next);
  return order;
}

function putInTurn(order, codes, next) {
  for (let i = 0; i < codes.length; i++) order[next[codes[i]]++] = i;
}

/** Puts those of a code `among` places after its first, or before; those of no value in turn. */
function putAmong(order, codes, next, among, sign) {
  let none = next[0];
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    order[code === 0 ? none++ : next[code] + sign * among[i]] = i;
  }
}

/** All neurons by their index. */
function byIndex(n, descending) {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = descending ? n - 1 - i : i;
  return order;
}

/**
 * All neurons in a query's order, and their ranks in it from 1. The rank is 0 for neurons without a value, and for those that
 * rankings by the column leave out. Equal ones share a rank where no order among them is known.
 */
export function ranking(table, { by, descending }) {
  const { byName, n_neurons } = table;
  const column = isLoaded(byName.get(by)) ? byName.get(by) : undefined;
  const order = column ? orderOf(column, descending) : byIndex(n_neurons, descending);
  const flags = flagColumns(table, [column?.unranked]).find(isLoaded);
  const leftOut = flags && { codes: flags.codes, bit: 1 << flags.flags.indexOf(column.unranked) };
  const ranked = rankable(order, column, leftOut);
  return { order, ...(column && !column.order ? sharedRanks(table, ranked, column.codes) : ownRanks(table, ranked)) };
}

/** Those of an order that have a value and are not left out. */
function rankable(order, column, leftOut) {
  let ranked = order;
  if (column) {
    let n = order.length;
    while (n > 0 && column.codes[order[n - 1]] === 0) n--; // they are last
    ranked = order.subarray(0, n);
  }
  return leftOut ? without(ranked, leftOut) : ranked;
}

function without(order, { codes, bit }) {
  const others = new Uint32Array(order.length);
  let n = 0;
  for (let at = 0; at < order.length; at++) {
    const flat = order[at];
    if ((codes[flat] & bit) === 0) others[n++] = flat;
  }
  return others.subarray(0, n);
}

/** The ranks of neurons in an order, each its own. */
function ownRanks({ n_neurons, n_layers, d_mlp }, order) {
  const [inModel, inLayer, seen] = [new Uint32Array(n_neurons), new Uint32Array(n_neurons), new Uint32Array(n_layers)];
  for (let at = 0; at < order.length; at++) {
    const flat = order[at];
    inModel[flat] = at + 1;
    inLayer[flat] = ++seen[Math.floor(flat / d_mlp)];
  }
  return { inModel, inLayer };
}

/** The ranks of neurons in an order of which those of the same code share one. */
function sharedRanks({ n_neurons, n_layers, d_mlp }, order, codes) {
  const [inModel, inLayer, seen] = [new Uint32Array(n_neurons), new Uint32Array(n_neurons), new Uint32Array(n_layers)];
  const equal = new Uint32Array(n_layers); // ranks that those of the same code have in each layer
  let [code, first] = [0, 0];
  for (let at = 0; at < order.length; at++) {
    const flat = order[at];
    const layer = Math.floor(flat / d_mlp);
    if (codes[flat] !== code) {
      [code, first] = [codes[flat], at + 1];
      equal.fill(0);
    }
    seen[layer]++;
    if (equal[layer] === 0) equal[layer] = seen[layer];
    inModel[flat] = first;
    inLayer[flat] = equal[layer];
  }
  return { inModel, inLayer };
}

/** Those of an order that are kept. */
export function pick(order, keep) {
  const found = new Uint32Array(order.length);
  let n = 0;
  for (let at = 0; at < order.length; at++) {
    found[n] = order[at]; // written over by the next one, unless it is kept
    n += keep[order[at]];
  }
  return found.subarray(0, n);
}

/** How many of the neurons kept have each of a category column's codes. */
export function tally({ codes, categories }, keep) {
  const counts = new Uint32Array(categories.length + 1);
  for (let i = 0; i < codes.length; i++) counts[codes[i]] += keep[i];
  return counts;
}
