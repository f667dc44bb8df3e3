// The page of a neuron: its lists as tabs, their addresses, colours, what can be copied, and what stands beside them.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { SITE, at, browser, json, page, root } from "./browser.js";
import { cellsOf, largest, listsOf, mainOf, shadeOf, strongest } from "./record.js";
import { number, visible } from "../../theme/assets/read/tokens.js";

const record = () => page.evaluate(() => JSON.parse(document.getElementById("neuron").textContent));
const open = async (path) => {
  await page.goto(root + path);
  await page.waitForSelector(".examples .tokens");
  return record();
};
const otherOf = (record) => (mainOf(record) === "top" ? "bottom" : "top");

test("the lists are tabs, the main one first, and the arrows go from one to the next", async () => {
  const of = await open("tiny/1/7.html");
  const tabs = () => page.getByRole("tab").evaluateAll((tabs) => tabs.map((tab) => [tab.getAttribute("aria-controls"), tab.ariaSelected, tab.tabIndex]));
  const [main, other] = [mainOf(of), otherOf(of)];
  const cases = { "gate+_in+": "gatep_inp", "gate+_in-": "gatep_inn", "gate-_in+": "gaten_inp", "gate-_in-": "gaten_inn" };
  const ids = [main, other, ...Object.keys(cases).filter((list) => list in of.lists).map((list) => cases[list]), "random"];
  assert.ok(ids.length > 4);
  const chosen = (id) => ids.map((own) => [own, String(own === id), own === id ? 0 : -1]);
  assert.deepEqual(await tabs(), chosen(main));
  for (const [key, id] of [["ArrowRight", other], ["ArrowRight", ids[2]], ["End", "random"], ["ArrowRight", main], ["ArrowLeft", "random"], ["Home", main]]) {
    if (key === "ArrowRight" && id === other) await page.getByRole("tab").first().focus();
    await page.keyboard.press(key);
    assert.deepEqual(await tabs(), chosen(id), key);
    assert.equal(at(), `tiny/1/7.html#${id}`);
    assert.deepEqual(await page.$$eval("[role=tabpanel]:not([hidden])", (panels) => panels.map(({ id }) => id)), [id]);
    assert.equal(await page.locator(`#${id} .tokens`).count(), listsOf(of)[await page.getAttribute(`#${id}`, "data-list")].length);
  }
  assert.equal(await page.getByRole("tabpanel", { name: main === "top" ? "Most positive" : "Most negative" }).count(), 1);
});

test("an address leads to an example", async () => {
  const of = await open("tiny/1/7.html");
  const [main, other] = [mainOf(of), otherOf(of)];
  const lists = listsOf(of);
  const marked = () => page.$eval(".marked", (item) => ({ id: item.id, list: item.closest("[data-list]")?.dataset.list, text: item.querySelector(".tokens").textContent, top: item.getBoundingClientRect().top }));
  const cells = ({ tokens }) => cellsOf(tokens).length;
  for (const [address, list, id] of [["example-3", main, "example-3"], [`${main}-3`, main, "example-3"], [`${other}-2`, other, `${other}-2`], ["gatep_inn-1", "gate+_in-", "gatep_inn-1"]]) {
    await page.goto("about:blank");
    await page.goto(`${root}tiny/1/7.html#${address}`);
    await page.waitForSelector(".marked .tokens");
    const found = await marked();
    assert.deepEqual([found.id, found.list], [id, list], address);
    assert.equal(await page.locator(".marked .t").count(), cells(lists[list][Number(address.split("-").at(-1)) - 1]), address);
    assert.ok(found.top >= 0 && found.top < 900, `${address} is in sight`);
  }
  // a link within the page, and a band
  await page.evaluate(() => (location.hash = "#band_0-9_0-99-2"));
  await page.waitForSelector(".band .marked details[open] .tokens");
  assert.equal(await page.locator(".marked").count(), 1);
  await page.evaluate((list) => (location.hash = `#${list}`), other);
  await page.waitForSelector(`#${other}:not([hidden])`);
  // each example says its address
  await page.getByRole("tab").first().click();
  const links = await page.$$eval(`#${main} a.value`, (links) => links.map((link) => link.getAttribute("href")));
  assert.deepEqual(links, lists[main].map((_, i) => `#example-${i + 1}`));
});

