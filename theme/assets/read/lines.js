// One line of text about each neuron of a model: its strongest example around the peak, and what was said of it.

import { FILES } from "../base/address.js";

/** Reads the line of a neuron, by its number in the model; `read` reads the files of the model's folder. */
export function linesOf(read) {
  const index = read(FILES.index);
  index.catch(() => {}); // said of the line that is asked for
  /** `[value, before, peak, after, note or explanation if there is one]`, or null for a neuron without examples. */
  return async (flat) => {
    const { lines_per_file } = await read(FILES.index);
    const first = flat - (flat % lines_per_file);
    const { lines } = await read(FILES.lines(first));
    return lines[flat - first];
  };
}
