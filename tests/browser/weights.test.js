// What the weights say, in a real Chromium: tags, neighbours, figures, the scatter of a layer.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readFile } from "node:fs/promises";
import { SITE, at, json, page, root } from "./browser.js";
import { number, visible } from "../../theme/assets/read/tokens.js";


const record = () => page.evaluate(() => JSON.parse(document.getElementById("neuron").textContent));

test("a neuron's tags lead to what they mean", async () => {
  await page.goto(`${root}tiny/0/5.html`);
  const { at_starts, at_starts_either, weights } = await record();
  const starts = at_starts ? ["fires at starts"] : at_starts_either ? ["weaker side fires at starts"] : [];
  const tags = await page.$$eval(".tag", (tags) => tags.map((tag) => tag.textContent));
  const atypical = weights.class.typical ? [] : ["atypical"];
  assert.deepEqual(tags, [...starts, ...atypical, weights.class.name, ...(weights.role ? [`${weights.role} neuron`] : [])]);
  await page.click(".tag[href*=class]");
  assert.equal(at(), `tiny/index.html#class-${weights.class.name.replaceAll(" ", "-")}`);
  assert.equal(await page.textContent(":target"), weights.class.name);
});

test("the most alike are shown with a few words, other neighbours are folded away, by keyboard as well, and all lead to their pages", async () => {
  await page.goto(`${root}tiny/0/5.html`);
  const { weights: { neighbours } } = await record();
  const { short_lines_per_file: perFile, d_mlp } = await json("tiny/index.json");
  assert.ok(perFile > 3 * d_mlp);
  const { lines } = await json("tiny/lines/short-0.json");
  const words = ([layer, neuron, cosine]) => `${layer}.${neuron} ${visible(lines[layer * d_mlp + neuron] ?? "")} ${cosine < 0 ? "-" : "+"}${number(Math.abs(cosine))}`;
  const shown = (list) => page.$$eval(list, (items) => items.map((item) => item.textContent));
  await page.focus("#alike li a");
  await page.waitForFunction(() => document.querySelector("#alike .short").textContent !== "");
  assert.deepEqual(await shown("#alike li"), neighbours.alike.map(words));
  assert.ok(neighbours.alike.length === 10 && neighbours.alike.every(([, , cosine], i) => cosine > 0 && (i === 0 || cosine <= neighbours.alike[i - 1][2])));
  assert.equal(await page.isVisible("#neighbours ol"), false);
  await page.focus("#neighbours summary");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#neighbours .short").textContent !== "");
  const both = (name, sign) => ["layer", "others"].flatMap((where) => neighbours[`${name}_${where}`]).filter(([, , cosine]) => cosine * sign > 0).sort(([, , a], [, , b]) => Math.abs(b) - Math.abs(a));
  const { upstream_in, upstream_gate, downstream_in, downstream_gate } = neighbours;
  const expected = [both("in_in", 1), both("out_out", 1), upstream_in, upstream_gate, downstream_in, downstream_gate, both("in_in", -1), both("out_out", -1)];
  const lists = await page.$$eval("#neighbours > .lists:first-of-type > div", (all) => all.map((list) => [...list.querySelectorAll("li")].map((item) => item.textContent)));
  assert.deepEqual(lists, expected.map((list) => list.map(words)));
  assert.ok(upstream_in.length === 0 && downstream_gate.length === 10);
  const loaded = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => name.includes("/lines/")));
  assert.ok(loaded.length > 0 && loaded.length <= 4, loaded.join("\n"));
  // what chance gives is grey
  const chance = Number(await page.getAttribute("[data-part=neighbours]", "data-chance"));
  assert.ok(Math.abs(chance - Math.sqrt((2 * Math.log(3 * d_mlp)) / 24)) < 1e-4);
  const grey = await page.$$eval("#neighbours > .lists:first-of-type li", (items) => items.map((item) => item.matches(".chance")));
  assert.deepEqual(grey, expected.flat().map(([, , cosine]) => Math.abs(cosine) <= chance));
  const [layer, neuron] = downstream_in[0];
  await page.click(`#neighbours a >> text="${layer}.${neuron}"`);
  assert.equal(at(), `tiny/${layer}/${neuron}.html`);
});

test("a logit weight's token leads to its page", async () => {
  await page.goto(`${root}tiny/1/4.html`);
  const { logits, side } = await record();
  await page.click(".logits .token");
  await page.waitForSelector(".lists, .logits");
  assert.equal(at(), `tiny/tokens.html#${(side.name === "negative" ? logits.bottom : logits.top).id[0]}`);
});

test("cosines are drawn where they are, on what chance explains", async () => {
  await page.goto(`${root}tiny/2/3.html`);
  const { weights } = await record();
  const svg = 'svg[aria-label^="Cosines between the neuron\'s weights"]';
  const dots = await page.$$eval(`${svg} circle`, (dots) => dots.map((dot) => Number(dot.getAttribute("cx"))));
  const order = ["in_out", "gate_out", "gate_in"];
  const ends = await page.$$eval(`${svg} text[text-anchor=middle]`, (texts) => texts.map((text) => [Number(text.textContent), Number(text.getAttribute("x"))]));
  const [from, to] = [ends.find(([value]) => value === -1)[1], ends.find(([value]) => value === 1)[1]];
  const place = (cosine) => from + ((cosine + 1) / 2) * (to - from);
  order.forEach((name, i) => assert.ok(Math.abs(dots[i] - place(weights.cosines[name].value)) < 0.2, name));
  const bands = await page.$$eval(`${svg} .null`, (bands) => bands.map((band) => band.getBBox()).map(({ x, width }) => [x, x + width]));
  order.forEach((name, i) => weights.cosines[name].null.forEach((end, side) => assert.ok(Math.abs(bands[i][side] - place(end)) < 0.2, name)));
});