test("colours by neuron or by example, which is kept", async () => {
  const of = await open("tiny/1/7.html");
  const examples = listsOf(of)[mainOf(of)];
  const shades = () => page.$$eval(`#${mainOf(of)} .tokens`, (lines) => lines.map((line) => [...line.children].map((cell) => /\b[pn]\d\b/.exec(cell.className)?.[0] ?? "")));
  const expected = (maxOf) => examples.map((example) => cellsOf(example.tokens).map(([first, end]) => shadeOf(strongest(example.values.slice(first, end)), maxOf(example))));
  const max = largest(listsOf(of));
  const own = ({ max }) => max;
  assert.ok(Math.abs(max / of.scale_max - 1) < 1e-5);
  const legend = () => page.getAttribute(".legend", "aria-label");
  assert.deepEqual(await shades(), expected(() => max));
  assert.equal(await legend(), `Colours from ${number(-max)} to ${number(max)}`);
  await page.getByLabel("Colours", { exact: true }).selectOption("example");
  assert.deepEqual(await shades(), expected(own));
  assert.match(await legend(), /largest magnitude of each example/);
  await open("tiny/1/8.html");
  assert.equal(await page.getByLabel("Colours", { exact: true }).inputValue(), "example");
  await page.getByLabel("Colours", { exact: true }).selectOption("neuron");
  await open("tiny/1/7.html");
  assert.deepEqual(await shades(), expected(() => max));
});

test("bands are in sight, one line an example, and unfold", async () => {
  const of = await open("tiny/1/7.html");
  const lists = listsOf(of);
  const titles = { "band_0.99_0.999": "99–99.9 %", "band_0.9_0.99": "90–99 %", "band_0.5_0.9": "50–90 %", "band_0.1_0.5": "10–50 %", "band_0.01_0.1": "1–10 %", "band_0.001_0.01": "0.1–1 %" };
  const bands = Object.keys(titles).filter((list) => list in lists);
  assert.ok(bands.length > 4);
  const found = await page.$$eval(".band", (all) => all.map((band) => [band.querySelector("h3").firstChild.textContent.trim(), [...band.querySelectorAll("summary .value")].map((value) => value.textContent)]));
  assert.deepEqual(found, bands.map((list) => [titles[list], lists[list].map(({ value }) => number(value))]));
  const heights = await page.$$eval(".band summary", (lines) => lines.map((line) => line.getBoundingClientRect().height));
  assert.ok(heights.every((height) => height < 40), `one line: ${heights}`);
  await page.focus(".band summary");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".band details[open] .tokens");
  const [first] = lists[bands[0]];
  assert.equal(await page.locator(".band details[open] .tokens .t").count(), cellsOf(first.tokens).length);
  assert.ok((await page.textContent(".band details[open] .about")).includes(first.source));
});

test("duplicates are folded, and counted", async () => {
  const known = [];
  for (const neuron of [3, 7, 11]) {
    const of = await open(`tiny/1/${neuron}.html`);
    const expected = listsOf(of)[mainOf(of)].map(({ duplicates }) => (duplicates > 0 ? `and ${duplicates} like it` : ""));
    const found = await page.$$eval(`#${mainOf(of)} .about`, (all) => all.map((about) => /and \d+ like it/.exec(about.textContent)?.[0] ?? ""));
    assert.deepEqual(found, expected);
    known.push(...expected.filter(Boolean));
  }
  assert.ok(known.length > 0, "some example has duplicates");
});

