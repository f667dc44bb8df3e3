// The site in a real Chromium.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readdir } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { SITE, at, browser, json, listen, page, root } from "./browser.js";
import { cellsOf, largest, listsOf, shadeOf, strongest, tokensOf } from "./record.js";
import { measured, number, visible } from "../../theme/assets/read/tokens.js";

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
  for (const [typed, reason] of [["9.1", "layers 0 to 2"], ["0.37", "neurons 0 to 36"], ["other/0.1", "no model other"]]) {
    await page.keyboard.press("/");
    await page.keyboard.type(typed);
    await page.keyboard.press("Enter");
    await page.waitForFunction((reason) => document.getElementById("goto-error").value.includes(reason), reason);
    await page.keyboard.press("Escape");
  }
  await page.keyboard.press("r");
  await page.waitForURL(/\/\d+\.html$/);
});

test("single keys can be turned off, and stay so", async () => {
  await page.goto(`${root}tiny/1/1.html`);
  await page.click("text=Turn keys off");
  await page.locator("h1").click();
  await page.keyboard.press("ArrowRight");
  await page.goto(`${root}tiny/1/2.html`);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "");
  assert.equal(at(), "tiny/1/2.html");
  await page.click("text=Turn keys on");
  await page.locator("h1").click();
  await page.keyboard.press("ArrowRight");
  await page.waitForURL("**/tiny/1/3.html");
});

test("the first and last neurons have no dead links", async () => {
  await page.goto(`${root}tiny/0/0.html`);
  assert.equal(await page.locator("main a[rel=prev]").count(), 0);
  await page.keyboard.press("ArrowLeft");
  assert.equal(at(), "tiny/0/0.html");
  await page.goto(`${root}tiny/2/36.html`);
  assert.equal(await page.locator("main a[rel=next]").count(), 0);
});

/** Brings each list of a neuron's page to be drawn: the tabs, and the bands, which are folded. Gives their cells, by list. */
async function drawn() {
  const cellsOf = (selector) => page.$$eval(selector, (lines) => lines.map((line) =>
    [...line.children].map((cell) => ({ text: cell.textContent, shade: /\b[pn]\d\b/.exec(cell.className)?.[0] ?? "", peak: cell.classList.contains("peak") }))));
  const lists = {};
  for (const tab of await page.getByRole("tab").all()) {
    await tab.click();
    const id = await tab.getAttribute("aria-controls");
    lists[await page.getAttribute(`#${id}`, "data-list")] = await cellsOf(`#${id} .tokens`);
  }
  await page.$$eval(".band details", (all) => all.forEach((details) => (details.open = true)));
  await page.waitForFunction(() => [...document.querySelectorAll(".band details")].every((details) => details.querySelector(".tokens")));
  for (const { id, list } of await page.$$eval(".band", (bands) => bands.map(({ id }) => ({ id, list: id.replaceAll("-", ".") })))) lists[list] = await cellsOf(`[id="${id}"] .tokens`);
  return lists;
}

test("heat maps show the record's values", async () => {
  await page.goto(`${root}tiny/1/7.html`);
  const expected = listsOf(await record());
  const found = await drawn();
  assert.deepEqual(Object.keys(found).sort(), Object.keys(expected).sort());
  const max = largest(expected);
  for (const [list, examples] of Object.entries(expected)) {
    assert.equal(found[list].length, examples.length, list);
    examples.forEach(({ tokens, values, peak }, i) => {
      const cells = cellsOf(tokens);
      assert.equal(found[list][i].length, cells.length, list);
      cells.forEach(([first, end], at) => {
        const cell = found[list][i][at];
        assert.equal(cell.shade, shadeOf(strongest(values.slice(first, end)), max), list);
        assert.equal(cell.peak, peak >= first && peak < end);
      });
    });
  }
  const lines = (sign) => page.$$eval(`.${sign}4, .${sign}5, .${sign}6, .${sign}7, .${sign}8`, (cells) => [...new Set(cells.map((cell) => {
    const { textDecorationLine, textDecorationStyle } = getComputedStyle(cell);
    return `${textDecorationLine} ${textDecorationStyle}`;
  }))]);
  assert.deepEqual([await lines("p"), await lines("n")], [["underline solid"], ["underline dotted"]], "signs are told apart without colour");
});

