// What a text names: a neuron, a layer, a model. A `site` is as base/address.js has it.

import { folderOf, layerPage, modelPage, neuronPage, scannedLayers } from "../base/address.js";

const NEURON = /^\s*(?:(\S+?)([\s/:]+))?[lL]?(\d+)\s*[./,nN\s]\s*[nN]?(\d+)\s*$/;
const LAYER = /^\s*(?:(\S+?)[\s/:]+)?layer\s*(\d+)\s*$/i;

const namesOf = ({ models }) => Object.keys(models);
const has = ({ models }, name) => Object.hasOwn(models, name);
const own = (site) => site.current ?? namesOf(site)[0];

/** `5.220`, `model/5/220` or `L5N220` as `{model, layer, neuron}`, the model being that of the page where none is named; nothing if it is not a neuron. */
export function parseNeuron(site, text) {
  const [, name, between, ...numbers] = NEURON.exec(text) ?? [];
  // a word before numbers is a word, unless it is the name of a model
  if (numbers.length === 0 || (name && !has(site, name) && between.trim() === "")) return undefined;
  const [layer, neuron] = numbers.map(Number);
  return { model: name ?? own(site), layer, neuron };
}

/** What is wrong with a neuron that the site does not have. */
export function faultOf(site, { model, layer, neuron }) {
  if (!has(site, model)) return `there is no model ${model}`;
  const [layers, neurons] = site.models[model];
  if (layer >= layers) return `${model} has layers 0 to ${layers - 1}`;
  if (!scannedLayers(site.models[model]).includes(layer)) return `layer ${layer} of ${model} was not scanned`;
  return neuron >= neurons ? `layers of ${model} have neurons 0 to ${neurons - 1}` : undefined;
}

/** Where a neuron leads, `{model, label, href}`, or what is wrong with it, `{error}`; nothing if the text is not a neuron. */
export function neuronAt(site, text) {
  const named = parseNeuron(site, text);
  if (named === undefined) return undefined;
  const error = faultOf(site, named);
  if (error) return { error };
  const { model, layer, neuron } = named;
  return { model, label: `${layer}.${neuron}`, href: neuronPage(folderOf(site.root, model), layer, neuron, "", site) };
}

function layerAt(site, text) {
  const [, model = own(site), number] = LAYER.exec(text) ?? [];
  if (number === undefined || !has(site, model) || Number(number) >= site.models[model][0]) return undefined;
  return { model, label: `Layer ${Number(number)}`, href: layerPage(folderOf(site.root, model), Number(number)) };
}

/** The pages that a text names: a neuron, a layer, models. */
export function placesAt(site, text) {
  const begins = text.trim().toLowerCase();
  const models = begins === "" ? [] : namesOf(site).filter((name) => name.toLowerCase().startsWith(begins));
  const places = [neuronAt(site, text), layerAt(site, text), ...models.map((name) => ({ label: name, href: modelPage(folderOf(site.root, name)) }))];
  return places.filter((place) => place?.href);
}

/** The model that is searched, and for what: that of the page, unless the text begins with the name of another. */
export function aim(site, text) {
  const begun = text.trimStart();
  const rest = (name) => (begun.startsWith(name) ? /^[\s/:](.*\S.*)$/s.exec(begun.slice(name.length))?.[1] : undefined);
  const model = namesOf(site).find((name) => name !== site.current && rest(name));
  return model === undefined ? { model: own(site), text } : { model, text: rest(model) };
}