test("cosines with the norm after the MLP folded in are named", async () => {
  const html = await readFile(`${SITE}/tiny/2/3.html`, "utf8");
  const cosine = (value) => ({ value, null: null, outside: null });
  await page.route("**/tiny/2/3.html", (route) => route.fulfill({ contentType: "text/html", body: html.replace('"cosines":{', `"cosines":{"in_written":${JSON.stringify(cosine(0.25))},"gate_written":${JSON.stringify(cosine(-0.5))},`) }));
  await page.goto(`${root}tiny/2/3.html`);
  const svg = page.locator('svg[aria-label^="Cosines between the neuron\'s weights"]');
  const label = await svg.getAttribute("aria-label");
  for (const text of ["in · normed 0.250", "gate · normed -0.500"]) assert.ok(label.includes(text), label);
  assert.match(await page.textContent("[data-part=cosines]"), /Normed: w_out with the norm after the MLP folded in/);
});

test("a layer's scatter names the neuron under the pointer, and leads to it", async () => {
  await page.goto(`${root}tiny/0/index.html`);
  await page.waitForSelector("#scatter canvas");
  const { columns } = await json("tiny/0/index.json");
  const canvas = page.locator("#scatter canvas");
  await canvas.scrollIntoViewIfNeeded();
  const box = await canvas.boundingBox();
  // the neuron furthest to the right
  const best = columns.cos_in_out.indexOf(Math.max(...columns.cos_in_out));
  const [left, low] = [30, 30];
  const inner = box.width - left - 6;
  const x = box.x + left + ((columns.cos_in_out[best] + 1) / 2) * inner;
  const y = box.y + box.width - low - ((columns.cos_gate_out[best] + 1) / 2) * inner;
  await page.mouse.move(x, y);
  const text = await page.textContent("#scatter-text");
  assert.ok(text.startsWith(`0.${best}: `), text);
  await page.mouse.click(x, y);
  await page.waitForURL(`${root}tiny/0/${best}.html`);
  // by keyboard: the last of those from left to right
  await page.goBack();
  await canvas.focus();
  await page.keyboard.press("End");
  assert.ok((await page.textContent("#scatter-text")).startsWith(`0.${best}: `));
  await page.keyboard.press("Enter");
  await page.waitForURL(`${root}tiny/0/${best}.html`);
});

test("the scatter's colours follow dark and light", async () => {
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto(`${root}tiny/0/index.html`);
  await page.waitForSelector("#scatter canvas");
  const pixels = () => page.$eval("#scatter canvas", (canvas) => canvas.toDataURL());
  const light = await pixels();
  const colors = await page.$eval("#scatter canvas", (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join())).size;
  });
  assert.ok(colors > 20, `${colors} colours`);
  await page.click("button.mode");
  await page.waitForTimeout(50);
  assert.notEqual(await pixels(), light);
});

test("a model's figures have their data beside them", async () => {
  await page.goto(`${root}tiny/index.html`);
  const links = await page.$$eval(".figures a", (links) => [...new Set(links.map((link) => link.getAttribute("href")))]);
  const layers = await Promise.all([0, 1, 2].map((layer) => json(`tiny/${layer}/index.json`)));
  const roles = layers.some(({ weights: { role } }) => role.some((place) => place !== null));
  assert.deepEqual(links.sort(), ["classes", "cosines", "frequency", "kurtosis", ...(roles ? ["roles"] : [])].flatMap((name) => [`figures/${name}.csv`, `figures/${name}.json`]));
  for (const link of links.filter((link) => link.endsWith(".csv"))) {
    const csv = (await readFile(`${SITE}/tiny/${link}`, "utf8")).trim().split("\n").map((row) => row.split(","));
    const { columns, rows } = await json(`tiny/${link.replace("csv", "json")}`);
    assert.deepEqual(csv[0], columns);
    const read = (cell) => (cell === "" ? null : ["true", "false"].includes(cell) ? cell === "true" : Number.isNaN(Number(cell)) ? cell : Number(cell));
    assert.deepEqual(csv.slice(1).map((row) => row.map(read)), rows);
  }
  // the bars of a layer add up to what the data say
  const { rows } = await json("tiny/figures/classes.json");
  const bars = await page.$$eval(".figures figure:first-child .plot path[class^=class-]", (paths) =>
    paths.map((path) => [path.querySelector("title").textContent, path.getAttribute("d")]));
  assert.ok(bars.length > 0);
  for (const [name, d] of bars) {
    const own = [...d.matchAll(/M[\d.]+ ([\d.]+)V([\d.]+)/g)].map(([, from, to]) => Number(from) - Number(to));
    const shares = [0, 1, 2].map((layer) => rows.filter((row) => row[0] === layer && row[1] === name).reduce((sum, row) => sum + row[4], 0));
    const expected = shares.filter((share) => share > 0).map((share) => share * (212 - 8));
    assert.equal(own.length, expected.length, name);
    own.forEach((height, i) => assert.ok(Math.abs(height - expected[i]) < 0.1, `${name}: ${height} instead of ${expected[i]}`));
  }
  const total = new Map();
  for (const [layer, , , n] of rows) total.set(layer, (total.get(layer) ?? 0) + n);
  assert.deepEqual([...total.values()], [37, 37, 37]);
});
