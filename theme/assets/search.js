// The search: what a text asks for, and what the files of a model in words/, lines/ and tokens/ answer.

import { words } from "./fold.js";
import { LinesCache } from "./rows.js";
import { count, findTokens, loader, parseQuery } from "./tokensearch.js";

const OF_NEURON = 4; // numbers in the list of a word
const MOST_FILES = 2; // of words, that one query loads
const ENOUGH = 100; // words with one beginning

// Places: pages that a text names. A site is `{models: {name: [layers, neurons per layer, has tokens]}, root, current}`,
// current being the model that the reader is at, if any.

const ADDRESS = /^\s*(?:(\S+?)([\s/:]+))?[lL]?(\d+)\s*[./,nN\s]\s*[nN]?(\d+)\s*$/;
const LAYER = /^\s*(?:(\S+?)[\s/:]+)?layer\s*(\d+)\s*$/i;

const namesOf = ({ models }) => Object.keys(models);
const has = ({ models }, name) => Object.hasOwn(models, name);
const own = (site) => site.current ?? namesOf(site)[0];

/** The folder of a model. */
export const folderOf = (site, model) => `${site.root}${encodeURIComponent(model)}/`;

/** Where `5.220`, `model/5.220` or `L5N220` leads, or what is wrong with it; nothing if it is no address. */
export function neuronAt(site, text) {
  const [, name, between, ...numbers] = ADDRESS.exec(text) ?? [];
  // a word before numbers is a word, unless it is the name of a model
  if (numbers.length === 0 || (name && !has(site, name) && between.trim() === "")) return undefined;
  const model = name ?? own(site);
  if (!has(site, model)) return { error: `there is no model ${model}` };
  const [layers, neurons] = site.models[model];
  const [layer, neuron] = numbers.map(Number);
  if (layer >= layers) return { error: `${model} has layers 0 to ${layers - 1}` };
  if (neuron >= neurons) return { error: `layers of ${model} have neurons 0 to ${neurons - 1}` };
  return { model, label: `${layer}.${neuron}`, href: `${folderOf(site, model)}${layer}/${neuron}.html` };
}

function layerAt(site, text) {
  const [, model = own(site), number] = LAYER.exec(text) ?? [];
  if (number === undefined || !has(site, model) || Number(number) >= site.models[model][0]) return undefined;
  return { model, label: `Layer ${Number(number)}`, href: `${folderOf(site, model)}${Number(number)}/index.html` };
}

/** The pages that a text names: a neuron, a layer, models. */
export function placesAt(site, text) {
  const begins = text.trim().toLowerCase();
  const models = begins === "" ? [] : namesOf(site).filter((name) => name.toLowerCase().startsWith(begins));
  const places = [neuronAt(site, text), layerAt(site, text), ...models.map((name) => ({ label: name, href: `${folderOf(site, name)}index.html` }))];
  return places.filter((place) => place?.href);
}

/** The model that is searched, and for what: that of the page, unless the text begins with the name of another. */
export function aim(site, text) {
  const begun = text.trimStart();
  const rest = (name) => (begun.startsWith(name) ? /^[\s/:](.*\S.*)$/s.exec(begun.slice(name.length))?.[1] : undefined);
  const model = namesOf(site).find((name) => name !== site.current && rest(name));
  return model === undefined ? { model: own(site), text } : { model, text: rest(model) };
}

// Words: the files that have them, and the neurons with them.

/** The number of the file that has a word, if any has. `firsts` are the first words of the files. */
export const fileOf = (firsts, word) => firsts.findLastIndex((first) => first <= word);

/** The numbers of the files that can have words with a beginning. */
export function filesOfBeginning(firsts, beginning) {
  const last = firsts.findLastIndex((first) => first <= beginning || first.startsWith(beginning));
  const from = Math.max(0, fileOf(firsts, beginning));
  return Array.from({ length: last + 1 - from }, (_, i) => from + i);
}

/** The words that are looked up where the files of all are too many: the longest, which the fewest neurons have. */
export function choose(asked, firsts, most = MOST_FILES) {
  const files = new Set();
  const fits = (word) => (files.size < most || files.has(fileOf(firsts, word))) && files.add(fileOf(firsts, word));
  const chosen = new Set([...asked].sort((a, b) => b.length - a.length).filter(fits));
  return { chosen: asked.filter((word) => chosen.has(word)), left: asked.filter((word) => !chosen.has(word)) };
}

const better = (a, b) => b.fires - a.fires || b.holds - a.holds || a.flat - b.flat;

/** The neurons with any of some words, which are entries of words files. */
export function anyOf(entries) {
  const neurons = new Map();
  for (const [, , list] of entries) {
    for (let i = 0; i < list.length; i += OF_NEURON) {
      const [flat, fires, holds, first] = list.slice(i, i + OF_NEURON);
      const [now, before] = [{ flat, fires, holds, first }, neurons.get(flat)];
      if (!before || better(now, before) < 0) neurons.set(flat, now);
    }
  }
  const notes = new Set(entries.flatMap(([, , , notes = []]) => notes));
  const cut = entries.some(([, n, list]) => n > list.length / OF_NEURON);
  return { neurons, notes, cut, n: entries.length === 1 ? entries[0][1] : neurons.size };
}

