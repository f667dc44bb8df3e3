// The tiny model as the files of the site of pages have it: what any page shows of it, in either layout, is held against this.
import { readFile } from "node:fs/promises";

const folder = `${process.env.SITE}/tiny`;
const read = async (name) => JSON.parse(await readFile(`${folder}/${name}`, "utf8"));

export const model = () => read("index.json");
export const layer = (layer) => read(`${layer}/index.json`);

/** The record of a neuron. */
export async function record(layer, neuron) {
  const page = await readFile(`${folder}/${layer}/${neuron}.html`, "utf8");
  return JSON.parse(/id="neuron">(.*?)<\/script>/s.exec(page)[1]);
}

/** What a neuron is called by its number in the model. */
export async function nameOf(flat) {
  const { d_mlp } = await model();
  return `${Math.floor(flat / d_mlp)}.${flat % d_mlp}`;
}

/** The tokens, each with its neurons, by id. */
export async function tokens() {
  const { n_tokens } = await read("tokens/index.json");
  const all = [];
  while (all.length < n_tokens) all.push(...(await read(`tokens/${String(all.length).padStart(6, "0")}.json`)).tokens);
  return all;
}

/** The neurons that have a word in their examples, the best first, as far as they are listed. */
export async function neuronsWith(word) {
  const { files } = await read("words/index.json");
  for (const i of files.keys()) {
    const entry = (await read(`words/${i}.json`)).words.find(([one]) => one === word);
    if (entry) return Promise.all(entry[2].filter((_, at) => at % 4 === 0).map(nameOf));
  }
  return [];
}
