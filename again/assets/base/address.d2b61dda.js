export const here = () => document.body.dataset;
let models; // parsed once
export function siteHere() {
const { root, model: current } = here();
models ??= JSON.parse(document.getElementById("models").textContent);
return { models, root, current };
}
export const folderOf = (root, model) => `${root}${encodeURIComponent(model)}/`;
export const folderHere = () => folderOf(here().root, here().model);
export const placeOf = (flat, d_mlp) => [Math.floor(flat / d_mlp), flat % d_mlp];
export function isPacked(folder, site = siteHere()) {
const [, , , , packed = false] = site.models[decodeURIComponent(folder.split("/").at(-2))] ?? [];
return packed;
}
export const modelPage = (folder, hash = "") => `${folder}index.html${hash}`;
export const layerPage = (folder, layer) => `${folder}${layer}/index.html`;
export const neuronPage = (folder, layer, neuron, hash = "", site = siteHere()) => `${folder}${layer}/${isPacked(folder, site) ? `neuron.html?n=${neuron}` : `${neuron}.html`}${hash}`;
export const shownPage = (folder, layer) => `${folder}${layer}/neuron.html`;
export const tokenPage = (folder, id) => `${folder}tokens.html#${id}`;
export const tokensPage = (folder, text) => `${folder}tokens.html?q=${encodeURIComponent(text)}`;
export const searchPage = (folder, text) => `${folder}search.html?q=${encodeURIComponent(text)}`;
export const explorePage = (folder, query) => `${folder}explore.html${query}`;
export const comparison = (...pair) => `?${pair.map((one, i) => `${"ab"[i]}=${one.split("/").map(encodeURIComponent).join("/")}`).join("&")}`;
const digits = (n, first) => String(first).padStart(n, "0");
export const FILES = {
index: "index.json",
layer: (layer) => `${layer}/index.json`,
explore: "explore.bin.gz",
neuron: (layer, neuron) => `${layer}/${neuron}.json`,
neurons: (layer, first) => `${layer}/neurons-${digits(6, first)}.gz`,
hooks: (layer, first) => `${layer}/hooks-${digits(6, first)}.gz`,
said: (layer) => `${layer}/said.json`,
starts: "text/documents.json",
text: (i) => `text/${digits(6, i)}.gz`,
lines: (first) => `lines/${digits(7, first)}.json`,
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
export const packedName = (name) => (/^tokens\/\d+\.json$/.test(name) ? name.replace(/json$/, "gz") : `${name}.gz`);
export const changeable = () => location.protocol !== "file:";
export const asked = (name) => new URLSearchParams(location.search).get(name) ?? "";
export function rewrite(search) {
if (changeable() && search !== location.search) history.replaceState(history.state, "", `${location.pathname}${search}${location.hash}`);
}
export function ask(words) {
const all = new URLSearchParams(location.search);
for (const [name, text] of Object.entries(words)) {
all.delete(name);
if (text !== "") all.set(name, text);
}
rewrite(all.size > 0 ? `?${all}` : "");
}
