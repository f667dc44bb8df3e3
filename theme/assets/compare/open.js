// Neurons with their pages, for the page that shows two.

import { FILES, isPacked, neuronPage } from "../base/address.js";
import { answer } from "../base/loading.js";
import { embedded } from "../read/record.js";

/** A neuron with its page; where it has no record, that beside it is read. */
export async function openNeuron(folder, { layer, neuron }) {
  if (isPacked(folder)) return (await import("./packed.js")).openPacked(folder, { layer, neuron });
  const html = await (await answer(neuronPage(folder, layer, neuron))).text();
  const page = new DOMParser().parseFromString(html, "text/html");
  const opened = page.getElementById("neuron") ? embedded(page) : { record: await (await answer(folder + FILES.neuron(layer, neuron))).json() };
  return { ...opened, page };
}
