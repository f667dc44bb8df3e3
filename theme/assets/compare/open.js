// Neurons with their pages, for the page that shows two.

import { FILES, isPacked, neuronPage, shownPage } from "../base/address.js";
import { answer } from "../base/loading.js";
import { fill } from "../neuron/fill.js";
import { openModel } from "../read/packed.js";
import { embedded } from "../read/record.js";

/** A neuron of a packed model; its page is made of its record. */
async function openShown(folder, { layer, neuron }) {
  const [model, html] = await Promise.all([openModel(folder), answer(shownPage(folder, layer)).then((response) => response.text())]);
  const page = new DOMParser().parseFromString(html, "text/html");
  const opened = await model.neuron(layer, neuron);
  fill(page, opened.record, folder);
  return { ...opened, page };
}

/** A neuron with its page; where it has no record, that beside it is read. */
export async function openNeuron(folder, { layer, neuron }) {
  if (isPacked(folder)) return openShown(folder, { layer, neuron });
  const html = await (await answer(neuronPage(folder, layer, neuron))).text();
  const page = new DOMParser().parseFromString(html, "text/html");
  const opened = page.getElementById("neuron") ? embedded(page) : { record: await (await answer(folder + FILES.neuron(layer, neuron))).json() };
  return { ...opened, page };
}
