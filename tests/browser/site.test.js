// The site in a real Chromium.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readdir } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { SITE, at, browser, json, listen, page, root } from "./browser.js";

const record = () => page.evaluate(() => JSON.parse(document.getElementById("neuron").textContent));

test("from the front page to a neuron and along its neighbours", async () => {
  await page.goto(root);
  await page.click("table.models a");
  assert.equal(at(), "tiny/index.html");
  await page.click("table.layers th a");
  assert.equal(at(), "tiny/0/index.html");
  await page.click("#cells a >> nth=4");
  assert.equal(at(), "tiny/0/4.html");
  await page.click("a[rel=next]");
  assert.equal(at(), "tiny/0/5.html");
  await page.click("a[rel=prev]");
  assert.equal(at(), "tiny/0/4.html");
  await page.click(".crumbs a >> nth=2");
  assert.equal(at(), "tiny/0/index.html");
});

test("random leads to neurons of the model, or of the layer", async () => {
  for (const [from, pattern] of [["tiny/random.html", /^tiny\/([0-2])\/(\d+)\.html$/], ["tiny/1/random.html", /^tiny\/(1)\/(\d+)\.html$/]]) {
    const seen = new Set();
    for (let i = 0; i < 5; i++) {
      await page.goto(root + from);
      await page.waitForURL(/\/\d+\.html$/);
      const [, , neuron] = pattern.exec(at());
      assert.ok(Number(neuron) < 37);
      seen.add(at());
    }
    assert.ok(seen.size > 1);
  }
});