/** The examples of the list that the page opens with. */
async function firstList() {
  const list = await page.$eval("section.list", (section) => section.dataset.list);
  return { list, examples: listsOf(await record())[list] };
}

/** The document of an example, from the files beside the pages. */
async function documentOf({ doc }) {
  const { starts } = await json("tiny/docs/index.json");
  const start = Math.max(...starts.filter((start) => start <= doc));
  return (await json(`tiny/docs/${String(start).padStart(6, "0")}.json`)).documents[doc - start];
}

/** A token's value in words: what is stored of all but the peak's is a multiple of a step. */
const valueText = ({ values, peak, step }, at) => (at === peak ? String(Number(values[at].toPrecision(5))) : `${number(values[at])} ± ${number(step / 2)}`);

test("value and position on hover and on focus", async () => {
  await page.goto(`${root}tiny/1/7.html`);
  const { examples: [example] } = await firstList();
  const peak = page.locator(".examples .peak").first();
  const said = (at) => [valueText(example, at), `position ${example.start + at}`];
  await peak.hover();
  for (const text of said(example.peak)) assert.ok((await page.textContent("#tip")).includes(text), text);
  await page.mouse.move(0, 0);
  assert.equal(await page.isVisible("#tip"), false);
  await peak.focus();
  await page.waitForSelector("#tip:popover-open");
  assert.equal(await peak.getAttribute("aria-describedby"), "tip");
  for (const text of said(example.peak)) assert.ok((await page.textContent("#tip")).includes(text), text);
  const cells = cellsOf(example.tokens);
  const own = cells.findIndex(([, end]) => end > example.peak);
  const [key, [next]] = own > 0 ? ["ArrowLeft", cells[own - 1]] : ["ArrowRight", cells[own + 1]];
  await page.keyboard.press(key);
  for (const text of said(next)) assert.ok((await page.textContent("#tip")).includes(text), text);
  assert.equal(at(), "tiny/1/7.html", "an arrow within an example does not leave the page");
  await page.keyboard.press("Escape");
  assert.equal(await page.isVisible("#tip"), false);
});

test("hard texts are shown whole, and as text", async () => {
  await page.goto(`${root}tiny/0/3.html`);
  const lists = listsOf(await record());
  const all = Object.values(await drawn()).flat().map((cells) => cells.map(({ text }) => text).join("")).join("\n");
  for (const text of ["<br>", "</script>", "&amp;", "↵", "→", "␀", "␛", "⟨202E⟩", "⟨200B⟩", "{{ 7 * 7 }}"]) assert.ok(all.includes(text), text);
  assert.ok(/[א-ת]{2}/.test(all) && all.includes("日本") && /🧠|🔬/u.test(all), "characters of several tokens are put together");
  assert.ok(!all.includes("\ufffd"));
  assert.ok(Object.values(lists).flat().some(({ bytes }) => bytes), "some window is cut inside a character");
  assert.equal(await page.locator(".examples script, .examples br").count(), 0);
  const isolated = await page.$eval(".t", (cell) => getComputedStyle(cell).unicodeBidi);
  assert.match(isolated, /isolate/);
});

test("tokens that share a character are one cell, which says the pieces", async () => {
  await page.goto(`${root}tiny/0/3.html`);
  const { examples } = await firstList();
  const at = examples.findIndex(({ tokens }) => cellsOf(tokens).some(([first, end]) => end - first > 1));
  const { tokens, start } = examples[at];
  const cell = cellsOf(tokens).findIndex(([first, end]) => end - first > 1);
  const [first, end] = cellsOf(tokens)[cell];
  const shown = page.locator(".examples li").nth(at).locator(".t").nth(cell);
  assert.match(await shown.getAttribute("class"), /\bpieces\b/);
  await shown.hover();
  const tip = await page.textContent("#tip");
  assert.ok(tip.includes(`“${Buffer.concat(tokens.slice(first, end))}” in ${end - first} tokens`), tip);
  for (let i = first; i < end; i++) {
    const bytes = [...tokens[i]].map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
    const hooks = Object.entries(examples[at].hooks).map(([name, { values, step }]) => `${name} ${number(values[i])} ± ${number(step / 2)}`);
    assert.ok(tip.includes(`${valueText(examples[at], i)}${hooks.join(" · ")}bytes ${bytes} · position ${start + i}`), tip);
  }
});