/** The neurons that are in all of some answers of `anyOf`, best first. */
export function allOf(sets) {
  const [first, ...others] = sets;
  const sum = (flat, what) => sets.reduce((sum, { neurons }) => sum + neurons.get(flat)[what], 0);
  const common = [...first.neurons.keys()].filter((flat) => others.every(({ neurons }) => neurons.has(flat)));
  const neurons = common.map((flat) => ({ flat, fires: sum(flat, "fires"), holds: sum(flat, "holds"), first: first.neurons.get(flat).first }));
  const notes = [...first.notes].filter((flat) => others.every(({ notes }) => notes.has(flat)));
  return { neurons: neurons.sort(better), notes: notes.sort((a, b) => a - b) };
}

/** The entry of a word, or, where there is none and its beginning will do, those of the words that begin with it. */
async function lookUp(load, firsts, word, most) {
  const read = async (file) => (file < 0 ? [] : (await load(`words/${file}.json`)).words);
  const exact = (await read(fileOf(firsts, word))).find(([text]) => text === word);
  if (exact || most === 0) return { word, exact: true, entries: exact ? [exact] : [], all: true };
  const files = filesOfBeginning(firsts, word);
  const entries = [];
  let done = 0;
  while (done < Math.min(most, files.length) && entries.length < ENOUGH) {
    entries.push(...(await read(files[done++])).filter(([text]) => text.startsWith(word)));
  }
  return { word, exact: false, entries, all: done === files.length };
}

const NOTHING = { found: [], left: [], neurons: [], notes: [], n: 0 };

/** The neurons that have all words of a text in their examples, best first, and those that have them in a note or an explanation. */
export async function findNeurons(load, text) {
  const asked = [...new Set(words(text))];
  if (asked.length === 0) return NOTHING;
  const { files, most, most_said } = await load("words/index.json");
  const { chosen, left } = choose(asked, files);
  // the last may be in the middle of being typed
  const beginnings = (word) => (word !== asked.at(-1) ? 0 : chosen.length === 1 ? MOST_FILES : 1);
  const found = await Promise.all(chosen.map((word) => lookUp(load, files, word, beginnings(word))));
  const sets = found.map(({ entries }) => anyOf(entries));
  const { neurons, notes } = allOf(sets);
  const some = sets.some(({ cut }) => cut) || found.some(({ all }) => !all);
  const someNotes = found.some(({ entries }) => entries.some(([, , , said = []]) => said.length >= most_said));
  return { found, left, most, some, someNotes, neurons, notes, n: sets.length === 1 ? sets[0].n : neurons.length };
}

/** Where on a neuron's page the first example with a word is. */
export const hashOf = (first) => `#${first > 0 ? "top" : "bottom"}-${Math.abs(first)}`;

const quoted = (word) => `“${word.normalize("NFC")}”`;

/** What is to be said of an answer of `findNeurons`, of which `shown` are. */
export function summaryOfWords({ found, left, most, some, neurons, n }, shown) {
  if (found.length === 0) return "";
  const counted = found.length === 1 && found[0].exact; // by the index itself
  const of = found.map(({ word, exact }) => `${exact ? "" : "a word that begins with "}${quoted(word)}`).join(" and ");
  const begun = found.flatMap(({ exact, entries }) => (exact ? [] : entries.map(([word]) => word.normalize("NFC"))));
  const examples = begun.length > 0 ? `: ${begun.slice(0, 5).join(", ")}${begun.length > 5 ? " …" : ""}` : "";
  const atLeast = some && !counted && n > 0 ? "At least " : "";
  const who = n === 0 ? "No neuron has" : `${count(n)} ${n === 1 ? "neuron has" : "neurons have"}`;
  const says = [`${atLeast}${who} ${of} in ${n > 1 ? "their" : "its"} examples${examples}`];
  if (some && !counted) says.push(`only the best ${most} neurons of each word are searched`);
  const visible = Math.min(shown, neurons.length);
  if (visible < n) says.push(`the best ${visible} are shown`);
  if (left.length > 0) says.push(`left out, since the longest words are looked up: ${left.map(quoted).join(", ")}`);
  return says.join("; ");
}

// All together.

async function tokensFor(load, query, shown) {
  if (query.id === undefined) return findTokens(load, query, { shown, mostFiles: 1 });
  const { n_tokens } = await load("tokens/index.json");
  return query.id < n_tokens ? { tokens: [[query.id]], n: 1 } : { tokens: [], n: 0 };
}

const folders = new Map();

/** A model's folder, whose files are loaded once. */
function open(folder) {
  if (!folders.has(folder)) folders.set(folder, { folder, load: loader(folder), lines: new LinesCache(`${folder}lines/`) });
  return folders.get(folder);
}

/** What a text finds in a model, apart from places. What cannot be loaded is an error of its group. */
export async function find(site, model, text, shownTokens) {
  const { folder, load, lines } = open(folderOf(site, model));
  const query = parseQuery(text);
  const [, d_mlp, hasTokens] = site.models[model];
  const [tokens, found] = await Promise.all([
    hasTokens ? tokensFor(load, query, shownTokens).catch((error) => ({ tokens: [], n: 0, error })) : { tokens: [], n: 0 },
    findNeurons(load, query.text ?? "").catch((error) => ({ ...NOTHING, error })),
  ]);
  return { query, tokens, ...found, folder, d_mlp, lines };
}
