// The search: what the files of a model in words/, lines/ and tokens/ answer to a text.

import { FILES, folderOf } from "../base/address.js";
import { reader } from "../base/loading.js";
import { words } from "../read/fold.js";
import { linesOf } from "../read/lines.js";
import { count } from "../read/tokens.js";
import { findTokens, parseQuery } from "../read/tokensearch.js";

const OF_NEURON = 4; // numbers in the list of a word
const MOST_FILES = 2; // of words, that one query loads
const ENOUGH = 100; // words with one beginning

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

/** The neurons with any of some words, by their entries. */
export function anyOf(entries) {
  const neurons = new Map();
  for (const [, , list] of entries) {
    for (let i = 0; i < list.length; i += OF_NEURON) {
      const [flat, fires, holds, first] = list.slice(i, i + OF_NEURON);
      const [now, before] = [{ flat, fires, holds, first }, neurons.get(flat)];
      if (!before || better(now, before) < 0) neurons.set(flat, now);
    }
  }
  const notes = new Set(entries.flatMap(([, , , notes]) => notes));
  const cut = entries.some(([, n, list]) => n > list.length / OF_NEURON);
  return { neurons, notes, cut, n: entries.length === 1 ? entries[0][1] : neurons.size };
}

/** The neurons that are in all of some answers of `anyOf`, best first. */
export function allOf(sets) {
  const [first, ...others] = sets;
  const sum = (flat, what) => sets.reduce((total, set) => total + set.neurons.get(flat)[what], 0);
  const common = [...first.neurons.keys()].filter((flat) => others.every((set) => set.neurons.has(flat)));
  const neurons = common.map((flat) => ({ flat, fires: sum(flat, "fires"), holds: sum(flat, "holds"), first: first.neurons.get(flat).first }));
  const notes = [...first.notes].filter((flat) => others.every((set) => set.notes.has(flat)));
  return { neurons: neurons.sort(better), notes: notes.sort((a, b) => a - b) };
}

/** The entry of a word in some files, whose first words are `firsts`. */
async function entryOf(wordsIn, firsts, word) {
  const file = fileOf(firsts, word);
  return file < 0 ? undefined : (await wordsIn(file)).find(([text]) => text === word);
}

/** The entries of the words that begin with a text, and whether these are all. */
async function entriesOfBeginning(wordsIn, firsts, beginning, most) {
  const files = filesOfBeginning(firsts, beginning);
  const entries = [];
  let done = 0;
  while (done < Math.min(most, files.length) && entries.length < ENOUGH) {
    entries.push(...(await wordsIn(files[done++])).filter(([text]) => text.startsWith(beginning)));
  }
  return { entries, all: done === files.length };
}

/** Entries of words of examples, `[word, number of neurons, neurons]`, with the neurons of which something is said with the word, `[word, neurons]`, behind. */
function together(examples, said) {
  const notes = new Map(said);
  const only = said.filter(([word]) => !examples.some(([other]) => other === word));
  return [...examples.map(([word, ...of]) => [word, ...of, notes.get(word) ?? []]), ...only.map(([word, of]) => [word, 0, [], of])];
}

/** The entry of a word, or, where there is none and its beginning will do, those of the words that begin with it. */
async function lookUp(kinds, word, most) {
  const found = await Promise.all(kinds.map(({ wordsIn, files }) => entryOf(wordsIn, files, word)));
  const [examples, said] = found.map((entry) => (entry ? [entry] : []));
  const exact = together(examples, said);
  if (exact.length > 0 || most === 0) return { word, exact: true, entries: exact, all: true };
  const [begun, noted] = await Promise.all(kinds.map(({ wordsIn, files }) => entriesOfBeginning(wordsIn, files, word, most)));
  return { word, exact: false, entries: together(begun.entries, noted.entries), all: begun.all };
}

const NOTHING = { found: [], left: [], neurons: [], notes: [], n: 0 };

/** The neurons that have all words of a text in their examples, best first, and those that have them in a note or an explanation. */
export async function findNeurons(read, text) {
  const asked = [...new Set(words(text))];
  if (asked.length === 0) return NOTHING;
  const [examples, said] = await Promise.all([FILES.words, FILES.saidWords].map(read));
  const kinds = [
    { ...examples, wordsIn: async (file) => (await read(FILES.wordsIn(file))).words },
    { ...said, wordsIn: async (file) => (await read(FILES.saidWordsIn(file))).words },
  ];
  const { most } = examples;
  const { chosen, left } = choose(asked, examples.files);
  // the last may be in the middle of being typed
  const beginnings = (word) => (word !== asked.at(-1) ? 0 : chosen.length === 1 ? MOST_FILES : 1);
  const found = await Promise.all(chosen.map((word) => lookUp(kinds, word, beginnings(word))));
  const sets = found.map(({ entries }) => anyOf(entries));
  const { neurons, notes } = allOf(sets);
  const some = sets.some(({ cut }) => cut) || found.some(({ all }) => !all);
  const someNotes = found.some(({ entries }) => entries.some(([, , , inNotes]) => inNotes.length >= said.most));
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
  if (left.length > 0) says.push(`left out, since only the longest words are looked up: ${left.map(quoted).join(", ")}`);
  return says.join("; ");
}

// All together.

async function tokensFor(read, query, shown) {
  if (query.id === undefined) return findTokens(read, query, { shown, mostFiles: 1 });
  const { n_tokens } = await read(FILES.tokens);
  return query.id < n_tokens ? { tokens: [[query.id]], n: 1 } : { tokens: [], n: 0 };
}

const folders = new Map();

/** A model's folder, whose files are loaded once. */
function open(folder) {
  if (!folders.has(folder)) {
    const read = reader(folder);
    folders.set(folder, { folder, read, lineOf: linesOf(read) });
  }
  return folders.get(folder);
}

/** What a text finds in a model, apart from places. What cannot be loaded is an error of its group. */
export async function find(site, model, text, shownTokens) {
  const { folder, read, lineOf } = open(folderOf(site.root, model));
  const query = parseQuery(text);
  const [, d_mlp, hasTokens] = site.models[model];
  const [tokens, found] = await Promise.all([
    hasTokens ? tokensFor(read, query, shownTokens).catch((error) => ({ tokens: [], n: 0, error })) : { tokens: [], n: 0 },
    findNeurons(read, query.text ?? "").catch((error) => ({ ...NOTHING, error })),
  ]);
  return { query, tokens, ...found, folder, d_mlp, lineOf };
}