test("a whole document on demand", async () => {
  await page.goto(`${root}tiny/1/7.html`);
  const { examples: [example] } = await firstList();
  await page.locator("button.document").first().click();
  await page.waitForSelector("dialog[open] .tokens");
  const expected = await documentOf(example);
  const tokens = tokensOf(expected);
  assert.equal(await page.textContent("#whole-title"), expected.id);
  assert.equal(await page.locator("dialog bdi").count(), cellsOf(tokens).length);
  assert.equal(expected.ids.length, tokens.length);
  assert.deepEqual(tokens.slice(example.start, example.start + example.tokens.length), example.tokens);
  const place = example.start + example.peak;
  const peak = await page.$$eval("dialog bdi", (cells) => cells.findIndex((cell) => cell.classList.contains("peak")));
  assert.equal(peak, cellsOf(tokens).findIndex(([, end]) => end > place));
  // what is known of the example only is told from zero
  const end = example.start + example.tokens.length;
  const unknown = await page.$$eval("dialog bdi", (cells) => cells.map((cell) => cell.classList.contains("unknown")));
  assert.deepEqual(unknown, cellsOf(tokens).map(([first, until]) => until <= example.start || first >= end));
  assert.ok((await page.textContent("dialog .meta")).endsWith(`values kept of positions ${example.start} to ${end - 1}`));
  await page.focus("dialog .peak");
  await page.waitForSelector("#tip:popover-open");
  assert.ok((await page.textContent("#tip")).includes(`id ${expected.ids[place]} · position ${place}`));
  const shown = await page.$eval("dialog .peak", (cell) => cell.getBoundingClientRect().top);
  assert.ok(shown > 0 && shown < 900, "the peak is in sight");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("dialog[open]").count(), 0);
});

