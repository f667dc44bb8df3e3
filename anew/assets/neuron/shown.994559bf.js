import { asked, FILES, folderHere, here, layerPage, neuronPage, siteHere } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { reader } from "../base/loading.089b0071.js";
import { askModel } from "../read/packed.6836f462.js";
import { fill } from "./fill.0882e3ec.js";
import { opened } from "./opened.61d391fd.js";
import { sayProblem } from "./problem.76aee695.js";
function step(folder, { layer, neuron }, [n_layers, d_mlp]) {
const flat = layer * d_mlp + neuron;
const steps = [["prev", flat - 1, "← Previous"], ["next", flat + 1, "Next →"]];
const nodes = steps.map(([rel, to, text]) => {
const isThere = to >= 0 && to < n_layers * d_mlp;
return isThere ? element("a", { rel, href: neuronPage(folder, Math.floor(to / d_mlp), to % d_mlp) }, text) : element("span", {}, text);
});
const row = document.querySelector("nav.steps");
row.firstElementChild.replaceWith(nodes[0]);
row.lastElementChild.replaceWith(nodes[1]);
}
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
async function addSaid(folder, { layer, neuron }) {
const { neurons } = await reader(folder)(FILES.said(layer));
const { note, explanations = [] } = neurons[neuron] ?? {};
const nodes = explanations.map(explanationOf);
document.querySelector(".said")?.append(...(note ? [noteOf(note)] : []), ...(nodes.length > 0 ? [element("section", { class: "explanations", "aria-label": "Explanations" }, ...nodes)] : []));
}
function askedNeuron() {
const own = /\/(\d+)(?:\.html)?$/.exec(location.pathname)?.[1] ?? asked("n");
return /^\d+$/.test(own) ? Number(own) : undefined;
}
async function show() {
const [folder, layer, neuron] = [folderHere(), Number(here().layer), askedNeuron()];
const shape = siteHere().models[here().model];
if (neuron === undefined || neuron >= shape[1]) {
const fault = neuron === undefined ? "The address does not say which neuron" : `There is no neuron ${layer}.${neuron}`;
const problem = document.getElementById("problem");
problem.hidden = false;
problem.replaceChildren(`${fault}: this layer has neurons 0 to ${shape[1] - 1}. `, element("a", { href: layerPage(folder, layer) }, `All neurons of layer ${layer}`));
document.querySelector(".spread").hidden = true;
return;
}
step(folder, { layer, neuron }, shape);
opened.neuron = await askModel(folder, (model) => model.neuron(layer, neuron));
fill(document, opened.neuron.record, folder);
if (here().said) addSaid(folder, { layer, neuron }).catch((error) => sayProblem(document.querySelector(".said"), error));
await import("./page.1970d6bd.js");
}
show().catch((error) => {
const problem = document.getElementById("problem");
problem.hidden = false;
sayProblem(problem, error);
});