test("an example of a sign case shows gate, in and act beside post", async () => {
  const of = await open("tiny/1/7.html");
  const lists = listsOf(of);
  const list = Object.keys(lists).find((list) => list.startsWith("gate"));
  const [example] = lists[list];
  const id = { "+": "p", "-": "n" };
  await page.evaluate((to) => (location.hash = to), list.replaceAll(/[+-]/g, (sign) => id[sign]));
  const first = page.locator(`.list[data-list="${list}"] .examples > li`).first();
  const choice = first.getByRole("group", { name: "Values of example 1" });
  assert.deepEqual(await choice.getByRole("button").allTextContents(), ["post", "gate", "in", "act"]);
  const pressed = () => choice.locator("[aria-pressed=true]").allTextContents();
  const shades = () => first.locator(".tokens").evaluate((line) => [...line.children].map((cell) => /\b[pn]\d\b/.exec(cell.className)?.[0] ?? ""));
  const cellShades = (values, max) => cellsOf(example.tokens).map(([from, end]) => shadeOf(strongest(values.slice(from, end)), max));
  const post = cellShades(example.values, largest(lists));
  assert.deepEqual([await pressed(), await shades()], [["post"], post]);
  for (const name of ["gate", "in", "act"]) {
    const max = Math.max(...Object.values(lists).flat().map(({ hooks }) => hooks[name]?.max ?? 0));
    await choice.getByRole("button", { name, exact: true }).click();
    assert.deepEqual([await pressed(), await shades()], [[name], cellShades(example.hooks[name].values, max)]);
    assert.equal(await choice.locator(".range").textContent(), `±${number(max)}`);
  }
  // all four are in the tip, whichever is shown
  await first.locator(".peak").hover();
  await page.waitForSelector("#tip:popover-open");
  const said = await page.textContent("#tip");
  assert.ok(said.includes(String(Number(example.value.toPrecision(5)))), said);
  for (const name of ["gate", "in", "act"]) {
    const { values, step } = example.hooks[name];
    assert.ok(said.includes(`${name} ${number(values[example.peak])} ± ${number(step / 2)}`), said);
  }
  await choice.getByRole("button", { name: "post" }).click();
  assert.deepEqual([await pressed(), await shades(), await choice.locator(".range").textContent()], [["post"], post, ""]);
  // positions that were drawn at random have none
  const plain = lists.random.findIndex(({ hooks }) => !hooks.gate);
  await page.getByRole("tab", { name: "Random" }).click();
  assert.equal(await page.locator("#random .examples > li").nth(plain).getByRole("group").count(), 0);
});

/** Chooses an entry of the menu that a button opens, by keyboard, and gives what was copied. */
async function copied(button, entry) {
  await button.focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#copy:popover-open button:focus");
  while ((await page.textContent("#copy button:focus")) !== entry) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("copied").textContent === "Copied");
  assert.ok(await button.evaluate((button) => button === document.activeElement), "the focus is back");
  assert.equal(await page.getByRole("status").filter({ hasText: "Copied" }).count(), 1);
  return page.evaluate(() => window.copied);
}

for (const way of ["clipboard", "selection"]) {
  test(`text, JSON, link and BibTeX are copied (${way})`, async () => {
    await page.addInitScript((way) => {
      const clipboard = way === "clipboard" ? { writeText: async (text) => void (window.copied = text) } : undefined;
      Object.defineProperty(navigator, "clipboard", { value: clipboard });
      addEventListener("copy", () => (window.copied = document.activeElement.value));
    }, way);
    const of = await open("tiny/1/7.html");
    const list = mainOf(of);
    const [, example] = listsOf(of)[list];
    const button = page.getByRole("button", { name: "Copy example 2", exact: true });
    assert.equal(await copied(button, "Text"), example.text);
    assert.equal(await copied(button, "Link"), "http://127.0.0.1/atlas/tiny/1/7.html#example-2"); // the site's address
    const data = JSON.parse(await copied(button, "JSON"));
    const { rank, value, source, doc, start, peak, values, step, duplicates, context_starts, tokens, hooks } = example;
    const beside = Object.fromEntries(Object.entries(hooks).map(([name, kept]) => [name, kept.values]));
    const { bytes = {}, ...rest } = data;
    assert.deepEqual(rest, { model: "tiny", layer: 1, neuron: 7, hook: of.hook, list, rank, value, source, doc, start, peak, duplicates, context_starts, values, step, ...beside, tokens: tokens.map(String) });
    for (const [i, hex] of Object.entries(bytes)) assert.equal(hex.replaceAll(" ", "").toLowerCase(), tokens[i].toString("hex"));
    const all = page.locator(".actions button");
    assert.deepEqual(JSON.parse(await copied(all, "Record (JSON)")), of);
    assert.equal(await copied(all, "Link"), "http://127.0.0.1/atlas/tiny/1/7.html");
    const entry = await copied(all, "BibTeX");
    assert.ok(entry.startsWith("@misc{neuron-tiny-1-7,\n"), entry);
    for (const part of ["{tiny 1.7}", "\\url{http://127.0.0.1/atlas/tiny/1/7.html}", "blocks.1.mlp.hook\\_post", of.stats.count.toLocaleString("en")]) assert.ok(entry.includes(part), `${part} in ${entry}`);
    assert.equal(entry.split("{").length, entry.split("}").length);
  });
}

