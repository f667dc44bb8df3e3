// Loading what the site publishes: each file once, when it is time, and only while the answer counts.

import { FILES, isPacked, packedName } from "./address.js";

/** A file of another build than the page: the site was built again since the page was loaded. */
export class OtherBuild extends Error {}

/** The answer to a request; throws what came instead, such as `404 Not Found`. */
export async function answer(address, options) {
  const response = await fetch(address, options);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`.trim());
  return response;
}

/** Reads a file of a packed model. */
async function readPacked(folder, name) {
  const [response, { dataOf }] = await Promise.all([answer(folder + packedName(name)), import("../read/pack.js")]);
  return dataOf(new Uint8Array(await response.arrayBuffer()));
}

/** Reads files of a model's folder, each once; the `cause` of an error is without the file's name. */
export function reader(folder) {
  const files = new Map();
  const load = async (name) => {
    try {
      return isPacked(folder) && name !== FILES.index ? await readPacked(folder, name) : await (await answer(folder + name)).json();
    } catch (cause) {
      files.delete(name); // to be tried again
      throw new Error(`${name} cannot be loaded: ${cause.message}`, { cause });
    }
  };
  return (name) => files.get(name) ?? files.set(name, load(name)).get(name);
}

/** Puts work off until nobody has asked for it for `delay` ms. */
export function delayed(work, delay) {
  let timer;
  const cancel = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  const begin = () => {
    timer = undefined;
    work();
  };
  return {
    ask() {
      cancel();
      timer = setTimeout(begin, delay);
    },
    cancel,
    isAsked: () => timer !== undefined,
  };
}

/** Turns, of which only the latest counts: each call takes one, and returns what tells whether it is still the latest. */
export function turns() {
  let latest;
  return () => {
    const own = (latest = {});
    return () => own === latest;
  };
}
