// Goes to a neuron of the model, or of the layer, drawn at random.

import { folderOf, here, neuronPage, siteHere } from "../base/address.js";

const { root, current: model, models } = siteHere();
const [layers, neurons] = models[model];
const draw = (n) => Math.floor(Math.random() * n);
location.replace(neuronPage(folderOf(root, model), here().layer ?? draw(layers), draw(neurons)));