test("a card says what its statistic is, on hover and on focus", async () => {
  const { measures } = await json("tiny/index.json");
  await open("tiny/1/7.html");
  const card = page.locator(".card", { has: page.locator('a[href$="#kurtosis"]') });
  const { definition } = measures.find(({ name }) => name === "kurtosis");
  const ranks = await card.locator("small").allTextContents();
  await card.hover();
  await page.waitForSelector("#tip:popover-open");
  const said = await page.textContent("#tip");
  assert.ok(said.includes(definition) && ranks.every((rank) => said.includes(rank)), said);
  await page.mouse.move(0, 0);
  await page.waitForSelector("#tip:not(:popover-open)", { state: "attached" });
  await card.locator("a").focus();
  await page.waitForSelector("#tip:popover-open");
  assert.ok((await page.textContent("#tip")).includes(definition));
  await card.locator("a").click();
  assert.equal(at(), "tiny/index.html#kurtosis");
  assert.equal(await page.textContent(":target"), "Kurtosis");
});

/** Boxes in rows: all of one width, side by side in full rows but for the last, none over another, no text cut off. Gives how many are in each row. */
async function rowsOf(selector) {
  const boxes = await page.$$eval(selector, (nodes) => nodes.map((node) => {
    const { left, right, top, bottom, width } = node.getBoundingClientRect();
    const texts = [...node.querySelectorAll("dt, b, small, span")].filter((text) => text.checkVisibility() && text.textContent !== "");
    const ends = texts.map((text) => {
      const range = document.createRange();
      range.selectNodeContents(text);
      return Math.max(range.getBoundingClientRect().right, text.getBoundingClientRect().left + text.scrollWidth);
    });
    return { text: node.textContent, left, right, top, bottom, width, end: Math.max(...ends), beyond: node.parentElement.getBoundingClientRect().right };
  }));
  const tops = [...new Set(boxes.map(({ top }) => Math.round(top)))];
  const rows = tops.map((at) => boxes.filter(({ top }) => Math.round(top) === at));
  for (const box of boxes) {
    assert.ok(Math.abs(box.width - boxes[0].width) < 1, `${box.text} is ${box.width} px wide, ${boxes[0].text} is ${boxes[0].width}`);
    assert.ok(box.end <= box.right + 0.5, `${box.text} is cut off, or stands over the next: it ends at ${box.end}, its box at ${box.right}`);
    for (const other of boxes) {
      const apart = other === box || box.right <= other.left + 0.5 || other.right <= box.left + 0.5 || box.bottom <= other.top + 0.5 || other.bottom <= box.top + 0.5;
      assert.ok(apart, `${box.text} and ${other.text} overlap`);
    }
  }
  for (const row of rows) assert.ok(Math.abs(row[0].left - boxes[0].left) < 1, "rows begin at one edge");
  assert.ok(Math.abs(rows[0].at(-1).right - boxes[0].beyond) < 1, "a row is as wide as the page");
  for (const row of rows.slice(0, -1)) assert.equal(row.length, rows[0].length, "only the last row may be shorter");
  return rows.map((row) => row.length);
}

test("the cards of statistics stand in rows, on wide and on narrow screens", async () => {
  const { length } = await page.goto(`${root}tiny/1/7.html`).then(() => page.$$(".card"));
  assert.ok(length > 12);
  for (const width of [1280, 1000, 360]) {
    await page.setViewportSize({ width, height: 900 });
    await open("tiny/1/7.html");
    const rows = await rowsOf(".card");
    if (width === 1280) assert.deepEqual(rows, [length]);
    await page.goto(`${root}compare.html?a=tiny/1/7&b=tiny/2/3`);
    await page.waitForSelector(".examples .tokens");
    await rowsOf(".card");
  }
});

