// The kinds of page that a site has, one a line: each with where one of them is, what says that it is drawn, where scripts do
// more than on every page, and what a reader does to bring it into the state that is meant. `over`: something then lies over it.
import { existsSync } from "node:fs";

const neuron = (model, layer, neuron) => `${model}/${layer}/${neuron}.html`;
const compare = (model, layer, neuron) => `compare.html?a=${model}/${layer}/${neuron}&b=${model}/${layer}/${neuron + 1}`;
const TEXTS = ".examples .tokens";

const press = (selector, brings) => async (page) => {
  await page.locator(selector).first().press("Enter");
  await page.waitForSelector(brings);
};
const search = async (page) => {
  await page.keyboard.press("/");
  await page.keyboard.type("the");
  await page.waitForSelector("#goto-list [role=option] mark");
};

/** A page of a neuron, and what readers open on it. */
const inStates = (name, at) => [
  { name, at, drawn: TEXTS },
  { name: `${name}, its neighbours unfolded`, at, drawn: TEXTS, then: press("#neighbours summary", "#neighbours[open]") },
  { name: `${name}, an example of a band unfolded`, at, drawn: TEXTS, then: press(".snippets summary", ".snippets .tokens") },
  { name: `${name}, a whole document`, at, drawn: TEXTS, then: press("button.document", "dialog[open] .tokens") },
  { name: `${name}, copying`, at, drawn: TEXTS, then: press(".actions button", "#copy:popover-open"), over: true },
];

const KINDS = [
  { name: "front page", at: () => "index.html" },
  { name: "page of content", at: () => "about.html" },
  { name: "not found", at: () => "404.html" },
  { name: "model", at: (model) => `${model}/index.html` },
  { name: "search box", at: (model) => `${model}/index.html`, then: search, over: true },
  { name: "layer", at: (model, layer) => `${model}/${layer}/index.html`, drawn: "#measure:not([disabled])" },
  ...inStates("neuron", neuron),
  ...inStates("packed neuron", (model, layer, neuron) => `${model}/${layer}/neuron.html?n=${neuron}`),
  { name: "packed neurons, a list", at: (model, layer) => `${model}/${layer}/list-000000.html` },
  { name: "card", at: (model, layer, neuron) => `${model}/${layer}/${neuron}/card.html`, drawn: "main" },
  { name: "compare", at: compare, drawn: "#pair .tokens" },
  { name: "explore", at: (model) => `${model}/explore.html`, drawn: "#explore:not([hidden]) #found li" },
  { name: "explore a layer", at: (model, layer) => `${model}/${layer}/explore.html`, drawn: "#explore:not([hidden]) #found li" },
  { name: "search", at: (model) => `${model}/search.html?q=the`, drawn: "#results:not([hidden])" },
  { name: "tokens", at: (model) => `${model}/tokens.html`, drawn: "form.find:not([hidden])" },
  { name: "tokens, one found", at: (model) => `${model}/tokens.html?q=t#0`, drawn: "#token:not([hidden])" },
];

const fileOf = (path) => path.replace(/[?#].*/, "");

/** The kinds that the site in `folder` has, each with `path`, the address of one page, and `other`, that of another of its kind, if there is one. */
export function pagesOf(folder, model, layer, neuron) {
  const has = (path) => existsSync(`${folder}/${fileOf(path)}`);
  const pages = KINDS.map((kind) => ({ ...kind, path: kind.at(model, layer, neuron), other: kind.at(model, layer + 1, neuron + 1) }));
  return pages.filter(({ path }) => has(path)).map((page) => ({ ...page, other: page.other !== page.path && has(page.other) ? page.other : undefined }));
}

/** An address without what tells pages of one kind apart. */
export const kindOf = (path, model) => fileOf(path).replace(`${model}/`, "").replace(/\d+(?=[/.])/g, "N");

/** Scrolls to the end and back: what a page draws when it comes near is drawn then. */
export const readAll = (page) => page.evaluate(async () => {
  for (let at = -1; at !== scrollY; ) {
    at = scrollY;
    scrollBy(0, innerHeight);
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  }
  scrollTo(0, 0);
});

/** Opens a page and waits until it is as a reader has it. */
export async function open(page, root, { path, drawn = "form.goto:not([hidden])", then }) {
  await page.goto("about:blank"); // an address that differs in its # alone would load nothing
  await page.goto(root + path);
  await page.waitForSelector(drawn);
  await readAll(page);
  await then?.(page);
}
