// Neurons of a packed site: the record of one as its page would embed it, and the text of its examples when it is wanted.

import { FILES, folderHere } from "../base/address.js";
import { answer, OtherBuild } from "../base/loading.js";
import { recordsOf } from "./pack.js";

const LARGEST_STEP = 127;
const NOT_FINITE = -128;
const HOOKS = ["gate", "act", "in"];
const base64Of = (bytes) => btoa(String.fromCharCode(...bytes));
const lossy = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

const files = new Map(); // by address

/** The records of a packed file, which must be of this build. */
export async function recordsFrom(folder, name, build) {
  const read = async (cache) => recordsOf(new Uint8Array(await (await answer(folder + name, { cache })).arrayBuffer()));
  try {
    let found = await read("default");
    if (found.build !== build) found = await read("reload"); // a copy of before, perhaps
    if (found.build !== build) throw new OtherBuild("the site was built again since this page was loaded");
    return found.records;
  } catch (cause) {
    files.delete(folder + name); // to be tried again
    if (cause instanceof OtherBuild) throw cause;
    throw new Error(`${name} cannot be loaded: ${cause.message}`, { cause });
  }
}

function once(folder, name, build) {
  const address = folder + name;
  return files.get(address) ?? files.set(address, recordsFrom(folder, name, build)).get(address);
}

/** The number of six digits that a record has. */
const sixDigits = (value) => Number(value.toPrecision(6));

/** Steps of 127, of which fewer bits may have been kept. */
function stepsOf(kept, bits) {
  const steps = new Int8Array(kept.buffer, kept.byteOffset, kept.length);
  if (bits >= 8) return steps;
  const largest = 2 ** (bits - 1) - 1;
  return steps.map((step) => (step === NOT_FINITE ? step : Math.round((step * LARGEST_STEP) / largest)));
}

/** The examples in columns, as a record has them; what only the text tells is added by `fill`. */
function columnsOf(examples, bits) {
  const columns = { sources: [], doc: [], source: [], start: [], peak: [], value: [], scale: [], text: [], lengths: [], values: [] };
  examples.forEach(({ peak, value, hook_post, scale, values, largest, context_starts, turns, roles, hooks }, row) => {
    columns.peak.push(peak);
    columns.value.push(value);
    if (hook_post !== undefined) (columns.hook_post ??= [])[row] = hook_post;
    columns.scale.push(scale ?? sixDigits(Math.fround(Math.fround(Math.abs(value)) / LARGEST_STEP)));
    columns.values.push(stepsOf(values, bits));
    if (largest !== undefined) (columns.largest ??= {})[row] = largest;
    if (hooks) (columns.hooks ??= [])[row] = true; // not loaded yet
    for (const [name, some] of Object.entries({ context_starts, turns, roles })) if (some !== undefined) (columns[name] ??= {})[row] = some;
  });
  return columns;
}

/** A record as in files: all values are base64, and sources are named in the order of the examples, not in that in which their text came. */
function asJson(record) {
  const spelled = (steps) => (steps === null ? null : base64Of(new Uint8Array(steps.buffer, steps.byteOffset, steps.length)));
  const { hooks: _, ...columns } = record.examples;
  const named = columns.source.map((at) => columns.sources[at]);
  columns.sources = [...new Set(named)];
  columns.source = named.map((source) => columns.sources.indexOf(source));
  for (const name of ["values", ...HOOKS]) {
    if (columns[name]) columns[name] = columns[name].map(spelled);
  }
  return { ...record, examples: columns };
}

/** A length as digits of base 36, of which the last is continued by the next. */
const digitsOf = (length) => "z".repeat(Math.floor(length / 35)) + (length % 35).toString(36);

/** The tokens of a file of text: where each begins among its bytes, and where the last ends. */
function tokensIn(record) {
  if (record.ends) return record;
  const starts = [0];
  let [end, more] = [0, false];
  for (const length of record.lengths) {
    end += length;
    more = length === 255;
    if (!more) starts.push(end);
  }
  return Object.assign(record, { ends: starts });
}

/** A model whose neurons are packed; `packing` is what its index says of that. */
class PackedModel {
  #folder;
  #packing;

  constructor(folder, packing) {
    this.#folder = folder;
    this.#packing = packing;
  }

  #textFile(at) {
    const { build, positions_per_file, n_positions } = this.#packing.text;
    // empty documents at the end of all are in the last file
    const last = Math.max(0, Math.ceil(n_positions / positions_per_file) - 1);
    const file = Math.min(Math.floor(at / positions_per_file), last);
    return once(this.#folder, FILES.text(file), build);
  }