test("the measures of a layer stand in rows, on wide and on narrow screens", async () => {
  for (const [width, first] of [[1280, 8], [700, 4], [360, 2]]) {
    await page.setViewportSize({ width, height: 900 });
    await page.goto(`${root}tiny/1/index.html`);
    await page.waitForSelector("#measure:not([disabled])");
    const [row] = await rowsOf("#multiples button");
    assert.equal(row, first);
  }
});

test("the figures and tables beside the examples show the record", async () => {
  const { side, stats, logits, signs, weights } = await open("tiny/2/3.html");
  // as many bars as bins with tokens, and as high as the logarithm of their count
  const bars = await page.$$eval('svg[aria-label^="Histogram of activations"] path:is(.negative, .positive)', (paths) => paths.map((path) => path.getAttribute("d")).join(""));
  const [base] = bars.match(/(?<= )[\d.]+(?=V)/);
  const heights = [...bars.matchAll(/M[\d.]+ [\d.]+V([\d.]+)/g)].map(([, top]) => base - top);
  const counts = stats.histogram.counts.filter((count) => count > 0);
  assert.equal(heights.length, counts.length);
  const most = Math.log(Math.max(...counts) + 1);
  counts.forEach((count, i) => assert.ok(Math.abs(heights[i] - (Math.log(count + 1) / most) * Math.max(...heights)) < 0.1, `bin ${i}`));
  assert.ok(await page.locator('svg[aria-label="Histogram of v"]').count() === 1);
  // tokens: the first, and all of them when asked for
  const ends = side.name === "negative" ? [logits.bottom, logits.top] : [logits.top, logits.bottom];
  const tokens = () => page.$$eval("[data-part=logits] ol", (lists) => lists.map((list) => [...list.children].filter((item) => item.checkVisibility()).map((item) => Number(item.querySelector("a").hash.slice(1)))));
  assert.deepEqual(await tokens(), ends.map(({ id }) => id.slice(0, 10)));
  await page.click("[data-part=logits] .more");
  assert.deepEqual(await tokens(), ends.map(({ id }) => id));
  const values = await page.$$eval("[data-part=logits] .num", (cells) => cells.map((cell) => Number(cell.textContent)));
  ends.flatMap(({ value }) => value).forEach((value, i) => assert.ok(Math.abs(values[i] - value) <= Math.abs(value) * 0.005));
  const rows = await page.$$eval(".signs tbody tr", (rows) => rows.map((row) => [row.cells[0].textContent, ...[...row.cells].slice(2).flatMap((cell) => [...cell.childNodes].map((node) => node.textContent))]));
  assert.deepEqual(rows, Object.entries(signs).map(([name, of]) => [name.replace("_", " ").replaceAll("-", "−"), ...["gate", "act", "in", "post"].flatMap((quantity) => [number(of[quantity].mean), number(of[quantity].extreme)])]));
  const facts = await page.$$eval("[data-part=v] dd", (all) => all.map((fact) => fact.textContent));
  assert.deepEqual(facts, [weights.v.kurtosis, weights.v.skewness, weights.v.variance, weights.null_share, weights.norms.out, weights.norms.in, weights.norms.gate].map(number));
  await page.focus(".term >> text=ρ");
  await page.waitForSelector("#tip:popover-open");
  assert.match(await page.textContent("#tip"), /singular space/);
});

/** All neurons of the site with their records. */
async function neurons() {
  const { n_layers, d_mlp } = await json("tiny/index.json");
  const all = Array.from({ length: n_layers * d_mlp }, (_, flat) => `tiny/${Math.floor(flat / d_mlp)}/${flat % d_mlp}.html`);
  return Promise.all(all.map(async (address) => ({ address, html: await readFile(`${SITE}/${address}`, "utf8") })));
}
const EMBEDDED = /(?<=id="neuron">).*?(?=<\/script>)/s;
const recordIn = ({ html }) => JSON.parse(EMBEDDED.exec(html)[0]);

