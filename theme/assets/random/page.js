// Goes to a neuron of the model, or of the layer, drawn at random.

import { folderHere, here, neuronPage, scannedLayers, siteHere } from "../base/address.js";

const { current: model, models } = siteHere();
const [, neurons] = models[model];
const layers = scannedLayers(models[model]);
const draw = (n) => Math.floor(Math.random() * n);
location.replace(neuronPage(folderHere(), here().layer ?? layers[draw(layers.length)], draw(neurons)));
