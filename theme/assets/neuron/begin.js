// What the page of a packed neuron begins to load while its other scripts come: the neuron that the address names.

import { asked, folderHere, here, siteHere } from "../base/address.js";
import { askModel } from "../read/packed.js";

/** The neuron that the address names: `neuron.html?n=5`, or `5.html` where a host answers that with this page. */
function askedNeuron() {
  const own = /\/(\d+)(?:\.html)?$/.exec(location.pathname)?.[1] ?? asked("n");
  return /^\d+$/.test(own) ? Number(own) : undefined;
}

/** Numbers of layers, and of neurons in each. */
export const shape = siteHere().models[here().model];
export const folder = folderHere();
/** Where the neuron is, `{layer, neuron}`; `neuron` is undefined if the address names none. */
export const place = { layer: Number(here().layer), neuron: askedNeuron() };

/** The promise of the neuron, if the layer has it. */
export const beginning = place.neuron < shape[1] ? askModel(folder, (model) => model.neuron(place.layer, place.neuron)) : undefined;
beginning?.catch(() => {}); // the page says it
