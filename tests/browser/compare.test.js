// Two neurons side by side.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readFile } from "node:fs/promises";
import { SITE, at, page, root } from "./browser.js";
import { cellsOf, largest, listsOf, shadeOf, strongest } from "./record.js";

const recordOf = async (address) => JSON.parse(/id="neuron">(.*?)<\/script>/s.exec(await readFile(`${SITE}/${address}.html`, "utf8"))[1]);
const compare = async (a, b) => {
  await page.goto(`${root}compare.html?a=${a}&b=${b}`);
  await page.waitForSelector(".examples .tokens");
  return Promise.all([a, b].map(recordOf));
};
const column = (selector) => page.$$eval(`${selector} .pair > *`, (columns) => columns.length);

test("a neuron's page leads to the comparison, and that to its neighbours", async () => {
  await page.goto(`${root}tiny/1/7.html`);
  await page.click("text=Compare");
  await page.waitForSelector("#pair .lists a");
  const { weights } = await recordOf("tiny/1/7");
  const [layer, neuron] = weights.neighbours.alike[0];
  await page.click("#pair .lists a >> nth=0");
  await page.waitForSelector(".examples .tokens");
  assert.equal(at(), `compare.html?a=tiny/1/7&b=tiny/${layer}/${neuron}`);
  const found = await page.$$eval("#neighbours li", (items) => items.map((item) => item.textContent));
  assert.ok(found.some((text) => text.startsWith("B is number 1 among the neighbours of A: Most alike")), found.join("\n"));
  await page.click(`.kind a >> text=tiny 1.7`);
  assert.equal(at(), "tiny/1/7.html");
  // the same from the other side
  await page.goto(`${root}compare.html?b=tiny/1/7`);
  await page.click(".lists a >> nth=0");
  await page.waitForSelector(".examples .tokens");
  assert.equal(at(), `compare.html?a=tiny/1/7&b=tiny/${layer}/${neuron}`);
});

test("statistics, tokens in both, and figures on one axis", async () => {
  const records = await compare("tiny/1/7", "tiny/2/3");
  const cardsOf = async (address) => {
    const html = await readFile(`${SITE}/${address}.html`, "utf8");
    return [...html.matchAll(/<dt><a href="[^"]*#(\w+)">.*?<b>(.*?)<\/b>/g)].map(([, name, value]) => [name, value]);
  };
  const [a, b] = [await cardsOf("tiny/1/7"), await cardsOf("tiny/2/3")];
  const found = await page.$$eval(".card", (cards) => cards.map((card) => [card.querySelector("a").hash.slice(1), ...[...card.querySelectorAll("b")].map((value) => value.textContent)]));
  assert.deepEqual(found, a.map(([name, value], i) => [name, value, b[i][1]]));
  const tokens = records.map(({ logits: { top, bottom } }) => [...top.token, ...bottom.token]);
  const marked = await page.$$eval("#logits .both", (marks) => marks.map((mark) => mark.closest("a").hash.slice(1)));
  const ends = ({ side, logits: { top, bottom } }) => (side.name === "negative" ? [bottom, top] : [top, bottom]);
  const expected = records.flatMap((record, i) => ends(record).flatMap(({ token, id }) => id.filter((_, at) => tokens[1 - i].includes(token[at])))).map(String);
  assert.deepEqual(marked, expected);
  for (const figure of ["histogram", "v"]) {
    const ticks = await page.$$eval(`#${figure} svg`, (svgs) => svgs.map((svg) => [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getAttribute("x")])));
    assert.equal(ticks.length, 2);
    assert.deepEqual(ticks[0], ticks[1], figure);
  }
  assert.equal(await page.locator("#cosines circle").count(), 6);
});

