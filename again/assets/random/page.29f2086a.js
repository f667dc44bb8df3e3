import { folderHere, here, neuronPage, siteHere } from "../base/address.d2b61dda.js";
const { current: model, models } = siteHere();
const [layers, neurons] = models[model];
const draw = (n) => Math.floor(Math.random() * n);
location.replace(neuronPage(folderHere(), here().layer ?? draw(layers), draw(neurons)));
