// What the explore page begins to load while its other scripts come: the table, and the columns that the address asks for.

import { folderHere } from "../base/address.js";
import { reader } from "../base/loading.js";
import { openColumns } from "./columns.js";
import { parse } from "./query.js";
import { neededToFind } from "./table.js";

export const folder = folderHere();
export const read = reader(folder);

async function begin() {
  const columns = await openColumns(folder, read);
  columns.load(neededToFind(columns.table, parse(location.search, columns.table)));
  return columns;
}

/** The promise of the columns. */
export const beginning = begin();
beginning.catch(() => {}); // the page says it
