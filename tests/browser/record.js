// The record of a neuron, read on its own: what the pages show is held against this.

const lengthsOf = (digits) => digits.match(/z*[0-9a-y]/g)?.map((digit) => 35 * (digit.length - 1) + parseInt(digit.at(-1), 36)) ?? [];

/** Tokens as buffers. */
export function tokensOf({ text, lengths, bytes }) {
  const all = bytes ? Buffer.from(bytes, "base64") : Buffer.from(text);
  let end = 0;
  const tokens = lengthsOf(lengths).map((length) => all.subarray(end, (end += length)));
  if (end !== all.length) throw new Error(`lengths add up to ${end}, not to ${all.length}`);
  return tokens;
}

/** The lists by name, each of whole examples. */
export function listsOf({ lists, examples: columns }) {
  const decoded = (steps, scale) => [...Buffer.from(steps, "base64")].map((byte) => (byte << 24) >> 24).map((step) => (step === -128 ? null : step * scale));
  const largest = (values) => Math.max(...values.map((value) => Math.abs(value ?? 0)));
  const hookOf = (name, row) => {
    const step = columns[`${name}_scale`][row];
    const values = decoded(columns[name][row], step);
    return { values, step, max: columns[`${name}_largest`]?.[row] ?? largest(values) };
  };
  const example = (row, i, duplicates) => {
    const { text, lengths, scale, peak, value, bytes, values: steps } = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column[row]]));
    const values = decoded(steps, scale).with(peak, value);
    const kept = ["gate", "in", "act"].filter((name) => typeof columns[name]?.[row] === "string");
    return {
      rank: i + 1, doc: columns.doc[row], source: columns.sources[columns.source[row]], start: columns.start[row], peak, value, text,
      max: columns.largest?.[row] ?? largest(values), hook_post: columns.hook_post?.[row], duplicates: duplicates?.[i] ?? 0,
      context_starts: columns.context_starts?.[row] ?? [], tokens: tokensOf({ text, lengths, bytes }), values, step: scale, bytes,
      hooks: Object.fromEntries(kept.map((name) => [name, hookOf(name, row)])),
    };
  };
  return Object.fromEntries(Object.entries(lists).map(([name, { rows, duplicates }]) => [name, rows.map((row, i) => example(row, i, duplicates))]));
}

/** The largest magnitude at counted positions, which is the scale of colours. */
export const largest = (lists) => Math.max(...Object.values(lists).flat().map(({ max }) => max));

/** The list of the side that dominates. */
export const mainOf = ({ side }) => (side?.name === "negative" ? "bottom" : "top");

// whole characters of UTF-8 (RFC 3629, section 4), or a byte that is none, in a string of bytes
const CHARACTER = /[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[^]/g;

/** Tokens in cells of whole characters, as `[first, end]`. */
export function cellsOf(tokens) {
  const ends = new Set([...Buffer.concat(tokens).toString("latin1").matchAll(CHARACTER)].map(({ index, 0: bytes }) => index + bytes.length));
  let [end, first] = [0, 0];
  const cells = [];
  tokens.forEach((token, i) => {
    end += token.length;
    if (end > 0 && !ends.has(end)) return;
    cells.push([first, i + 1]);
    first = i + 1;
  });
  return cells;
}

/** The value of a cell: the strongest of its tokens. */
export const strongest = (values) => values.reduce((best, value) => (Math.abs(value ?? 0) > Math.abs(best ?? 0) ? value : best));

/** The shade of a value on a scale. */
export function shadeOf(value, max) {
  const level = Math.round((8 * Math.abs(value ?? 0)) / max);
  return level === 0 ? "" : `${value < 0 ? "n" : "p"}${Math.min(level, 8)}`;
}