/** Opens a neuron whose record is another one. */
async function openWith(address, change) {
  const html = (await readFile(`${SITE}/${address}`, "utf8")).replace(EMBEDDED, (json) => JSON.stringify(change(JSON.parse(json))).replaceAll("<", "\\u003c"));
  await page.route(`**/${address}`, (route) => route.fulfill({ contentType: "text/html", body: html }));
  const record = await open(address);
  await page.unroute(`**/${address}`);
  return record;
}

const headings = () => page.$$eval("[data-part=logits] h3", (all) => all.map((heading) => heading.textContent));
const firstTokens = () => page.$$eval("[data-part=logits] ol", (lists) => lists.map((list) => Number(list.querySelector("a").hash.slice(1))));
const whenItFires = (sign) => [`Promotes when it fires (${sign})`, `Suppresses when it fires (${sign})`];

test("tokens are those of the side whose examples are seen", async () => {
  const all = (await neurons()).map((neuron) => ({ ...neuron, record: recordIn(neuron) }));
  for (const name of ["positive", "negative"]) {
    const { address } = all.find(({ record: { side, at_starts } }) => side?.name === name && !side.both && !at_starts);
    const { logits, lists } = await open(address);
    const [top, bottom] = [logits.top.id[0], logits.bottom.id[0]];
    const shows = { positive: [whenItFires("+"), [top, bottom]], negative: [whenItFires("−"), [bottom, top]] };
    const other = { positive: "negative", negative: "positive" }[name];
    assert.deepEqual([await headings(), await firstTokens()], shows[name]);
    await page.click("[data-part=logits] .more");
    const tab = { positive: "#top-tab", negative: "#bottom-tab" };
    await page.click(tab[other]);
    assert.deepEqual([await headings(), await firstTokens()], shows[other]);
    assert.equal(await page.locator("[data-part=logits] .more[aria-expanded=true]").count(), 1, "the lists stay unfolded");
    const hint = page.locator("#list-hint");
    assert.match(await hint.textContent(), /^The weaker side, [\d.e-]+ % as large, one per document\.$/);
    for (const [list, id] of [["gate+_in+", "gatep_inp"], ["gate+_in-", "gatep_inn"], ["gate-_in+", "gaten_inp"], ["gate-_in-", "gaten_inn"]]) {
      if (!(list in lists)) continue;
      await page.click(`#${id}-tab`);
      const [{ value }] = listsOf(await record())[list];
      assert.deepEqual([await headings(), await firstTokens()], shows[value < 0 ? "negative" : "positive"], list);
    }
    await page.click("#random-tab");
    assert.deepEqual([await headings(), await firstTokens()], shows[name]);
    await page.click(tab[name]);
    assert.match(await hint.textContent(), /^The dominant side,/);
    assert.deepEqual(await page.$$eval("[role=tab].speaks", (tabs) => tabs.map(({ id }) => `#${id}`)), [tab[name]]);
  }
});

test("sides of a neuron that fires at starts are said to be those away from starts", async () => {
  const side = { name: "negative", balance: 0.5, both: false };
  await openWith("tiny/1/7.html", (record) => ({ ...record, side, at_starts: true }));
  const hint = page.locator("#list-hint");
  assert.equal(await hint.textContent(), "The dominant side away from starts, one per document.");
  await page.click("#top-tab");
  assert.equal(await hint.textContent(), "The weaker side, 50.0 % as large away from starts, one per document.");
});

test("where both sides are nearly as large they are shown alike", async () => {
  const all = await neurons();
  const balanced = all.filter((neuron) => recordIn(neuron).side?.both);
  assert.ok(balanced.length > 0 && balanced.length < all.length);
  for (const { html } of all) {
    const { side } = recordIn({ html });
    const main = side.name === "negative" ? ["bottom", "top"] : ["top", "bottom"];
    const plain = [...html.matchAll(/<section class="list" id="(\w+)"/g)].map(([, list]) => list);
    assert.deepEqual(plain, main.slice(0, side.both ? 2 : 1));
    assert.equal(html.match(/<li id="(example|top|bottom)-\d"/g).length, 3 * plain.length);
  }
  const [{ address }] = balanced;
  const of = await open(address);
  assert.deepEqual((await page.$$eval("[role=tab].speaks", (tabs) => tabs.map(({ id }) => id))).sort(), ["bottom-tab", "top-tab"]);
  assert.match(await page.textContent("#list-hint"), /^One of two equal sides,/);
  assert.deepEqual(await page.$$eval("[role=tabpanel]:not([hidden])", (panels) => panels.map(({ id }) => id)), [mainOf(of)]);
  const card = await readFile(`${SITE}/${address.replace(".html", "/card.html")}`, "utf8");
  assert.equal(card.match(/Promotes when it fires/g).length, 2);
  assert.equal(card.match(/<li>/g).length, 4);
});

