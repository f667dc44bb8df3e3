// A tour of a site, step by step, for any browser, host and layout: each step gets a reader, the address `at` which the layout has a
// neuron, and the host, which says what it has in place of a `missing` file.
import assert from "node:assert/strict";
import * as atlas from "./atlas.js";
import { largest, listsOf, mainOf, shadeOf, strongest } from "./record.js";
import { cells } from "../../theme/assets/read/tokens.js";

const FIRST = 5; // examples that are compared
const OPEN = ".texts section.list:not([hidden])";

/** Waits until the page of a neuron, of any if none is named, is drawn; answers which it is. */
const drawn = (reader, id) => reader.until((id, open) => {
  const named = document.querySelector("h1 .id")?.textContent;
  return (id === null || named === id) && document.querySelector(`${open} .tokens`) && !document.querySelector("[aria-busy=true]") && named;
}, id ?? null, OPEN);

/** The cells of the first examples of the open list, each as its text, its shade, and whether the peak is there. */
const shownCells = (reader) => reader.ask((selector, n) => Array.from(document.querySelectorAll(selector), (line) =>
  Array.from(line.children, (cell) => [cell.textContent, cell.dataset.shade ?? "", cell.classList.contains("peak")])).slice(0, n), `${OPEN} .tokens`, FIRST);

/** The same of a list of a record. */
function writtenCells(record, list) {
  const lists = listsOf(record);
  const max = largest(lists);
  return lists[list].slice(0, FIRST).map(({ tokens, values, peak }) =>
    cells(tokens).map(({ from, until, text }) => [text, shadeOf(strongest(values.slice(from, until)), max), peak >= from && peak < until]));
}

/** The order of a layer's neurons by a measure, without those that its ranking leaves out. */
function ranked({ columns, ranks, at_starts }, measure, sign) {
  const [values, places] = [columns[measure], ranks[measure]];
  const neurons = [...values.keys()].filter((neuron) => !at_starts.includes(neuron));
  return neurons.sort((a, b) => sign * (values[b] - values[a] || places[a] - places[b]) || a - b).map(String);
}

