// Search among a model's tokens, and the neurons that have to do with one, from the files in tokens/.

import { number, visible } from "./tokens.js";

const SHOWN = 200; // results
const MOST_FILES = 8; // of names, that one query loads
const DELAY = 80; // ms without a key before a search

/** A token on its own, with every space visible. */
export const tokenText = (text) => visible(text).replaceAll(" ", "␣") || "∅";

/** Without the spaces in front, unless there is nothing else. */
const bare = (text) => text.replace(/^ +(?=[^ ])/, "");

/** What the names files are sorted by, as in Rust: compared by UTF-16 code units. */
export const key = (text) => bare(text).toLowerCase();

// toLowerCase writes a sigma at the end of a word otherwise, and a prefix ends elsewhere than its token
const fold = (text) => text.toLowerCase().replaceAll("ς", "σ");

// what tokenText shows can be typed, and \n and \t; behind a backslash stands the character itself
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

const count = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** What is to be said of an answer: how many there are, and whether these are all. */
export function summary({ n, searched, of }, { whole }) {
  const some = searched < of;
  const rest = some ? `; ${searched} of ${of} files were searched, type more for the others` : "";
  if (n === 0) return `${some ? "No token so far" : `No token ${whole ? "is" : "begins with"} this`}${rest}`;
  const what = `${some ? "At least " : ""}${count(n)} ${n === 1 ? "token" : "tokens"}`;
  const how = whole ? (n === 1 ? "is" : "are") : n === 1 ? "begins with" : "begin with";
  return `${what} ${how} this${n > SHOWN ? `, the first ${SHOWN} shown` : ""}${rest}`;
}

const loaded = new Map();
function load(name) {
  if (!loaded.has(name)) {
    const get = async () => {
      const response = await fetch(`tokens/${name}`);
      if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
      return response.json();
    };
    const failed = (error) => {
      loaded.delete(name); // to be tried again
      throw new Error(`tokens/${name} cannot be loaded: ${error.message}`);
    };
    loaded.set(name, get().catch(failed));
  }
  return loaded.get(name);
}

async function tokenOf(id) {
  const { n_tokens, tokens_per_file } = await load("index.json");
  if (id >= n_tokens) throw new Error(`There is no token ${id}: ids are 0 to ${n_tokens - 1}`);
  const first = Math.floor(id / tokens_per_file) * tokens_per_file;
  return (await load(`${String(first).padStart(6, "0")}.json`)).tokens[id - first];
}

async function find(query) {
  if (query.id !== undefined) return { tokens: [[query.id, (await tokenOf(query.id)).text]], says: "1 token" };
  if (query.text === "") return { tokens: [], says: "" };
  const files = filesOf((await load("index.json")).names, query);
  const names = await Promise.all(files.slice(0, MOST_FILES).map((i) => load(`names-${i}.json`)));
  const found = names.flatMap(({ tokens }) => tokens).filter(([, text]) => matches(text, query));
  const says = summary({ n: found.length, searched: names.length, of: files.length }, query);
  return { tokens: order(found, query).slice(0, SHOWN), says };
}

// the page

const element = (name, attributes = {}, ...children) => {
  const node = Object.assign(document.createElement(name), attributes);
  node.append(...children);
  return node;
};
const [form, article] = [document.querySelector("form.find"), document.getElementById("token")];
const [input, whole, status, results] = ["query", "whole", "count", "found"].map((id) => document.getElementById(id));
const [title, problem, lists] = ["title", "problem", "lists"].map((name) => document.getElementById(`token-${name}`));
const pageTitle = document.title;
const inAddress = location.protocol !== "file:";
const asked = () => /^#(\d+)$/.exec(location.hash)?.[1];