test("the line is under the title, on cards and in previews, and said to be automatic", async () => {
  const text = (html) => html.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&#x27;", "'").replaceAll("&#39;", "'").replaceAll("&#x2F;", "/").replaceAll("&amp;", "&");
  let n = 0;
  for (const neuron of await neurons()) {
    const { side: { name, both }, lines } = recordIn(neuron);
    const sides = both ? [name, name === "positive" ? "negative" : "positive"] : [name];
    const expected = sides.filter((side) => lines?.[side]).map((side) => `(${side === "positive" ? "+" : "−"}) ${visible(lines[side])}`);
    const found = [...neuron.html.matchAll(/<p class="automatic"><span class="sign">(\(.\))<\/span> <bdi>(.*?)<\/bdi> <a href="..\/index.html#lines">automatic<\/a><\/p>/g)].map(([, sign, line]) => `${sign} ${text(line)}`);
    assert.deepEqual(found, expected);
    for (const property of ['name="description"', 'property="og:description"']) {
      const [, preview] = new RegExp(`<meta ${property} content="(.*?)">`).exec(neuron.html);
      for (const line of expected) assert.ok(text(preview).includes(`automatic ${line.replace(") ", "): ")}`), text(preview));
    }
    const card = text(await readFile(`${SITE}/${neuron.address.replace(".html", "/card.html")}`, "utf8"));
    for (const line of expected) assert.ok(card.includes(`${line.replace(") ", ") <bdi>")}</bdi> <i>automatic</i>`), card);
    n += expected.length;
  }
  assert.ok(n > 50);
  await page.goto(`${root}compare.html?a=tiny/1/7&b=tiny/2/3`);
  await page.waitForSelector(".examples .tokens");
  assert.ok(await page.locator("#pair .kind .automatic").count() >= 2);
});

test("a neighbour says what it does, to the pointer and to the keyboard", async () => {
  const { weights } = await open("tiny/1/7.html");
  const [layer, neuron] = weights.neighbours.alike[0];
  const { lines_per_file, d_mlp } = await json("tiny/index.json");
  const flat = layer * d_mlp + neuron;
  const first = flat - (flat % lines_per_file);
  const [, , , , said, line] = (await json(`tiny/lines/${String(first).padStart(7, "0")}.json`)).lines[flat - first];
  await page.focus("#alike li a");
  await page.waitForSelector("#tip:popover-open");
  assert.equal(await page.textContent("#tip"), said ? visible(said) : `${visible(line)} automatic`);
});

test("bands whose values tell nothing are left out, and that is said", async () => {
  const titles = () => page.$$eval(".band h3", (all) => all.map((heading) => heading.firstChild.textContent.trim()));
  const loud = (record, more) => ({ ...record, stats: { ...record.stats, max: 1e6 }, side: { name: "positive", balance: 0, both: false }, at_starts: false, ...more });
  const address = "tiny/1/7.html";
  await open(address);
  const every = await titles();
  await openWith(address, (record) => loud(record));
  assert.deepEqual(await titles(), every.slice(0, 1));
  assert.equal(await page.textContent(".bands > .hint:last-child"), `Not shown, since all examples are below 1 % of the neuron's largest magnitude: ${every.slice(1).join(", ")}.`);
  await openWith(address, (record) => loud(record, { side: { name: "negative", balance: 0.9, both: true } }));
  assert.deepEqual(await titles(), [every[0], every.at(-1)]);
  // values at starts do not say how large is large
  await openWith(address, (record) => loud(record, { at_starts: true }));
  assert.deepEqual(await titles(), every);
});