export const TOUR = {
  async "from the front page to a model and its best neuron"({ reader }) {
    await reader.go("");
    const { n_layers, d_mlp, n_neurons, layers, top } = await atlas.model();
    const [row] = await reader.texts("table.models tbody tr");
    assert.match(row, new RegExp(`^tiny .* ${n_layers} ${d_mlp} ${n_neurons} `));
    assert.ok(await reader.ask(() => [...document.styleSheets].every((sheet) => sheet.cssRules.length > 0)), "its style is there");
    await reader.click("table.models a");
    await reader.has("table.layers");
    assert.equal(await reader.address(), "tiny/index.html");
    assert.deepEqual(await reader.texts("table.layers tbody th"), layers.map(({ layer }) => `Layer ${layer}`));
    assert.ok(await reader.ask(() => document.querySelector("table.layers .spark svg").getBoundingClientRect().width > 20), "a plot is there");
    const names = top.neurons.map(({ layer, neuron }) => `${layer}.${neuron}`);
    assert.deepEqual(await reader.texts("ol.top li > a"), names);
    await reader.click("ol.top li > a");
    await drawn(reader, names[0]);
  },

  async "a layer, ranked by another measure"({ reader, at }) {
    await reader.go("tiny/1/index.html");
    await reader.until(() => document.getElementById("measure")?.disabled === false);
    const layer = await atlas.layer(1);
    const rows = async () => (await reader.texts("#table tbody th")).map((id) => id.replace("1.", ""));
    assert.deepEqual(await rows(), ranked(layer, "kurtosis", 1));
    await reader.click("th[data-column=frequency] button");
    assert.deepEqual(await rows(), ranked(layer, "frequency", 1));
    await reader.click("th[data-column=frequency] button");
    assert.deepEqual(await rows(), ranked(layer, "frequency", -1));
    assert.equal(await reader.address(), "tiny/1/index.html#by=frequency-ascending");
    assert.equal(await reader.link("#cells a:nth-child(8)"), at(1, 7));
  },

  async "a neuron: examples with their values, plots, a whole document"({ reader, at }) {
    await reader.go(at(1, 7));
    await drawn(reader, "1.7");
    const record = await atlas.record(1, 7);
    const main = mainOf(record);
    assert.deepEqual(await shownCells(reader), writtenCells(record, main));
    await reader.point(`${OPEN} .peak`);
    const [{ value }] = listsOf(record)[main];
    await reader.until((value) => Array.from(document.querySelectorAll("#tip:popover-open b"), (b) => b.textContent).includes(value), String(Number(value.toPrecision(5))));
    assert.equal((await reader.texts(".card b")).filter((text) => /\d/.test(text)).length, 13);
    assert.equal(await reader.link("a.compare"), "compare.html?a=tiny/1/7");
    for (const part of ["histogram", "cosines", "v"]) assert.ok(await reader.ask((part) => document.querySelector(`[data-part=${part}] svg`)?.getBoundingClientRect().height > 20, part), part);
    assert.equal((await reader.texts("[data-part=logits] li")).length > 10, true);
    await reader.click("#random-tab");
    await drawn(reader, "1.7");
    assert.deepEqual(await shownCells(reader), writtenCells(record, "random"));
    await reader.click(`${OPEN} button.document`);
    await reader.has("dialog[open] .tokens .peak");
  },

  async "an example that an address names"({ reader, at }) {
    await reader.go(`${at(2, 3)}#example-3`);
    await reader.has(`${OPEN} li:nth-child(3).marked .tokens`);
    const [top, height] = await reader.until(() => scrollY > 0 && [document.querySelector(".marked").getBoundingClientRect().top, innerHeight]);
    assert.ok(top > 0 && top < height, `it is seen: ${top} of ${height}`);
  },

  async "keys lead to neighbours, to a neuron at random, and to one that is typed"({ reader, at }) {
    await reader.go(at(1, 36));
    await drawn(reader, "1.36");
    await reader.press("ArrowRight");
    await drawn(reader, "2.0");
    await reader.press("ArrowLeft");
    await drawn(reader, "1.36");
    await reader.ask(() => (window.isLeft = false)); // of this page: that at random may be of the same neuron
    await reader.press("r");
    await reader.until(() => window.isLeft === undefined);
    await drawn(reader);
    await reader.press("/");
    await reader.until(() => document.activeElement.id === "goto");
    await reader.type("#goto", "2.17");
    await reader.press("Enter");
    await drawn(reader, "2.17");
  },

  async "two neurons side by side"({ reader }) {
    await reader.go("compare.html?a=tiny/1/7");
    await reader.click("#pair .lists a");
    await reader.until(() => document.querySelectorAll("#pair .list .tokens").length === 12);
    const [[layer, neuron]] = (await atlas.record(1, 7)).weights.neighbours.alike;
    assert.deepEqual(await reader.texts("#pair .kind a:not(.tag)"), ["tiny 1.7", `tiny ${layer}.${neuron}`]);
    assert.equal((await reader.texts("#pair .card b")).length, 26);
    await reader.click("button[name=swap]");
    await reader.until(() => document.querySelector("#pair .kind a").textContent !== "tiny 1.7");
    assert.equal(await reader.address(), `compare.html?a=tiny/${layer}/${neuron}&b=tiny/1/7`);
  },

  async "the tokens"({ reader, at }) {
    await reader.go("tiny/tokens.html");
    await reader.type("#query", "e");
    const all = await atlas.tokens();
    const found = [...all.keys()].filter((id) => /^ ?e/i.test(all[id].text));
    await reader.until((n) => document.querySelectorAll("#found a").length === n, found.length);
    const ids = await reader.ask(() => Array.from(document.querySelectorAll("#found a"), (link) => Number(link.hash.slice(1))));
    assert.deepEqual(ids.toSorted((a, b) => a - b), found);
    await reader.click("#found a");
    await reader.has("#token:not([hidden]) [data-list=promoted_by] a");
    const names = await Promise.all(all[ids[0]].promoted_by.map(([flat]) => atlas.nameOf(flat)));
    assert.deepEqual(await reader.texts("[data-list=promoted_by] a"), names);
    assert.equal(await reader.link("[data-list=promoted_by] a"), at(...names[0].split(".")));
  },

  async "a search for a word"({ reader }) {
    await reader.go("tiny/search.html?q=neuron");
    const names = await atlas.neuronsWith("neuron");
    await reader.until(() => document.getElementById("results")?.ariaBusy === "false");
    assert.deepEqual(await reader.texts("#found-neurons li a"), names);
    await reader.click("#found-neurons li a");
    await drawn(reader, names[0]);
    await reader.until(() => document.querySelector(".marked .tokens")?.textContent.toLowerCase().includes("neuron"));
  },

  async "explore, and a filter"({ reader, at }) {
    const { layers, n_neurons, top } = await atlas.model();
    const leftOut = layers.reduce((n, { at_starts }) => n + at_starts, 0);
    const says = (words) => reader.until((words) => document.getElementById("count")?.textContent === words, words);
    await reader.go("tiny/explore.html");
    await says(`${n_neurons - leftOut} of ${n_neurons} neurons`);
    const firsts = async () => (await reader.texts("#found .id")).slice(0, top.neurons.length);
    assert.deepEqual(await firsts(), top.neurons.map(({ layer, neuron }) => `${layer}.${neuron}`));
    await reader.has("#found .line mark");
    const isPainted = () => reader.ask(() => {
      const canvas = document.querySelector("#scatter canvas");
      return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0);
    });
    assert.ok(await isPainted());
    await reader.type('[aria-label="Layer, at least"]', "2");
    const [, , last] = layers;
    await says(`${last.n_neurons - last.at_starts} of ${n_neurons} neurons`);
    const of = (await atlas.layer(2)).ranking.neurons.slice(0, top.neurons.length);
    assert.deepEqual(await firsts(), of.map((neuron) => `2.${neuron}`));
    assert.equal(await reader.address(), "tiny/explore.html?layer=2..");
    assert.equal(await reader.link("#found .id"), at(2, of[0]));
  },

  async "an address of nothing"({ reader, host }) {
    const path = "tiny/9/9.html";
    reader.knowMissing(path);
    assert.equal(await reader.go(path), 404);
    if (host.missing === "words") return assert.deepEqual(await reader.texts("h1"), ["Error response"]);
    assert.deepEqual(await reader.texts("h1"), ["Not found"]);
    assert.equal(await reader.link("main a.button"), "tiny/index.html");
  },
};

/** What is seen at the address of a page of a neuron that has none, since it is packed. */
export async function packedAddress({ reader, host }) {
  const [path, status] = ["tiny/1/9.html#example-2", { page: 404, neuron: 200, words: 404 }[host.missing]];
  if (status === 404) reader.knowMissing(path);
  assert.equal(await reader.go(path), status);
  if (host.missing === "words") return assert.deepEqual(await reader.texts("h1"), ["Error response"]);
  await drawn(reader, "1.9");
  await reader.has(`${OPEN} li:nth-child(2).marked .tokens`);
  assert.equal(await reader.address(), path);
  await reader.press("ArrowRight");
  await drawn(reader, "1.10");
  assert.equal(await reader.address(), "tiny/1/neuron.html?n=10");
}
