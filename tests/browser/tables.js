// Random tables for the explore page, as files that Rust could have written.

// the same numbers at each run
let seed = 20;
export function random() {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
}
export const below = (n) => Math.floor(random() * n);
export const oneOf = (list) => list[below(list.length)];
export const times = (n, make) => Array.from({ length: n }, (_, i) => make(i));

export const LEVELS = 9000; // codes
export const TOKENS = [" Monday", "monday", "\n\n", '"', "=1+1", "+", "-2", "@x", ",", "a,b", "日本", " ", "␣", "#12", "Ⅻ", "x\ty"];
export const FLAGS = ["dead", "rare", "atypical", "note", "explanation", "at_starts", "at_starts_either", "both_sides"];
const SAID = ["note", "explanation"];
export const CLASSES = ["strengthening", "weakening", "in, out & 50 %"];

/** A file as Rust writes it, of columns with their codes. */
export function packed(header, columns) {
  const n = header.n_layers * header.d_mlp;
  const planes = [];
  const add = ({ codes, bytes, ...rest }) => {
    const offset = planes.length * n;
    for (let plane = 0; plane < bytes; plane++) planes.push(Buffer.from(Array.from(codes, (code) => (code >>> (8 * plane)) & 255)));
    return { ...rest, bytes, offset };
  };
  const placed = columns.map((column) => ({ ...add(column), ...(column.order && { order: add({ codes: column.order, bytes: 2 }) }) }));
  const head = Buffer.from(JSON.stringify({ schema: "neuroscope/explore/v1", model: "m", n_neurons: n, tokens: TOKENS, ...header, columns: placed }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  return new Uint8Array(Buffer.concat([length, head, ...planes]));
}

/** The place of each neuron among those of the same code, at random. */
function someOrder(codes) {
  const seen = new Map();
  const shuffled = codes.map((_, flat) => [random(), flat]).sort(([a], [b]) => a - b);
  const order = codes.map(() => 0);
  for (const [, flat] of shuffled.filter(([, flat]) => codes[flat] > 0)) {
    order[flat] = seen.get(codes[flat]) ?? 0;
    seen.set(codes[flat], order[flat] + 1);
  }
  return order;
}

/** A column of numbers, on both sides of zero and of a thousand as it is. */
export function numberColumn(name, n, { exponent = -2 + below(3), first = -below(3000), levels = LEVELS, ranked = false, codesOf = () => (random() < 0.1 ? 0 : 1 + below(levels)), ...more } = {}) {
  const codes = times(n, codesOf);
  return { name, label: name, kind: "number", bytes: 2, exponent, first, codes, ...(ranked && { order: someOrder(codes) }), ...more };
}

/** Random columns of every kind. */
export function someColumns(n) {
  return [
    numberColumn("kurtosis", n, { ranked: true, unranked: "at_starts" }),
    numberColumn("frequency", n, { exponent: -3, first: 1, levels: 4000, ranked: true, unit: "share" }),
    numberColumn("share_gate+_in-", n, { levels: 40, unit: "share" }), // many ties
    numberColumn("mean", n, { levels: 1, unranked: "at_starts" }),
    numberColumn("skewness", n, { levels: 30, ranked: true, unranked: "at_starts_either" }),
    { name: "class", label: "Class", kind: "category", bytes: 1, categories: CLASSES, codes: times(n, () => below(CLASSES.length + 1)) },
    { name: "role", label: "Role", kind: "category", bytes: 1, categories: ["prediction"], codes: times(n, () => below(2)) },
    { name: "suppressed", label: "Suppressed", kind: "token", bytes: 1, codes: times(n, () => below(TOKENS.length + 1)) },
    { name: "promoted", label: "Promoted", kind: "token", bytes: 3, codes: times(n, () => below(TOKENS.length + 1)) },
    { name: "peak", label: "Peak", kind: "token", bytes: 2, codes: times(n, () => below(TOKENS.length + 1)) },
    { name: "flags", label: "Flags", kind: "flags", bytes: 1, flags: FLAGS, codes: times(n, () => below(32) | (random() < 0.1 ? 32 : 0) | (random() < 0.1 ? 64 : 0) | (random() < 0.2 ? 128 : 0)) },
  ];
}

/** A normal number. */
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
/** A code around the middle of `levels`, of which most are near to it. */
const bell = (levels, width) => Math.max(1, Math.min(levels, Math.round(levels / 2 + width * normal())));

/** All columns of a model of 352,256 neurons, as one file; their numbers are spread as those of real ones are, roughly. */
export function largeColumns() {
  const header = { n_layers: 32, d_mlp: 11_008 };
  const n = header.n_layers * header.d_mlp;
  const number = (name, levels, width, more = {}) => numberColumn(name, n, { exponent: -2, first: 1, ...more, codesOf: () => (random() < 0.001 ? 0 : bell(levels, width)) });
  const others = ["variance", "max", "min", "range", "mean_abs"].map((name) => number(name, 4000, 400, { ranked: true }));
  const some = (share, code) => () => (random() < share ? code : 0);
  const flags = [0.01, 0.02, 0.02, 0.05, 0.05, 0.02].map((share, bit) => some(share, 1 << bit));
  const column = (name, kind, codesOf, more) => ({ name, label: name, kind, bytes: 1, codes: times(n, codesOf), ...more });
  return packed(header, [
    number("kurtosis", 3000, 350, { ranked: true, unranked: "at_starts" }), number("frequency", 3000, 300, { unit: "share", ranked: true }), ...others,
    column("side", "category", () => 1 + Number(random() < 0.4), { categories: ["positive", "negative"] }),
    column("class", "category", () => (random() < 0.2 ? 1 + below(CLASSES.length) : 0), { categories: CLASSES }),
    column("role", "category", some(0.01, 1), { categories: ["prediction"] }),
    column("flags", "flags", () => flags.reduce((code, flag) => code | flag(), 0), { flags: FLAGS.filter((flag) => !SAID.includes(flag)) }),
    column("said", "flags", some(0.01, 1), { flags: SAID }),
    ...someColumns(n).filter(({ kind }) => kind === "token"),
  ]);
}