test("keys: neighbours, random, going to a neuron", async () => {
  await page.goto(`${root}tiny/0/36.html`);
  await page.keyboard.press("ArrowRight");
  await page.waitForURL("**/tiny/1/0.html");
  await page.keyboard.press("ArrowLeft");
  await page.waitForURL("**/tiny/0/36.html");
  for (const [typed, target] of [["2.17", "tiny/2/17.html"], ["L1N3", "tiny/1/3.html"], ["tiny/0.5", "tiny/0/5.html"], ["tiny 2/6", "tiny/2/6.html"]]) {
    await page.keyboard.press("/");
    await page.keyboard.type(typed);
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/${target}`);
  }
  for (const [typed, reason] of [["9.1", "layers 0 to 2"], ["0.37", "neurons 0 to 36"], ["other/0.1", "no model other"], ["hello", "layer.neuron"]]) {
    await page.keyboard.press("/");
    await page.keyboard.type(typed);
    await page.keyboard.press("Enter");
    assert.match(await page.textContent("#goto-error"), new RegExp(reason));
    await page.keyboard.press("Escape");
  }
  await page.keyboard.press("r");
  await page.waitForURL(/\/\d+\.html$/);
});

test("the first and last neurons have no dead links", async () => {
  await page.goto(`${root}tiny/0/0.html`);
  assert.equal(await page.locator("main a[rel=prev]").count(), 0);
  await page.keyboard.press("ArrowLeft");
  assert.equal(at(), "tiny/0/0.html");
  await page.goto(`${root}tiny/2/36.html`);
  assert.equal(await page.locator("main a[rel=next]").count(), 0);
});

/** Scrolls through the page so that every list is drawn. */
async function drawAll() {
  await page.evaluate(async () => {
    for (const section of document.querySelectorAll("section.list")) {
      section.scrollIntoView();
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  });
}

test("heat maps show the record's values", async () => {
  await page.goto(`${root}tiny/1/7.html`);
  await drawAll();
  const { examples } = await record();
  const max = Math.max(...Object.values(examples).flat().flatMap((e) => e.values.map(Math.abs)));
  for (const [list, expected] of Object.entries(examples)) {
    const found = await page.$$eval(`section[data-list="${list}"] .tokens`, (lines) => lines.map((line) => [...line.children].map((span) => [span.className, span.classList.contains("peak")])));
    assert.equal(found.length, expected.length, list);
    expected.forEach((example, i) => {
      assert.equal(found[i].length, example.tokens.length, list);
      found[i].forEach(([names, peak], j) => {
        const value = example.values[j];
        const level = Math.round((8 * Math.abs(value)) / max);
        const shade = /\b([pn]\d)\b/.exec(names)?.[1] ?? "";
        assert.equal(shade, level === 0 ? "" : `${value < 0 ? "n" : "p"}${level}`);
        assert.equal(peak, j === example.peak);
      });
    });
  }
  const signs = await page.$$eval(".n4, .n5, .n6, .n7, .n8", (spans) => spans.map((span) => getComputedStyle(span).textDecorationLine));
  assert.ok(signs.every((line) => line === "underline"), "negative values are told apart without colour");
});

test("value, id and position on hover and on focus", async () => {
  await page.goto(`${root}tiny/1/7.html`);
  const { examples } = await record();
  const list = await page.$eval("section.list", (section) => section.dataset.list);
  const example = examples[list][0];
  const peak = page.locator(`section[data-list="${list}"] .peak`).first();
  const expected = [String(Number(example.value.toPrecision(5))), `id ${example.ids[example.peak]} · position ${example.start + example.peak}`];
  await peak.hover();
  for (const text of expected) assert.ok((await page.textContent("#tip")).includes(text), text);
  await page.mouse.move(0, 0);
  await peak.focus();
  for (const text of expected) assert.ok((await page.textContent("#tip")).includes(text), text);
  const to = example.peak > 0 ? ["ArrowLeft", example.peak - 1] : ["ArrowRight", example.peak + 1];
  await page.keyboard.press(to[0]);
  assert.ok((await page.textContent("#tip")).includes(`id ${example.ids[to[1]]} · position ${example.start + to[1]}`));
  assert.equal(at(), "tiny/1/7.html", "an arrow within an example does not leave the page");
});

test("hard texts are shown whole, and as text", async () => {
  await page.goto(`${root}tiny/0/3.html`);
  await drawAll();
  const { examples } = await record();
  const shown = await page.$$eval(".examples .tokens", (lines) => lines.map((line) => line.textContent));
  const all = shown.join("\n");
  for (const text of ["<br>", "</script>", "&amp;", "↵", "→", "␀", "␛", "⟨202E⟩", "⟨200B⟩", "{{ 7 * 7 }}"]) assert.ok(all.includes(text), text);
  assert.ok(/[א-ת]{2}/.test(all) && all.includes("日本") && /🧠|🔬/u.test(all), "characters of several tokens are put together");
  assert.ok(!all.includes("\ufffd"));
  const partial = Object.values(examples).flat().find((example) => example.bytes);
  assert.ok(partial, "some token is a piece of a character");
  assert.equal(await page.locator(".examples script, .examples br").count(), 0);
  assert.ok(await page.locator(".piece").count() > 0);
  const isolated = await page.$eval(".t", (span) => getComputedStyle(span).unicodeBidi);
  assert.match(isolated, /isolate/);
});

test("a whole document on demand", async () => {
  await page.goto(`${root}tiny/1/7.html`);
  const { examples } = await record();
  const list = await page.$eval("section.list", (section) => section.dataset.list);
  const example = examples[list][0];
  await page.locator("button.document").first().click();
  await page.waitForSelector("dialog[open] .tokens");
  const { starts } = await json("tiny/docs/index.json");
  const start = Math.max(...starts.filter((start) => start <= example.doc));
  const expected = (await json(`tiny/docs/${String(start).padStart(6, "0")}.json`)).documents[example.doc - start];
  assert.equal(await page.textContent("#whole-title"), expected.id);
  assert.equal(await page.locator("dialog bdi").count(), expected.tokens.length);
  assert.deepEqual(expected.ids.slice(example.start, example.start + example.ids.length), example.ids);
  const peak = await page.$$eval("dialog bdi", (spans) => spans.findIndex((span) => span.classList.contains("peak")));
  assert.equal(peak, example.start + example.peak);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("dialog[open]").count(), 0);
});

test("a layer is ranked by any measure", async () => {
  await page.goto(`${root}tiny/1/index.html`);
  await page.waitForSelector("#measure:not([disabled])");
  const { columns, ranking } = await json("tiny/1/index.json");
  const shown = () => page.$$eval("#table tbody th", (cells) => cells.map((cell) => Number(cell.textContent.split(".")[1])));
  assert.deepEqual(await shown(), ranking.neurons);
  for (const measure of ["variance", "frequency", "peak_ratio"]) {
    await page.selectOption("#measure", measure);
    const neurons = await shown();
    const values = neurons.map((neuron) => columns[measure][neuron]).filter((value) => value !== null);
    assert.deepEqual(values, [...values].sort((a, b) => b - a));
    assert.equal(neurons.length, 37);
    assert.match(page.url(), new RegExp(`#by=${measure}$`));
  }
  await page.click("th[data-column=max] button");
  await page.click("th[data-column=max] button");
  const ascending = (await shown()).map((neuron) => columns.max[neuron]);
  assert.deepEqual(ascending, [...ascending].sort((a, b) => a - b));
  assert.equal(await page.locator("#cells a").count(), 37);
  await page.goto("about:blank");
  await page.goto(`${root}tiny/1/index.html#by=variance`);
  await page.waitForSelector("#measure:not([disabled])");
  assert.equal(await page.inputValue("#measure"), "variance");
});

