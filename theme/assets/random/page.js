// Goes to a neuron of the model, or of the layer, drawn at random.

import { folderHere, here, neuronPage, siteHere } from "../base/address.js";

const { current: model, models } = siteHere();
const [layers, neurons] = models[model];
const draw = (n) => Math.floor(Math.random() * n);
location.replace(neuronPage(folderHere(), here().layer ?? draw(layers), draw(neurons)));