test("a layer is ranked by any measure", async () => {
  await page.goto(`${root}tiny/1/index.html`);
  await page.waitForSelector("#measure:not([disabled])");
  const { columns, ranking, at_starts, at_starts_either, lines } = await json("tiny/1/index.json");
  const leftOut = (measure) => (["variance", "range"].includes(measure) ? at_starts_either : at_starts);
  const shown = () => page.$$eval("#table tbody th", (cells) => cells.map((cell) => Number(cell.textContent.split(".")[1])));
  assert.deepEqual(await shown(), ranking.neurons.filter((neuron) => !at_starts.includes(neuron)));
  for (const measure of ["variance", "frequency", "peak_ratio"]) {
    await page.selectOption("#measure", measure);
    const neurons = await shown();
    const values = neurons.map((neuron) => columns[measure][neuron]).filter((value) => value !== null);
    assert.deepEqual(values, [...values].sort((a, b) => b - a));
    assert.equal(neurons.length, 37 - leftOut(measure).length);
    assert.ok(neurons.every((neuron) => !leftOut(measure).includes(neuron)));
    assert.match(page.url(), new RegExp(`#by=${measure}$`));
  }
  // each number in its unit, as the catalogue has it
  const facts = (await readdir(`${SITE}/assets/read`)).find((name) => name.startsWith("facts."));
  const { FACTS } = await import(pathToFileURL(`${SITE}/assets/read/${facts}`).href);
  const headers = await page.$$eval("#table th[data-column]", (cells) => cells.slice(1).map((cell) => cell.dataset.column));
  const cells = await page.$$eval("#table tbody tr", (rows) => rows.map((row) => [...row.querySelectorAll("td.num")].map((cell) => cell.textContent)));
  const order = await shown();
  const unitOf = (name) => FACTS.find(({ key }) => key === name).unit;
  assert.deepEqual(cells, order.map((neuron) => headers.map((name) => measured(columns[name][neuron], unitOf(name)))));
  assert.deepEqual(await page.$$eval("#table td.line", (cells) => cells.map((cell) => cell.textContent)), order.map((neuron) => visible(lines[neuron] ?? "")));
  assert.deepEqual(headers.filter((name) => unitOf(name) === "share"), ["frequency"]);
  assert.match(cells[0][headers.indexOf("frequency")], / %$/);
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

test("a layer's ranking leaves out neurons that fire at starts, unless it is told not to", async () => {
  for (let layer = 0; layer < 3; layer++) {
    const { columns, at_starts, at_starts_either } = await json(`tiny/${layer}/index.json`);
    assert.ok(at_starts.length > 0, "each layer of this model has some");
    await page.goto(`${root}tiny/${layer}/index.html`);
    const box = page.getByLabel("Include neurons that fire at starts");
    await page.waitForSelector("#starts:not([disabled])");
    const shown = () => page.$$eval("#table tbody th", (cells) => cells.map((cell) => Number(cell.textContent.split(".")[1])));
    const said = (n, what) => `${n} ${n === 1 ? "is" : "are"} ${what}`;
    const without = await shown();
    assert.equal(without.length, 37 - at_starts.length);
    assert.equal(await page.textContent("#left-out"), said(at_starts.length, "left out"));
    const shaded = () => page.$$eval("#cells a:not(.s0)", (cells) => cells.length);
    assert.equal(await shaded(), without.length);
    await box.check();
    const all = await shown();
    assert.deepEqual(all, [...all].sort((a, b) => columns.kurtosis[b] - columns.kurtosis[a] || all.indexOf(a) - all.indexOf(b)));
    assert.equal(all.length, 37);
    assert.equal(await shaded(), 37);
    assert.equal(await page.textContent("#left-out"), said(at_starts.length, "included"));
    await page.selectOption("#measure", "range");
    assert.equal(at(), `tiny/${layer}/index.html#by=range&starts`);
    await page.reload();
    await page.waitForSelector("#starts:not([disabled])");
    assert.ok(await box.isChecked());
    assert.equal((await shown()).length, 37);
    await box.uncheck();
    assert.equal((await shown()).length, 37 - at_starts_either.length);
    await page.selectOption("#measure", "io_cosine"); // where a neuron fires does not matter
    assert.equal((await shown()).length, 37);
    assert.equal(await page.textContent("#left-out"), "none by this measure");
  }
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

/** The first examples of each side that the neuron speaks on are in sight. */
async function readable(page) {
  const sides = await page.locator("section.list").count();
  assert.ok(sides > 0);
  assert.equal(await page.locator(".examples li mark >> visible=true").count(), 3 * sides);
}

test("without JavaScript the examples can be read and every neuron reached", async () => {
  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  listen(plain);
  await plain.goto(`${root}tiny/0/index.html`);
  assert.equal(await plain.locator("#cells a").count(), 37);
  await plain.click("#cells a >> nth=36");
  assert.equal(plain.url(), `${root}tiny/0/36.html`);
  await readable(plain);
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
  await readable(plain);
  await plain.context().close();
});

test("a page that is opened as a file says what is missing", async () => {
  const quiet = await browser.newPage(); // the browser complains of each module
  await quiet.goto(pathToFileURL(`${SITE}/tiny/1/7.html`).href);
  assert.match(await quiet.textContent(".notice"), /Opened as a file/);
  await readable(quiet);
  assert.ok(await quiet.locator(".list h2").first().isVisible(), "no room is kept for tabs that do not come");
  await quiet.close();
  await page.goto(`${root}tiny/1/7.html`);
  assert.equal(await page.locator(".notice").count(), 0);
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
    const middles = await page.$$eval(".brand, .goto, .mode", (all) => all.map((node) => node.getBoundingClientRect()).map(({ top, bottom }) => (top + bottom) / 2));
    assert.ok(Math.max(...middles) - Math.min(...middles) < 10, `${name} has its name, the search and the mode in one line: ${middles}`);
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
    assert.ok(written.length > 0 && drawn.length >= written.length);
    // a window can begin or end within a character, which the two show differently
    const ends = (text) => text.replace(/^(⟨[0-9A-F]{2}⟩|\ufffd)+|(⟨[0-9A-F]{2}⟩|\ufffd)+$/gu, "");
    assert.deepEqual(drawn.slice(0, written.length).map(ends), written.map(ends), name);
  }
  await plain.context().close();
});
