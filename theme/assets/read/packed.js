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
async function load(folder, name, build) {
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
  return files.get(address) ?? files.set(address, load(folder, name, build)).get(address);
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
  examples.forEach(({ peak, value, hook_post, scale, values, largest, context_starts, hooks }, row) => {
    columns.peak.push(peak);
    columns.value.push(value);
    if (hook_post !== undefined) (columns.hook_post ??= [])[row] = hook_post;
    columns.scale.push(scale ?? sixDigits(Math.fround(Math.abs(value) / LARGEST_STEP)));
    columns.values.push(stepsOf(values, bits));
    if (largest !== undefined) (columns.largest ??= {})[row] = largest;
    if (hooks) (columns.hooks ??= [])[row] = true; // not loaded yet
    if (context_starts !== undefined) (columns.context_starts ??= {})[row] = context_starts;
  });
  return columns;
}

/** A record in which all values are base64, as in files. */
function asJson(record) {
  const spelled = (steps) => (steps === null ? null : base64Of(new Uint8Array(steps.buffer, steps.byteOffset, steps.length)));
  const { hooks: _, ...columns } = record.examples;
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
    const { build, positions_per_file } = this.#packing.text;
    const file = Math.floor(at / positions_per_file);
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
    let [file] = await this.#textFile(starts[doc]);
    const { at, n_positions, id, source, license } = file.documents.find((document) => document.doc === doc);
    const tokens = [];
    const { positions_per_file } = this.#packing.text;
    for (let next = at; next < at + n_positions;) {
      [file] = await this.#textFile(next);
      const { first, text, ends } = tokensIn(file);
      const end = Math.min(at + n_positions, (Math.floor(next / positions_per_file) + 1) * positions_per_file);
      for (; next < end; next += 1) tokens.push(text.subarray(ends[next - first], ends[next - first + 1]));
    }
    return { doc, id, source, license, tokens };
  }
}

/** How the model in a folder is packed: as the page says, or else its index. */
async function packingOf(folder) {
  const own = document.getElementById("packing");
  if (own && folder === folderHere()) return JSON.parse(own.textContent);
  return (await (await answer(folder + FILES.index)).json()).packing;
}

/** Opens the packed model in a folder. */
export async function openModel(folder) {
  return new PackedModel(folder, await packingOf(folder));
}

/** A document of the packed model in a folder, whose files `read` reads. */
export async function packedDocument(folder, read, doc) {
  return (await openModel(folder)).document(read, doc);
}
