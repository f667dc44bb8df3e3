// One line of text about each neuron of a model: its strongest example around the peak, what was said of it, and what was made of that.

import { FILES } from "../base/address.js";
import { element } from "../base/dom.js";
import { number, visible } from "./tokens.js";

/** Reads the line of a neuron, by its number in the model; `read` reads the files of the model's folder. */
export function linesOf(read) {
  const index = read(FILES.index);
  index.catch(() => {}); // said of the line that is asked for
  /** `[value, before, peak, after, note or explanation, what was made without a model]`, the last two if there are any, or null for a neuron without examples. */
  return async (flat) => {
    const { lines_per_file } = await read(FILES.index);
    const first = flat - (flat % lines_per_file);
    const { lines } = await read(FILES.lines(first));
    return lines[flat - first];
  };
}

/** Reads a few words on a neuron, by its number in the model; of all neurons, they are in at most four files. */
export function shortLinesOf(read) {
  return async (flat) => {
    const { short_lines_per_file: perFile } = await read(FILES.index);
    const { lines } = await read(FILES.shortLines(Math.floor(flat / perFile)));
    return lines[flat % perFile] ?? "";
  };
}

/** What there is to say of a neuron in a tip: what it does, or else what its first example peaks on. `coming` is the promise of its line. */
export async function aboutNeuron(coming) {
  const line = await coming.catch(() => null); // a tip that cannot be loaded is none
  const does = doesOf(line);
  return does.length > 0 ? [element("span", {}, ...does)] : line ? [`${number(line[0])} on “${visible(line[2])}”`] : [];
}

/** What a neuron does, by its line: what was said of it, or else what was made of its examples and weights, marked as that. */
export function doesOf(line) {
  const [, , , , said, automatic] = line ?? [];
  if (said) return [element("bdi", {}, visible(said))];
  return automatic ? [element("bdi", {}, visible(automatic)), " ", element("small", { class: "automatic" }, "automatic")] : [];
}