  /**
   * A neuron: its `record` without the text of the examples; `fill`, which adds that of some of them, and `addHooks`, which adds the hooks
   * beside their values; and the `whole` record, as files have it.
   */
  async neuron(layer, neuron) {
    const { build, neurons_per_file, bits } = this.#packing;
    const first = neuron - (neuron % neurons_per_file);
    const records = await once(this.#folder, FILES.neurons(layer, first), build);
    const found = records[neuron - first];
    if (found?.record.layer !== layer || found.record.neuron !== neuron) throw new Error(`${FILES.neurons(layer, first)} does not have neuron ${layer}.${neuron}`);
    const record = { ...found.record, lists: found.lists, examples: columnsOf(found.examples, bits) };
    const fill = (rows) => Promise.all(rows.map((row) => this.#fill(record.examples, row, found.examples[row])));
    const addHooks = async () => {
      const hooks = await once(this.#folder, FILES.hooks(layer, first), build);
      this.#addHooks(record.examples, hooks[neuron - first].examples, bits);
    };
    const whole = async () => {
      await Promise.all([fill([...found.examples.keys()]), ...(found.examples.some((of) => of.hooks) ? [addHooks()] : [])]);
      return asJson(record);
    };
    return { record, fill, addHooks, whole, bits };
  }

  /** Adds what the text tells of an example. */
  async #fill(columns, row, { at }) {
    if (columns.text[row] !== undefined) return;
    const [file] = await this.#textFile(at);
    const { first, documents, text, ends } = tokensIn(file);
    const { doc, at: begin, source } = documents.findLast((document) => document.at <= at);
    columns.doc[row] = doc;
    columns.start[row] = at - begin;
    if (!columns.sources.includes(source)) columns.sources.push(source);
    columns.source[row] = columns.sources.indexOf(source);
    const from = at - first;
    const until = from + columns.values[row].length;
    const bytes = text.subarray(ends[from], ends[until]);
    columns.text[row] = lossy.decode(bytes);
    columns.lengths[row] = ends.slice(from, until).map((start, i) => digitsOf(ends[from + i + 1] - start)).join("");
    try {
      strict.decode(bytes);
    } catch {
      (columns.bytes ??= {})[row] = base64Of(bytes);
    }
  }

  #addHooks(columns, hooks, bits) {
    for (const name of HOOKS) {
      columns[`${name}_scale`] = hooks.map((of) => of?.[name].scale ?? null);
      columns[name] = hooks.map((of) => (of ? stepsOf(of[name].values, bits) : null));
      hooks.forEach((of, row) => {
        if (of?.[name].largest !== undefined) (columns[`${name}_largest`] ??= {})[row] = of[name].largest;
      });
    }
  }

  /** A document, from the files of text; `read` reads the files of the model's folder. */
  async document(read, doc) {
    const { starts } = await read(FILES.starts);
    const begin = starts[doc];
    const [{ documents }] = await this.#textFile(begin);
    const { n_positions, id, source, license } = documents.find((document) => document.doc === doc);
    const { positions_per_file } = this.#packing.text;
    const firsts = [begin];
    for (let next = (Math.floor(begin / positions_per_file) + 1) * positions_per_file; next < begin + n_positions; next += positions_per_file) firsts.push(next);
    const parts = await Promise.all(firsts.map((at) => this.#textFile(at)));
    const tokens = firsts.flatMap((from, i) => {
      const { first, text, ends } = tokensIn(parts[i][0]);
      const until = Math.min(begin + n_positions, firsts[i + 1] ?? Infinity);
      return Array.from({ length: until - from }, (_, n) => text.subarray(ends[from + n - first], ends[from + n + 1 - first]));
    });
    return { doc, id, source, license, tokens };
  }
}

const models = new Map(); // by folder

/** How the page says that its own model is packed. */
function packingHere(folder) {
  const own = document.getElementById("packing");
  return own && folder === folderHere() ? JSON.parse(own.textContent) : undefined;
}

async function openModel(folder, cache) {
  const packing = packingHere(folder) ?? (await (await answer(folder + FILES.index, { cache })).json()).packing;
  return new PackedModel(folder, packing);
}

/** What the packed model in a folder answers; if its index was of another build than its files, what it answers by one that is fetched anew. */
export async function askModel(folder, ask) {
  if (!models.has(folder)) models.set(folder, openModel(folder));
  try {
    return await ask(await models.get(folder));
  } catch (error) {
    models.delete(folder);
    if (!(error instanceof OtherBuild) || packingHere(folder)) throw error;
  }
  return ask(await openModel(folder, "reload"));
}

/** A document of the packed model in a folder, whose files `read` reads. */
export const packedDocument = (folder, read, doc) => askModel(folder, (model) => model.document(read, doc));