test("the same list of both, on scales of their own or on one", async () => {
  const lists = (await compare("tiny/1/7", "tiny/2/3")).map(listsOf);
  const maxima = lists.map(largest);
  const shades = () => page.$$eval("[role=tabpanel]:not([hidden]) ol.examples", (columns) => columns.map((column) => [...column.querySelectorAll(".tokens")].map((line) => [...line.children].map((cell) => /\b[pn]\d\b/.exec(cell.className)?.[0] ?? ""))));
  const expected = (list, n, maxOf) => lists.map((of, side) => of[list].slice(0, n).map((example) =>
    cellsOf(example.tokens).map(([first, end]) => shadeOf(strongest(example.values.slice(first, end)), maxOf(side)))));
  await page.click("#gatep_inp-tab");
  assert.deepEqual(await shades(), expected("gate+_in+", 6, (side) => maxima[side]));
  await page.getByLabel("Colours", { exact: true }).selectOption("all");
  assert.deepEqual(await shades(), expected("gate+_in+", 6, () => Math.max(...maxima)));
  await page.click("#band_0-9_0-99-tab");
  assert.deepEqual(await shades(), expected("band_0.9_0.99", 6, () => Math.max(...maxima)));
  await page.click("#top-tab");
  const more = page.locator("[role=tabpanel]:not([hidden]) .more");
  for (let left = await more.count(); left > 0; left--) await more.first().click();
  assert.deepEqual(await shades(), expected("top", 20, () => Math.max(...maxima)));
  const links = await page.$$eval("#top a.value", (links) => links.map((link) => link.getAttribute("href")));
  assert.match(links[0], /^tiny\/1\/7\.html#(top|example)-1$/);
  await page.click("#top a.value");
  await page.waitForSelector(".marked");
  assert.match(at(), /^tiny\/1\/7\.html#/);
});

test("bands that only one of them shows stand in their place", async () => {
  const tabs = () => page.$$eval("[role=tab]", (tabs) => tabs.map((tab) => tab.textContent));
  await compare("tiny/1/7", "tiny/2/3");
  const every = await tabs();
  await page.route("**/tiny/1/7.html", async (route) => {
    const response = await route.fetch();
    // all but the outermost are small beside it
    const body = (await response.text()).replace(/(?<=id="neuron">).*?(?=<\/script>)/s, (json) => {
      const record = JSON.parse(json);
      return JSON.stringify({ ...record, stats: { ...record.stats, max: 1e6 }, side: { ...record.side, both: true }, at_starts: false }).replaceAll("<", "\\u003c");
    });
    await route.fulfill({ response, body });
  });
  await compare("tiny/1/7", "tiny/2/3");
  const shown = await tabs();
  assert.ok(shown.filter((tab) => tab.endsWith("%")).length > 2);
  assert.deepEqual(shown, every.filter((tab) => shown.includes(tab)));
});

test("neurons are chosen, swapped, and in the address", async () => {
  await compare("tiny/1/7", "tiny/2/3");
  await page.click("button[name=swap]");
  await page.waitForFunction(() => document.title.startsWith("tiny 2.3 · tiny 1.7"));
  assert.equal(at(), "compare.html?a=tiny/2/3&b=tiny/1/7");
  await page.fill("[name=b-neuron]", "0.36");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.title.startsWith("tiny 2.3 · tiny 0.36"));
  assert.equal(at(), "compare.html?a=tiny/2/3&b=tiny/0/36");
  await page.goBack();
  await page.waitForFunction(() => document.title.startsWith("tiny 2.3 · tiny 1.7"));
  assert.equal(await page.inputValue("[name=b-neuron]"), "1.7");
  for (const [typed, reason] of [["0.37", "neurons 0 to 36"], ["3.0", "layers 0 to 2"], ["hello", "is not a neuron"]]) {
    await page.fill("[name=b-neuron]", typed);
    await page.keyboard.press("Enter");
    await page.waitForFunction((reason) => document.getElementById("problem").textContent.includes(reason), reason);
    assert.equal(await page.inputValue("[name=b-neuron]"), typed);
    assert.equal(await column("#pair"), 0);
  }
  await page.goto(`${root}compare.html`);
  await page.waitForSelector("[name=a-neuron]:focus");
});

test("a neuron compared with itself shares everything", async () => {
  const [record] = await compare("tiny/1/7", "tiny/1/7");
  assert.equal(await page.locator("#logits .both").count(), 2 * (record.logits.top.id.length + record.logits.bottom.id.length));
  assert.match(await page.textContent("#neighbours"), /Neither/);
});
