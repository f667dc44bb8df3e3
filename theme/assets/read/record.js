// The record of a neuron: its text, its values and its bins decoded. The format is described in docs/format.md.

import { FILES } from "../base/address.js";

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const utf8 = new TextEncoder();
const LONGEST = 35; // digit of a length that the next digit continues
const NOT_FINITE = -128;
const LARGEST_STEP = 127;

/** The record that a page embeds. */
export const recordIn = (page) => JSON.parse(page.getElementById("neuron").textContent);

/** Tokens as their bytes, of a text or, where that cannot hold them, of base64. */
export function tokensOf({ text, lengths, bytes }) {
  const all = bytes === undefined ? utf8.encode(text) : bytesOf(bytes);
  const tokens = [];
  let [start, end] = [0, 0];
  for (const digit of lengths) {
    const length = parseInt(digit, 36);
    end += length;
    if (length === LONGEST) continue;
    tokens.push(all.subarray(start, end));
    start = end;
  }
  return tokens;
}

/** Values of steps, which are bytes in base64, or numbers where they were packed. */
function valuesOf(steps, scale) {
  const numbers = typeof steps === "string" ? new Int8Array(bytesOf(steps).buffer) : steps;
  return Array.from(numbers, (step) => (step === NOT_FINITE ? null : step * scale));
}

const largest = (values) => values.reduce((max, value) => Math.max(max, Math.abs(value ?? 0)), 0);

/** The examples of a record, whose values have so many `bits`, with `max`, which the scale of colours reaches. Tokens are decoded when they are asked for. */
export class Examples {
  #columns;
  #lists;
  #tokens = [];
  #largest = {};
  #steps; // of a window's scale from one value that can be told apart to the next

  constructor({ examples, lists, scale_max }, bits = 8) {
    this.#columns = examples;
    this.#lists = lists;
    this.#steps = LARGEST_STEP / (2 ** (bits - 1) - 1);
    this.all = examples.value.map((_, row) => this.#example(row));
    this.max = scale_max;
  }

  #example(row) {
    const { sources, source, doc, start, peak, value, hook_post, scale, values, context_starts, turns, roles, hooks, largest: known } = this.#columns;
    const decoded = valuesOf(values[row], scale[row]);
    decoded[peak[row]] = value[row];
    return {
      row, doc: doc[row], source: sources?.[source[row]], start: start[row], peak: peak[row], value: value[row], hook_post: hook_post?.[row],
      values: decoded, step: scale[row] * this.#steps, max: known?.[row] ?? largest(decoded), context_starts: context_starts?.[row] ?? [],
      turns: turns?.[row] ?? [], roles: roles?.[row] ?? [], hooks: hooks?.[row] ?? false,
    };
  }

  /** Takes what has come to some rows of the record, and to its hooks. */
  update(rows) {
    this.#largest = {};
    for (const row of rows) this.all[row] = this.#example(row);
  }

  /** Names of the lists that have examples; of a packed neuron all of a list may be left out. */
  get names() {
    return Object.keys(this.#lists).filter((name) => this.#lists[name].rows.length > 0);
  }

  /** The examples of a list, best first; `duplicates` other documents peak on the same context. */
  list(name) {
    const { rows, duplicates } = this.#lists[name] ?? { rows: [] };
    return rows.map((row, i) => ({ ...this.all[row], list: name, rank: i + 1, duplicates: duplicates?.[i] ?? 0 }));
  }

  /** How many examples of a list the atlas has. */
  numberOf(name) {
    const { rows, of } = this.#lists[name] ?? { rows: [] };
    return of ?? rows.length;
  }

  /** A hook beside the values of an example: its own values, the `step` that they are known to, and `max`, which colours reach. `undefined` where it was not kept. */
  hook(name, { row }) {
    const [steps, step] = [this.#columns[name]?.[row], this.#columns[`${name}_scale`]?.[row]];
    if (!steps) return undefined;
    const values = valuesOf(steps, step);
    return { values, step: step * this.#steps, max: this.#columns[`${name}_largest`]?.[row] ?? largest(values) };
  }

  /** What the colours of a hook reach in all examples, or those of the values themselves without a name. */
  maxOf(name) {
    if (!name) return this.max;
    return (this.#largest[name] ??= largest(this.all.map((example) => this.hook(name, example)?.max ?? 0)));
  }

  /** The text of an example. */
  text({ row }) {
    return this.#columns.text[row];
  }

  /** The tokens of an example, as bytes. */
  tokens({ row }) {
    const { text, lengths, bytes } = this.#columns;
    return (this.#tokens[row] ??= tokensOf({ text: text[row], lengths: lengths[row], bytes: bytes?.[row] }));
  }
}

/** Where bin `i` of the 256 of a histogram begins, as in src/stats/histogram.rs: four an octave on each side of zero. */
export function edge(i) {
  const magnitude = Math.abs(i - 128);
  if (magnitude === 0) return 0;
  const code = magnitude - 1;
  const size = magnitude === 128 ? Infinity : (1 + (code % 4) / 4) * 2 ** (Math.floor(code / 4) - 16);
  return i < 128 ? -size : size;
}

/** The neuron whose record a page embeds. */
export const embedded = (page) => ({ record: recordIn(page) });

/** A document of the corpus, with `tokens`; `read` reads the files of its model's folder. */
export async function documentOf(read, doc) {
  const { starts } = await read(FILES.documents);
  const first = starts.findLast((start) => start <= doc);
  const { documents } = await read(FILES.documentsFrom(first));
  const found = documents[doc - first];
  return { ...found, tokens: tokensOf(found) };
}
