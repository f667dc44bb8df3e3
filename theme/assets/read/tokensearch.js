// Searching among a model's tokens by the files in tokens/, for the page of tokens and for the search.

import { FILES } from "../base/address.js";
import { element } from "../base/dom.js";
import { count, tokenText } from "./tokens.js";

const SHOWN = 200; // results
const MOST_FILES = 5; // of names, that one query loads

/** Without the spaces in front, unless there is nothing else. */
const bare = (text) => text.replace(/^ +(?=[^ ])/, "");

/** What the names files are sorted by, as in Rust: compared by UTF-16 code units. */
export const key = (text) => bare(text).toLowerCase();

// toLowerCase writes a sigma at the end of a word otherwise, and a prefix ends elsewhere than its token
const fold = (text) => text.toLowerCase().replaceAll("ς", "σ");

// what tokenText of tokens.js shows can be typed, and \n and \t; behind a backslash stands the character itself
const TYPED = /\\([nt#\\␣∅⟨↵→\u2400-\u2421])|([␣↵→␡\u2400-\u241f])|⟨([0-9A-F]{4})⟩/g;
const SPELLED = new Map([["n", "\n"], ["t", "\t"]]);
const STANDS_FOR = new Map([["␣", " "], ["↵", "\n"], ["→", "\t"], ["␡", "\x7f"]]);

/** What is typed, as an id or as a text to look for. */
export function parseQuery(typed, whole = false) {
  const id = /^\s*#(\d+)\s*$/.exec(typed)?.[1];
  if (id) return { id: Number(id) };
  const text = typed.replace(TYPED, (_, escaped, sign, code) => {
    if (escaped) return SPELLED.get(escaped) ?? escaped;
    if (sign) return STANDS_FOR.get(sign) ?? String.fromCodePoint(sign.codePointAt(0) - 0x2400);
    return String.fromCodePoint(parseInt(code, 16));
  });
  return { text, whole, caseCounts: text !== text.toLowerCase() };
}

/** Whether a token's text is one that the query looks for. */
export function matches(text, query) {
  const same = query.caseCounts ? (x) => x : fold;
  const sought = same(query.text);
  const fits = (x) => (query.whole ? same(x) === sought : same(x).startsWith(sought));
  return fits(text) || (!query.text.startsWith(" ") && fits(bare(text)));
}

/** Tokens `[id, text]`, best first. */
export function order(tokens, query) {
  const [exact, folded] = [bare(query.text), fold(bare(query.text))];
  const rank = (text) => (text === query.text ? 0 : bare(text) === exact ? 1 : fold(bare(text)) === folded ? 2 : 3);
  return tokens
    .map((token) => ({ token, rank: rank(token[1]) }))
    .sort((a, b) => a.rank - b.rank || a.token[1].length - b.token[1].length || a.token[0] - b.token[0])
    .map(({ token }) => token);
}

/** Numbers of the names files that can hold a match, those with the best first. `names` are their smallest keys. */
export function filesOf(names, { text, whole }) {
  const [low, high] = [key(text).replaceAll("σ", "ς"), key(text).replaceAll("ς", "σ")];
  const all = names.map((_, i) => i);
  // tokens of one key can go on in the next file
  const files = all.filter((i) => (i + 1 === names.length || names[i + 1] >= low) && (names[i] <= high || (!whole && names[i].startsWith(high))));
  // any token can begin with a space
  return /^ +$/.test(text) && !whole ? [...new Set([...files, ...all])] : files;
}

/** A token `[id, text]` in a list of results; without a text its id alone. */
export const tokenNodes = ([id, text]) =>
  text === undefined ? [`#${id}`] : [element("span", { class: "token" }, tokenText(text)), " ", element("small", {}, `#${id}`)];

/** What is to be said of an answer: how many there are, and whether these are all. */
export function summary({ n, searched, of }, { id, whole }, shown = SHOWN) {
  if (id !== undefined) return n === 0 ? "There is no such token" : "1 token";
  const some = searched < of;
  const rest = some ? `; ${searched} of ${of} files were searched, type more to search the others` : "";
  if (n === 0) return `${some ? "No token found so far" : `No token ${whole ? "is" : "begins with"} this`}${rest}`;
  const what = `${some ? "At least " : ""}${count(n)} ${n === 1 ? "token" : "tokens"}`;
  const how = whole ? (n === 1 ? "is" : "are") : n === 1 ? "begins with" : "begin with";
  return `${what} ${how} this${n > shown ? `, the first ${shown} shown` : ""}${rest}`;
}

/** The record of a token. `read` reads the files of its model's folder. */
export async function tokenOf(read, id) {
  const { n_tokens, tokens_per_file, firsts } = await read(FILES.tokens);
  if (id >= n_tokens) throw new Error(`There is no token ${id}: ids are 0 to ${n_tokens - 1}`);
  const first = firsts ? firsts.findLast((first) => first <= id) : Math.floor(id / tokens_per_file) * tokens_per_file;
  return (await read(FILES.tokensFrom(first))).tokens[id - first];
}

/** The tokens `[id, text]` that a query looks for, best first: the first `shown` of `n`. */
export async function findTokens(read, query, { shown = SHOWN, mostFiles = MOST_FILES } = {}) {
  if (query.id !== undefined) return { tokens: [[query.id, (await tokenOf(read, query.id)).text]], n: 1, searched: 1, of: 1 };
  if (query.text === "") return { tokens: [], n: 0, searched: 0, of: 0 };
  const files = filesOf((await read(FILES.tokens)).names, query);
  const names = await Promise.all(files.slice(0, mostFiles).map((i) => read(FILES.tokenNames(i))));
  const found = names.flatMap(({ tokens }) => tokens).filter(([, text]) => matches(text, query));
  return { tokens: order(found, query).slice(0, shown), n: found.length, searched: names.length, of: files.length };
}