test("an atlas that does not know the sides says so", async () => {
  const address = "tiny/1/7.html";
  const old = ({ lists: { "band_0.1_0.5": band, ...lists }, ...record }) => ({
    ...record, side: null, at_starts: null, at_starts_either: null, lines: null, lists: { ...lists, "band_0_0.5": band }, stats: { ...record.stats, min: -1e6, max: 1 },
  });
  const { logits } = await openWith(address, old);
  assert.deepEqual(await headings(), ["Promoted when positive", "Suppressed when positive"]);
  assert.match(await page.textContent("[data-part=logits] .hint"), /run neuroscope analyze again/);
  assert.equal(await page.getByRole("tab").first().getAttribute("aria-controls"), "bottom");
  await page.click("#top-tab");
  assert.deepEqual(await firstTokens(), [logits.top.id[0], logits.bottom.id[0]]);
  assert.ok((await page.$$eval(".band h3", (all) => all.map((heading) => heading.textContent))).some((title) => title.startsWith("0–50 %")));
  assert.equal(await page.locator("[role=tab].speaks").count(), 0);
});

test("nothing moves when the scripts come late", async () => {
  for (const width of [360, 800, 1200]) {
    const slow = await browser.newPage({ viewport: { width, height: 900 } });
    await slow.route("**/*.js", async (route) => {
      if (!route.request().url().includes("/early.")) await new Promise((resolve) => setTimeout(resolve, 300));
      await route.continue();
    });
    await slow.addInitScript(() => {
      window.shifts = [];
      new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map(({ value, sources }) => `${value}: ${sources.map(({ node }) => node?.outerHTML?.slice(0, 80))}`))).observe({ type: "layout-shift", buffered: true });
    });
    await slow.goto(`${root}tiny/1/7.html`, { waitUntil: "commit" });
    await slow.waitForFunction(() => document.querySelector(".examples .text") && performance.getEntriesByName("first-contentful-paint").length > 0);
    await slow.waitForSelector(".examples .tokens");
    await slow.waitForTimeout(200);
    assert.deepEqual(await slow.evaluate(() => window.shifts), [], `${width} px`);
    await slow.close();
  }
});

test("a document that is not there is said to be missing", async () => {
  const quiet = await browser.newPage(); // the browser itself says on the console that a file is missing
  await quiet.route("**/docs/**", (route) => route.fulfill({ status: 404, body: "" }));
  await quiet.goto(`${root}tiny/1/7.html`);
  await quiet.click("button.document >> nth=0");
  await quiet.waitForSelector("dialog[open] >> text=The document cannot be loaded: 404");
  await quiet.click("dialog button.close");
  await quiet.close();
});

test("a neuron without examples has a page, and can be compared", async () => {
  await page.route("**/tiny/0/0.html", async (route) => {
    const html = await readFile(`${SITE}/tiny/0/0.html`, "utf8");
    await route.fulfill({ contentType: "text/html", body: html.replace(/(?<=id="neuron">).*?(?=<\/script>)/s, (json) => {
      const record = JSON.parse(json);
      const none = Object.fromEntries(Object.keys(record.stats.quantiles).map((share) => [share, null]));
      Object.assign(record.stats, { count: 0, min: null, max: null, mean: null, variance: null, quantiles: none, histogram: { first_bin: 0, counts: [] } });
      return JSON.stringify({ ...record, lists: {}, examples: Object.fromEntries(Object.keys(record.examples).map((name) => [name, []])) });
    }) });
  });
  await page.goto(`${root}tiny/0/0.html`);
  await page.locator(".actions button").waitFor();
  assert.equal(await page.getByRole("tab").count(), 0);
  await page.goto(`${root}compare.html?a=tiny/0/0&b=tiny/0/1`);
  await page.waitForSelector(".examples .tokens");
  assert.equal(await page.textContent(".list .hint"), "none");
  await page.goto(`${root}compare.html?a=tiny/0/0&b=tiny/0/0`);
  await page.getByText("Neither has examples.").waitFor();
  assert.equal(await page.textContent("#problem"), "");
});

test("an address that spells nothing changes nothing", async () => {
  await page.goto(`${root}tiny/1/7.html#%`);
  await page.locator(".actions button").waitFor();
  assert.equal(await page.locator(".marked").count(), 0);
});
