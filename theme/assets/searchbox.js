// The box in the header: below it, group by group, what the text in it finds. Loaded when someone comes to it.

import { element } from "./dom.js";
import { several, site, tokenNodes } from "./found.js";
import { aim, find, folderOf, hashOf, neuronAt, placesAt } from "./search.js";
import { number, visible } from "./tokens.js";

const DELAY = 120; // ms without a key before a search
const TOKENS = 6;
const NEURONS = 6; // whose lines are loaded
const NOTES = 2; // of these, at most, where there are neurons by words as well

const form = document.querySelector("form.goto");
const input = document.getElementById("goto");
const output = document.getElementById("goto-error");

const list = element("div", { id: "goto-list", role: "listbox", "aria-label": "Found" });
const status = element("p", { role: "status" });
const popup = element("div", { class: "popup", hidden: true }, list, status);
form.append(popup);
await new Promise((resolve) => {
  const href = new URL("./search.css", import.meta.url).href;
  document.head.append(element("link", { rel: "stylesheet", href, load: resolve, error: resolve }));
});

// options

const options = () => [...list.querySelectorAll("[role=option]")];
const option = (href, name, ...children) => element("a", { href, class: name, role: "option", "aria-selected": "false", tabindex: -1 }, ...children);
const ofModel = (model) => (several && model ? [" ", element("small", {}, model)] : []);

const part = (name, text) => element("span", { class: name }, element("bdi", {}, visible(text)));

/** Puts a neuron's largest example into `node`, or, if it was found by its note, what is said of it. */
async function fill(node, coming, noted) {
  try {
    const [value, before, peak, after, note] = (await coming) ?? [];
    if (noted && note) node.append(part("after", note));
    else if (value !== undefined) node.append(part("before", before), element("mark", { class: value < 0 && "n4", title: number(value) }, visible(peak)), part("after", after));
  } catch (error) {
    node.append(element("i", {}, error.message));
  }
}

function neuronOption({ flat, first }, { folder, d_mlp, lines }) {
  const noted = first === undefined; // found by what is said of it
  const [layer, neuron] = [Math.floor(flat / d_mlp), flat % d_mlp];
  const excerpt = element("span", { class: "excerpt" });
  fill(excerpt, lines.line(flat), noted);
  return option(`${folder}${layer}/${neuron}.html${noted ? "" : hashOf(first)}`, "hit", element("b", {}, `${layer}.${neuron}`), excerpt);
}

const allResults = ({ model, text }) => `${folderOf(site, model)}search.html?q=${encodeURIComponent(text)}`;

/** Groups `[title, options]`; without an answer those that need none. */
function groups(typed, aimed, answer) {
  const places = placesAt(site, typed).map(({ href, label, model }) => option(href, "place", label, ...ofModel(model)));
  const all = option(allResults(aimed), "place all", "All results", ...ofModel(aimed.model));
  if (!answer) return [["Go to", places], ["", [all]]];
  const noted = answer.notes.slice(0, answer.neurons.length > 0 ? NOTES : NEURONS);
  const neurons = answer.neurons.slice(0, NEURONS - noted.length);
  return [
    ["Go to", places],
    ["Tokens", answer.tokens.tokens.map((token) => option(`${answer.folder}tokens.html#${token[0]}`, "of-token", ...tokenNodes(token)))],
    ["In examples (their strongest is shown)", neurons.map((found) => neuronOption(found, answer))],
    ["In notes and explanations", noted.map((flat) => neuronOption({ flat }, answer))],
    ["", [all]],
  ];
}

function group([title, options], i) {
  if (title === "") return options;
  const heading = element("div", { id: `goto-group-${i}`, class: "title" }, title);
  return [element("div", { role: "group", "aria-labelledby": heading.id }, heading, ...options)];
}

/** What there is to say beside the results, and how many there are for those who do not see them. */
function say(typed, answer) {
  const problems = [neuronAt(site, typed)?.error, answer?.tokens.error?.message, answer?.error?.message].filter(Boolean);
  const n = options().length - 1;
  if (answer && n === 0 && problems.length === 0) problems.push("Nothing found");
  status.className = problems.length > 0 ? "" : "unseen";
  status.textContent = problems.length > 0 ? problems.join("; ") : answer ? `${n} ${n === 1 ? "result" : "results"}` : "";
}

function show(typed, aimed, answer) {
  const marked = active()?.href;
  list.replaceChildren(...groups(typed, aimed, answer).filter(([, options]) => options.length > 0).flatMap(group));
  options().forEach((option, i) => (option.id = `goto-option-${i}`));
  mark(options().find(({ href }) => href === marked));
  list.ariaBusy = "false";
  popup.hidden = false;
  input.ariaExpanded = "true";
  say(typed, answer);
}

// the marked option

const active = () => list.querySelector("[aria-selected=true]");

function mark(option) {
  active()?.setAttribute("aria-selected", "false");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) input.setAttribute("aria-activedescendant", option.id);
  else input.removeAttribute("aria-activedescendant");
}

/** Up and down go through the options, and through the box between the last and the first. */
function step(by) {
  const stops = [undefined, ...options()];
  mark(stops.at((stops.indexOf(active() ?? undefined) + by) % stops.length));
}

// the search

let timer;
let latest; // an answer that a later one overtook is dropped

function close() {
  clearTimeout(timer);
  latest = undefined;
  mark(undefined);
  status.textContent = "";
  popup.hidden = true;
  input.ariaExpanded = "false";
}

async function search() {
  clearTimeout(timer);
  const typed = input.value;
  if (typed === "") return close();
  const own = (latest = {});
  const aimed = aim(site, typed);
  const known = neuronAt(site, typed)?.href !== undefined; // nothing else is meant
  if (popup.hidden || known) show(typed, aimed);
  if (known) return;
  list.ariaBusy = "true";
  const answer = await find(site, aimed.model, aimed.text, TOKENS);
  if (own !== latest) return;
  show(typed, aimed, answer);
}

/** Goes to the neuron, layer or model that is typed, or to all results. */
export function submit() {
  close();
  const typed = input.value;
  const { href, error } = neuronAt(site, typed) ?? {};
  if (typed === "") output.value = "write a neuron, such as 2.17, a token or a word";
  else if (error) output.value = error;
  else location.href = href ?? placesAt(site, typed)[0]?.href ?? allResults(aim(site, typed));
}

input.addEventListener("input", () => {
  clearTimeout(timer);
  mark(undefined);
  timer = setTimeout(search, DELAY);
});
input.addEventListener("focus", search);
input.addEventListener("keydown", (event) => {
  if (event.isComposing || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
  const open = !popup.hidden;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (open) step(event.key === "ArrowDown" ? 1 : -1);
    else search();
  } else if (event.key === "Enter" && open && active()) active().click();
  else if (event.key === "Escape" && open) close();
  else return;
  event.preventDefault();
});
// a press on an option leaves the focus in the box
popup.addEventListener("mousedown", (event) => event.preventDefault());
list.addEventListener("click", close);
form.addEventListener("focusout", close);
if (document.activeElement === input) search();
