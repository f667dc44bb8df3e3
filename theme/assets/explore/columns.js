// The table of a model's neurons from its files: one with all columns, or, where neurons are packed, one for each column, which is loaded
// when it is used.

import { FILES, isPacked, packedName } from "../base/address.js";
import { answer, OtherBuild } from "../base/loading.js";
import { joined, parseTable, tableOf } from "./table.js";

const SCHEMA = "neuroscope/explore-index/v1";

/** The columns of a table, each loaded once; what cannot be loaded is kept for the reader. */
class Columns {
  #load;
  #coming = new Map(); // promises, by file

  /** `load(column, part)` answers what to add to a column for its `codes` or `order`, where that is not there. */
  constructor(table, load) {
    this.table = table;
    this.#load = load;
    this.problems = new Map(); // errors, by the label of the column
  }

  /** Whether something of a list of needs, pairs of a column and `codes` or `order`, is yet to come. */
  isWaiting(needs) {
    return needs.some(([column, part]) => column[part] === undefined && column.files?.[part] && !this.problems.has(column.label));
  }

  /** Loads what is needed and not there; done when all of it has come, or cannot. */
  async load(needs) {
    await Promise.all(needs.map(([column, part]) => column[part] ?? this.#once(column, part)));
  }

  /** Whether the site was built again since the header was loaded. */
  get isOutdated() {
    return [...this.problems.values()].some((error) => error instanceof OtherBuild);
  }

  /** Forgets what could not be loaded, so that it is tried again. */
  retry() {
    this.problems.clear();
  }

  #once(column, part) {
    const file = column.files?.[part]?.file;
    if (!file || this.problems.has(column.label)) return undefined;
    if (!this.#coming.has(file)) this.#coming.set(file, this.#read(column, part).finally(() => this.#coming.delete(file)));
    return this.#coming.get(file);
  }

  async #read(column, part) {
    try {
      Object.assign(column, await this.#load(column, part));
    } catch (error) {
      this.problems.set(column.label, error.cause ?? error);
    }
  }
}

/** The table in a folder, and what loads its columns; `read` reads the JSON of the folder. */
export async function openColumns(folder, read) {
  if (isPacked(folder)) return packedColumns(folder, read);
  const [file, { unpacked }] = await Promise.all([answer(folder + FILES.explore), import("../read/pack.js")]);
  return new Columns(parseTable(await unpacked(new Uint8Array(await file.arrayBuffer()))));
}

async function packedColumns(folder, read) {
  const coming = import("../read/packed.js");
  const header = await read(FILES.exploreIndex).catch(({ cause }) => Promise.reject(cause));
  if (header.schema !== SCHEMA) throw new Error(`its schema is ${header.schema}, not ${SCHEMA}`);
  const { recordsFrom } = await coming;
  const columns = header.columns.map(({ order, ...column }) => ({ ...column, files: { codes: column, order } }));
  return new Columns(tableOf(header, columns), async ({ files }, part) => {
    const { file, bytes } = files[part];
    const [{ codes, ...more }] = await recordsFrom(folder, file, header.build).catch((error) => afresh(folder, error));
    if (codes.length !== bytes * header.n_neurons) throw new Error("it is damaged or cut off");
    return { [part]: joined(codes, header.n_neurons, bytes), ...more };
  });
}

/** Throws an error; if the site was built again, the browser keeps its new header by then, which the page finds when it is loaded again. */
async function afresh(folder, error) {
  if (error instanceof OtherBuild) await answer(folder + packedName(FILES.exploreIndex), { cache: "reload" }).catch(() => {});
  throw error;
}
