// The page in place of one that is not there: where that would be of a packed neuron, it shows the neuron, at its address.

import { folderOf, isPacked, scannedLayers, shownPage, siteHere } from "./address.js";
import { answer } from "./loading.js";

/** The packed neuron that an address is of, if it is of one. */
function neuronAt({ models, root }) {
  const own = new URL(root, location.href).pathname;
  const [, name, layer] = /^([^/]+)\/(\d+)\/\d+(?:\.html)?$/.exec(location.pathname.slice(own.length)) ?? [];
  const model = name && decodeURIComponent(name);
  if (!Object.hasOwn(models, model ?? "") || !scannedLayers(models[model]).includes(Number(layer))) return undefined;
  const folder = folderOf(root, model);
  return isPacked(folder) ? shownPage(folder, layer) : undefined;
}

/** Puts another page of the folder that the address is in into the place of this one. */
async function show(address) {
  const page = new DOMParser().parseFromString(await (await answer(address)).text(), "text/html");
  const source = (node, name) => new URL(node.getAttribute(name), location.href).href;
  const known = new Set(Array.from(document.querySelectorAll("link[rel=stylesheet]"), (link) => link.href));
  const styles = [...page.querySelectorAll("link[rel=stylesheet]")].filter((link) => !known.has(source(link, "href")));
  document.head.append(...styles.map((link) => document.importNode(link)));
  Object.assign(document.body.dataset, page.body.dataset);
  document.title = page.title;
  for (const part of ["main", "footer"]) document.querySelector(part).replaceChildren(...page.querySelector(part).childNodes);
  const scripts = [...page.querySelectorAll("script[type=module]")].map((script) => source(script, "src"));
  await Promise.all(scripts.map((script) => import(script))); // those that are there already do not run again
}

const page = neuronAt(siteHere());
if (page) await show(page);
