// The page that shows any neuron of a layer of a packed model: which one the address says.

import { FILES, here, layerPage, neuronPage, placeOf, scannedLayers } from "../base/address.js";
import { element } from "../base/dom.js";
import { reader } from "../base/loading.js";
import { beginning, folder, place, shape } from "./begin.js";
import { fill } from "./fill.js";
import { opened } from "./opened.js";
import { sayProblem } from "./problem.js";

// Its name, its neighbours, and what was said of it

/** Says which neuron the address names, before there is more to say of it. */
function name({ layer, neuron }) {
  const id = document.querySelector("h1 .id");
  if (id && neuron !== undefined) id.textContent = `${layer}.${neuron}`;
}

/** Makes the ways to the neurons before and after it. */
function step({ layer, neuron }) {
  const [, d_mlp] = shape;
  const layers = scannedLayers(shape);
  const flat = layers.indexOf(layer) * d_mlp + neuron; // among those that were scanned
  const steps = [["prev", flat - 1, "← Previous"], ["next", flat + 1, "Next →"]];
  const nodes = steps.map(([rel, to, text]) => {
    const [at, other] = placeOf(to, d_mlp);
    return at in layers ? element("a", { rel, href: neuronPage(folder, layers[at], other) }, text) : element("span", {}, text);
  });
  const row = document.querySelector("nav.steps");
  row.firstElementChild.replaceWith(nodes[0]);
  row.lastElementChild.replaceWith(nodes[1]);
}

/** A note, whose HTML is that of the site's own content. */
function noteOf({ heading, html, author, date }) {
  const text = element("div");
  text.innerHTML = html;
  const byline = [author, date].filter(Boolean).join(", ");
  return element("aside", { class: "note prose", "aria-label": "Note" }, ...(heading ? [element("h2", {}, heading)] : []), ...text.childNodes, ...(byline ? [element("p", { class: "byline" }, byline)] : []));
}

function explanationOf({ text, author, method, score, score_kind: kind, url }) {
  const by = `${author ?? "explanation"}${method ? `, ${method}` : ""}${typeof score === "number" ? `; score ${score}${kind ? ` (${kind})` : ""}` : ""}`;
  return element("figure", {}, element("blockquote", {}, text), element("figcaption", {}, by, ...(url ? [" ", element("a", { href: url, rel: "noopener" }, "source")] : [])));
}

/** Adds what was said of it. */
async function addSaid({ layer, neuron }) {
  const { neurons } = await reader(folder)(FILES.said(layer));
  const { note, explanations = [] } = neurons[neuron] ?? {};
  const nodes = explanations.map(explanationOf);
  document.querySelector(".said")?.append(...(note ? [noteOf(note)] : []), ...(nodes.length > 0 ? [element("section", { class: "explanations", "aria-label": "Explanations" }, ...nodes)] : []));
}

/** Says that the address names no neuron of the layer. */
function sayMissing({ layer, neuron }) {
  const fault = neuron === undefined ? "The address does not say which neuron" : `There is no neuron ${layer}.${neuron}`;
  const problem = document.getElementById("problem");
  problem.hidden = false;
  problem.replaceChildren(`${fault}: this layer has neurons 0 to ${shape[1] - 1}. `, element("a", { href: layerPage(folder, layer) }, `All neurons of layer ${layer}`));
  document.querySelector(".spread").hidden = true;
}

async function show() {
  step(place);
  opened.neuron = await beginning;
  fill(document, opened.neuron.record, folder);
  delete here().coming;
  if (here().said) addSaid(place).catch((error) => sayProblem(document.querySelector(".said"), error));
  await import("./page.js");
}

name(place);
if (beginning) {
  show().catch((error) => {
    const problem = document.getElementById("problem");
    problem.hidden = false;
    sayProblem(problem, error);
  });
} else sayMissing(place);