test("dark and light, chosen and kept", async () => {
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.goto(root);
  const light = await paper();
  await page.click("button.mode");
  const dark = await paper();
  assert.notEqual(light, dark);
  await page.goto(`${root}tiny/0/0.html`);
  assert.equal(await paper(), dark);
  const system = await browser.newPage({ colorScheme: "dark" });
  await system.goto(root);
  assert.equal(await system.evaluate(() => getComputedStyle(document.body).backgroundColor), dark);
  await system.close();
});

test("without JavaScript the examples can be read and every neuron reached", async () => {
  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  listen(plain);
  await plain.goto(`${root}tiny/0/index.html`);
  assert.equal(await plain.locator("#cells a").count(), 37);
  await plain.click("#cells a >> nth=36");
  assert.equal(plain.url(), `${root}tiny/0/36.html`);
  assert.ok(await plain.locator(".examples li mark").count() >= 10);
  assert.ok(await plain.locator(".card b").count() >= 10);
  await plain.click("a[rel=next]");
  assert.equal(plain.url(), `${root}tiny/1/0.html`);
  await plain.goto(`${root}tiny/model.html`);
  await plain.waitForURL("**/tiny/index.html");
  await plain.context().close();
});

test("from a folder on disk, without any server", async () => {
  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  listen(plain);
  await plain.goto(pathToFileURL(`${SITE}/index.html`).href);
  await plain.click("table.models a");
  await plain.click("table.layers th a");
  await plain.click("#cells a >> nth=2");
  assert.ok(await plain.locator(".examples li mark").count() >= 10);
  await plain.context().close();
});

test("an address that leads nowhere", async () => {
  const quiet = await browser.newPage();
  const response = await quiet.goto(`${root}tiny/77/not/here.html`);
  assert.equal(response.status(), 404);
  assert.equal(await quiet.textContent("h1"), "Not found");
  const css = await quiet.evaluate(() => [...document.styleSheets].map((sheet) => sheet.cssRules.length));
  assert.ok(css[0] > 10, "its style is found from any depth");
  await quiet.click("text=tiny");
  assert.equal(quiet.url(), `${root}tiny/index.html`);
  await quiet.close();
});

test("every kind of page fits a phone", async () => {
  await page.setViewportSize({ width: 360, height: 800 });
  for (const name of ["index.html", "tiny/index.html", "tiny/0/index.html", "tiny/0/3.html", "tiny/tokens.html", "404.html"]) {
    await page.goto(root + name);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(over <= 0, `${name} is ${over} px too wide`);
  }
});

test("what a display rule says of a token is the same in Rust and in JavaScript", async () => {
  // the static list of a page without JavaScript against the same list drawn from the record
  const names = (await readdir(`${SITE}/tiny/0`)).filter((name) => /^\d+\.html$/.test(name)).slice(0, 12);
  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  for (const name of names) {
    await plain.goto(`${root}tiny/0/${name}`);
    await page.goto(`${root}tiny/0/${name}`);
    await page.waitForSelector(".examples .tokens");
    const drawn = await page.$$eval("section.list:first-of-type .tokens", (lines) => lines.map((line) => line.textContent));
    const written = await plain.$$eval("section.list:first-of-type .text", (lines) => lines.map((line) => line.textContent));
    // a window can begin or end within a character, which the two show differently
    const ends = (text) => text.replace(/^(⟨[0-9A-F]{2}⟩|\ufffd)+|(⟨[0-9A-F]{2}⟩|\ufffd)+$/gu, "");
    assert.deepEqual(drawn.map(ends), written.map(ends), name);
  }
  await plain.context().close();
});
