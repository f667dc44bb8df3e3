// Where things are: the site as a page says it, the addresses of pages and files, and what is asked for in the page's own. No other
// script spells an address.

/** What the page says of itself: `root`, the way to that of the site, and, where it is about one, the `model`, `layer` and `neuron`. */
export const here = () => document.body.dataset;

let models; // parsed once
/** The site `{models, root, current}`: models by name, each `[layers, neurons per layer, whether its weights are known, whether it has documents, whether it is packed, the layers that were scanned]`, of which what is left out at the end is `true`, then `false`, and then all; `current` is that of the page. */
export function siteHere() {
  const { root, model: current } = here();
  models ??= JSON.parse(document.getElementById("models").textContent);
  return { models, root, current };
}

/** The layers of a model that were scanned, in order. */
export function scannedLayers([n_layers, , , , , scanned]) {
  return scanned ?? Array.from({ length: n_layers }, (_, layer) => layer);
}

/** A model's folder, which most addresses begin with. */
export const folderOf = (root, model) => `${root}${encodeURIComponent(model)}/`;

/** The folder of the model that the page is about. */
export const folderHere = () => folderOf(here().root, here().model);

/** The layer of a neuron and its number there, by its number in the model. */
export const placeOf = (flat, d_mlp) => [Math.floor(flat / d_mlp), flat % d_mlp];

/** Whether the neurons of the model in a folder are packed. */
export function isPacked(folder, site = siteHere()) {
  const [, , , , packed = false] = site.models[decodeURIComponent(folder.split("/").at(-2))] ?? [];
  return packed;
}

// Pages

export const modelPage = (folder, hash = "") => `${folder}index.html${hash}`;
export const layerPage = (folder, layer) => `${folder}${layer}/index.html`;
export const neuronPage = (folder, layer, neuron, hash = "", site = siteHere()) => `${folder}${layer}/${isPacked(folder, site) ? `neuron.html?n=${neuron}` : `${neuron}.html`}${hash}`;
/** The page that shows any neuron of a layer of a packed model. */
export const shownPage = (folder, layer) => `${folder}${layer}/neuron.html`;
export const tokenPage = (folder, id) => `${folder}tokens.html#${id}`;
export const tokensPage = (folder, text) => `${folder}tokens.html?q=${encodeURIComponent(text)}`;
export const searchPage = (folder, text) => `${folder}search.html?q=${encodeURIComponent(text)}`;
export const explorePage = (folder, query) => `${folder}explore.html${query}`;
/** The comparison of two neurons, each spelled as `model/layer/neuron`, from the page for it. */
export const comparison = (...pair) => `?${pair.map((one, i) => `${"ab"[i]}=${one.split("/").map(encodeURIComponent).join("/")}`).join("&")}`;

// Files of a model's folder

const digits = (n, first) => String(first).padStart(n, "0");
export const FILES = {
  index: "index.json",
  layer: (layer) => `${layer}/index.json`,
  explore: "explore.bin.gz",
  exploreIndex: "explore/index.json",
  neuron: (layer, neuron) => `${layer}/${neuron}.json`,
  neurons: (layer, first) => `${layer}/neurons-${digits(6, first)}.gz`,
  hooks: (layer, first) => `${layer}/hooks-${digits(6, first)}.gz`,
  said: (layer) => `${layer}/said.json`,
  starts: "text/documents.json",
  text: (i) => `text/${digits(6, i)}.gz`,
  lines: (first) => `lines/${digits(7, first)}.json`,
  shortLines: (i) => `lines/short-${i}.json`,
  documents: "docs/index.json",
  documentsFrom: (first) => `docs/${digits(6, first)}.json`,
  tokens: "tokens/index.json",
  tokensFrom: (first) => `tokens/${digits(6, first)}.json`,
  tokenNames: (i) => `tokens/names-${i}.json`,
  words: "words/index.json",
  wordsIn: (i) => `words/${i}.json`,
  saidWords: "words/said.json",
  saidWordsIn: (i) => `words/said-${i}.json`,
};

/** The name of a file of a packed model: JSON in gzip, or packed records. */
export const packedName = (name) => (/^tokens\/\d+\.json$/.test(name) ? name.replace(/json$/, "gz") : `${name}.gz`);

// What the address of the page asks for, so that it can be linked

/** Whether it can be changed: browsers forbid it to files. */
export const changeable = () => location.protocol !== "file:";

/** What it asks for under a name; empty if nothing. */
export const asked = (name) => new URLSearchParams(location.search).get(name) ?? "";

/** Makes `search` what it asks for. The history stays as it is. */
export function rewrite(search) {
  if (changeable() && search !== location.search) history.replaceState(history.state, "", `${location.pathname}${search}${location.hash}`);
}

/** Makes it ask for `words`, `{name: text}`; what is empty is left out. */
export function ask(words) {
  const all = new URLSearchParams(location.search);
  for (const [name, text] of Object.entries(words)) {
    all.delete(name);
    if (text !== "") all.set(name, text);
  }
  rewrite(all.size > 0 ? `?${all}` : "");
}
