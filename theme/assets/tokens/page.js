// The page of tokens: a search among them, and the neurons that have to do with one.

import { ask, asked, changeable, FILES, folderHere, neuronPage, placeOf } from "../base/address.js";
import { element } from "../base/dom.js";
import { delayed, reader, turns } from "../base/loading.js";
import { explain } from "../base/tip.js";
import { aboutNeuron, linesOf } from "../read/lines.js";
import { count, signed as withSign, tokenText } from "../read/tokens.js";
import { findTokens, parseQuery, summary, tokenNodes, tokenOf } from "../read/tokensearch.js";

const DELAY = 80; // ms without a key before a search
const folder = folderHere();
const read = reader(folder);
let lineOf; // for those who come to a neuron
const about = (flat) => aboutNeuron((lineOf ??= linesOf(read))(flat));

async function find(query) {
  if (query.text === "") return { tokens: [], says: "" };
  const answer = await findTokens(read, query);
  return { tokens: answer.tokens, says: summary(answer, query) };
}

const [form, article] = [document.querySelector("form.find"), document.getElementById("token")];
const [input, whole, status, results] = ["query", "whole", "count", "found"].map((id) => document.getElementById(id));
const [title, problem, lists, signed, sides] = ["title", "problem", "lists", "signed", "sides"].map((name) => document.getElementById(`token-${name}`));
const pageTitle = document.title;
const inHash = () => /^#(\d+)$/.exec(location.hash)?.[1];

function markCurrent() {
  for (const link of results.querySelectorAll("a")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

const searching = delayed(search, DELAY);
const turn = turns(); // an answer that a later one overtook is dropped
async function search() {
  searching.cancel();
  const isLatest = turn();
  results.ariaBusy = "true";
  let answer;
  try {
    ask({ q: input.value, whole: input.value !== "" && whole.checked ? "1" : "" });
    answer = await find(parseQuery(input.value, whole.checked));
  } catch (error) {
    answer = { tokens: [], says: error.message };
  }
  if (!isLatest()) return [];
  status.textContent = answer.says;
  results.replaceChildren(...answer.tokens.map((token) => element("li", {}, element("a", { href: `#${token[0]}` }, ...tokenNodes(token)))));
  results.hidden = answer.tokens.length === 0;
  results.scrollTop = 0;
  results.ariaBusy = "false";
  markCurrent();
  return answer.tokens;
}

function recall() {
  const [text, exactly] = [asked("q"), asked("whole") !== ""];
  if (input.value === text && (text === "" || whole.checked === exactly)) return;
  input.value = text;
  whole.checked = exactly;
  search();
}

function step(rel, id) {
  const link = article.querySelector(`a[rel=${rel}]`);
  if (id === undefined) link.removeAttribute("href");
  else link.href = `#${id}`;
  link.role = id === undefined ? "link" : null;
  link.ariaDisabled = id === undefined ? "true" : null;
  const to = id === undefined ? "Token" : `Token ${id}`;
  link.textContent = rel === "prev" ? `← ${to}` : `${to} →`;
}

/** The side with which a neuron promotes or suppresses a token for which it has this value. */
function sideOf(list, value) {
  const [verb, sign] = list.startsWith("promoted") ? ["promotes", value > 0 ? "+" : "−"] : ["suppresses", value > 0 ? "−" : "+"];
  return element("abbr", { class: "side", title: `${verb} it when it fires (${sign})` }, `(${sign})`);
}

function fill(token, { d_mlp, top_k }) {
  const byFiring = token.promoted_by !== undefined;
  [signed.hidden, sides.hidden] = [byFiring, !byFiring];
  for (const list of lists.querySelectorAll("[data-list]")) {
    const isOfWeights = list.dataset.signed !== undefined;
    const name = isOfWeights && !byFiring ? list.dataset.signed : list.dataset.list;
    const of = isOfWeights ? withSign : (value) => `${value} of ${top_k}`;
    const entries = (token[name] ?? []).map(([flat, value]) => {
      const [layer, neuron] = placeOf(flat, d_mlp);
      const link = explain(element("a", { href: neuronPage(folder, layer, neuron) }, `${layer}.${neuron}`), () => about(flat));
      const who = isOfWeights && byFiring ? element("span", {}, link, " ", sideOf(name, value)) : link;
      return element("li", {}, who, element("span", { class: "num" }, of(value)));
    });
    list.replaceChildren(...(entries.length > 0 ? entries : [element("li", { class: "none" }, "none")]));
    const all = token[`n_${name}`] ?? 0;
    const more = lists.querySelector(`[data-count=${name}]`);
    if (!more) continue;
    more.hidden = all <= entries.length;
    more.textContent = `${count(all)} neurons, ${entries.length} shown`;
  }
}

async function show() {
  markCurrent();
  const hash = inHash();
  if (hash === undefined) {
    if (location.hash !== "") return; // a place on the page
    article.hidden = true;
    document.title = pageTitle;
    return;
  }
  const id = Number(hash);
  let [token, index, error] = [];
  try {
    [token, index] = [await tokenOf(read, id), await read(FILES.tokens)];
  } catch (caught) {
    error = caught;
  }
  if (hash !== inHash()) return;
  const name = token ? [element("span", { class: "token" }, tokenText(token.text)), " "] : ["Token "];
  title.replaceChildren(...name, element("span", { class: "id" }, `#${id}`));
  document.title = `${token ? `${tokenText(token.text)} ` : ""}#${id} · ${pageTitle}`;
  step("prev", token && id > 0 ? id - 1 : undefined);
  step("next", token && id + 1 < index.n_tokens ? id + 1 : undefined);
  if (token) fill(token, index);
  lists.hidden = !token;
  if (!token) signed.hidden = sides.hidden = true;
  problem.hidden = !error;
  problem.textContent = error?.message ?? "";
  article.hidden = false;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [best] = await search();
  if (best) location.hash = `#${best[0]}`;
});
input.addEventListener("input", searching.ask);
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
  if (!searching.isAsked() && changeable()) recall();
  await show();
  // stay on the way from neighbour to neighbour, otherwise go on reading at the token
  if (inHash() && !document.activeElement?.closest(".steps")) title.focus();
});

form.hidden = false;
if (location.hash === "") input.focus();
recall();
show();
read(FILES.tokens).catch((error) => (status.textContent = error.message));