function markCurrent() {
  for (const link of results.querySelectorAll("a")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

let timer;
let latest; // an answer that a later one overtook is dropped
async function search() {
  clearTimeout(timer);
  timer = undefined;
  const own = (latest = {});
  results.ariaBusy = "true";
  let answer;
  try {
    remember();
    answer = await find(parseQuery(input.value, whole.checked));
  } catch (error) {
    answer = { tokens: [], says: error.message };
  }
  if (own !== latest) return [];
  status.textContent = answer.says;
  results.replaceChildren(...answer.tokens.map(([id, text]) =>
    element("li", {}, element("a", { href: `#${id}` }, element("span", { className: "token" }, tokenText(text)), " ", element("small", {}, id)))));
  results.hidden = answer.tokens.length === 0;
  results.scrollTop = 0;
  results.ariaBusy = "false";
  markCurrent();
  return answer.tokens;
}

// a search can be linked
function remember() {
  if (!inAddress) return;
  const address = new URL(location.href);
  address.searchParams.delete("q");
  address.searchParams.delete("whole");
  if (input.value !== "") address.searchParams.set("q", input.value);
  if (input.value !== "" && whole.checked) address.searchParams.set("whole", "1");
  if (address.href !== location.href) history.replaceState(history.state, "", address);
}
function recall() {
  const words = new URLSearchParams(location.search);
  const [text, exactly] = [words.get("q") ?? "", words.has("whole")];
  if (input.value === text && (text === "" || whole.checked === exactly)) return;
  input.value = text;
  whole.checked = exactly;
  search();
}

function step(rel, id) {
  const link = article.querySelector(`a[rel=${rel}]`);
  if (id === undefined) link.removeAttribute("href");
  else link.href = `#${id}`;
  const to = id === undefined ? "Token" : `Token ${id}`;
  link.textContent = rel === "prev" ? `← ${to}` : `${to} →`;
}

function fill(token, { d_mlp, top_k = 20 }) {
  for (const list of lists.querySelectorAll("[data-list]")) {
    const name = list.dataset.list;
    const of = name.startsWith("peaks") ? (value) => `${value} of ${top_k}` : number;
    const entries = (token[name] ?? []).map(([flat, value]) => {
      const [layer, neuron] = [Math.floor(flat / d_mlp), flat % d_mlp];
      const link = element("a", { href: `${layer}/${neuron}.html` }, `${layer}.${neuron}`);
      return element("li", {}, link, element("span", { className: "num" }, of(value)));
    });
    list.replaceChildren(...(entries.length > 0 ? entries : [element("li", { className: "none" }, "none")]));
    const all = token[`n_${name}`] ?? 0;
    const more = lists.querySelector(`[data-count=${name}]`);
    if (!more) continue;
    more.hidden = all <= entries.length;
    more.textContent = `${count(all)} neurons, ${entries.length} shown`;
  }
}

async function show() {
  markCurrent();
  const hash = asked();
  if (hash === undefined) {
    if (location.hash !== "") return; // a place on the page
    article.hidden = true;
    document.title = pageTitle;
    return;
  }
  const id = Number(hash);
  let [token, index, error] = [];
  try {
    [token, index] = [await tokenOf(id), await load("index.json")];
  } catch (caught) {
    error = caught;
  }
  if (hash !== asked()) return;
  const name = token ? [element("span", { className: "token" }, tokenText(token.text)), " "] : ["Token "];
  title.replaceChildren(...name, element("span", { className: "id" }, `#${id}`));
  document.title = `${token ? `${tokenText(token.text)} ` : ""}#${id} · ${pageTitle}`;
  step("prev", token && id > 0 ? id - 1 : undefined);
  step("next", token && id + 1 < index.n_tokens ? id + 1 : undefined);
  if (token) fill(token, index);
  lists.hidden = !token;
  problem.hidden = !error;
  problem.textContent = error?.message ?? "";
  article.hidden = false;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [best] = await search();
  if (best) location.hash = `#${best[0]}`;
});
input.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(search, DELAY);
});
whole.addEventListener("change", search);
// down and up go from the box to its results and back
document.addEventListener("keydown", (event) => {
  const stops = [input, ...results.querySelectorAll("a")];
  const at = stops.indexOf(event.target);
  const to = stops[at + { ArrowDown: 1, ArrowUp: -1 }[event.key]];
  if (at < 0 || !to) return;
  event.preventDefault();
  to.focus();
});
// not hashchange: none comes where the search in the address changes as well
addEventListener("popstate", async () => {
  if (timer === undefined && inAddress) recall();
  await show();
  // stay on the way from neighbour to neighbour, otherwise go on reading at the token
  if (asked() && !document.activeElement?.closest(".steps")) title.focus();
});

form.hidden = false;
if (location.hash === "") input.focus();
recall();
show();
load("index.json").catch((error) => (status.textContent = error.message));
