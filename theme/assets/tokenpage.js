// The page of tokens: a search among them, and the neurons that have to do with one.

import { ask, asked, changeable } from "./address.js";
import { element } from "./dom.js";
import { number, tokenText } from "./tokens.js";
import { count, findTokens, loader, parseQuery, summary, tokenOf } from "./tokensearch.js";

const DELAY = 80; // ms without a key before a search
const load = loader("");

async function find(query) {
  if (query.text === "") return { tokens: [], says: "" };
  const answer = await findTokens(load, query);
  return { tokens: answer.tokens, says: summary(answer, query) };
}

const [form, article] = [document.querySelector("form.find"), document.getElementById("token")];
const [input, whole, status, results] = ["query", "whole", "count", "found"].map((id) => document.getElementById(id));
const [title, problem, lists] = ["title", "problem", "lists"].map((name) => document.getElementById(`token-${name}`));
const pageTitle = document.title;
const inHash = () => /^#(\d+)$/.exec(location.hash)?.[1];

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
    ask({ q: input.value, whole: input.value !== "" && whole.checked ? "1" : "" });
    answer = await find(parseQuery(input.value, whole.checked));
  } catch (error) {
    answer = { tokens: [], says: error.message };
  }
  if (own !== latest) return [];
  status.textContent = answer.says;
  results.replaceChildren(...answer.tokens.map(([id, text]) =>
    element("li", {}, element("a", { href: `#${id}` }, element("span", { class: "token" }, tokenText(text)), " ", element("small", {}, `#${id}`)))));
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

function fill(token, { d_mlp, top_k = 20 }) {
  for (const list of lists.querySelectorAll("[data-list]")) {
    const name = list.dataset.list;
    const of = name.startsWith("peaks") ? (value) => `${value} of ${top_k}` : number;
    const entries = (token[name] ?? []).map(([flat, value]) => {
      const [layer, neuron] = [Math.floor(flat / d_mlp), flat % d_mlp];
      const link = element("a", { href: `${layer}/${neuron}.html` }, `${layer}.${neuron}`);
      return element("li", {}, link, element("span", { class: "num" }, of(value)));
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
    [token, index] = [await tokenOf(load, id), await load("tokens/index.json")];
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
  if (timer === undefined && changeable) recall();
  await show();
  // stay on the way from neighbour to neighbour, otherwise go on reading at the token
  if (inHash() && !document.activeElement?.closest(".steps")) title.focus();
});

form.hidden = false;
if (location.hash === "") input.focus();
recall();
show();
load("tokens/index.json").catch((error) => (status.textContent = error.message));
