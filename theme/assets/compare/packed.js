// Packed neurons with their pages, for the page that shows two.

import { shownPage } from "../base/address.js";
import { answer } from "../base/loading.js";
import { fill } from "../neuron/fill.js";
import { askModel } from "../read/packed.js";

/** A packed neuron with its page, which is made of its record. */
export async function openPacked(folder, { layer, neuron }) {
  const html = answer(shownPage(folder, layer)).then((response) => response.text());
  const opened = await askModel(folder, (model) => model.neuron(layer, neuron));
  const page = new DOMParser().parseFromString(await html, "text/html");
  fill(page, opened.record, folder);
  return { ...opened, page };
}
