// A packed site in a real Chromium, on hosts of several kinds, next to the site of pages of the same atlas.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { readFile, readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { SITE, browser } from "./browser.js";
import { compare, opened } from "./packs.js";
import { serve } from "./server.js";

const PACKED = process.env.PACKED;
const BASE = "/atlas/";
const HOSTS = { plain: { plain: true }, published: { published: true }, unpacking: { unpacks: true } };
let pages, hosts, context, page, problems;
let changed = (_, bytes) => bytes;

const rootOf = (host) => host.origin + BASE;
const root = (name = "published") => rootOf(hosts[name]);

before(async () => {
  pages = await serve(SITE, BASE);
  const opened = Object.entries({ ...HOSTS, changing: { changed: (path, bytes) => changed(path, bytes) } }).map(async ([name, options]) => [name, await serve(PACKED, BASE, options)]);
  hosts = Object.fromEntries(await Promise.all(opened));
});
after(() => [pages, ...Object.values(hosts)].forEach((host) => host.close()));
beforeEach(async () => {
  problems = [];
  changed = (_, bytes) => bytes;
  context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
});
afterEach(async () => {
  await context.close();
  assert.deepEqual(problems, [], "console errors");
});

/** Waits until the examples of the list in view are drawn, as far as a reader has come. */
const drawn = () => page.waitForFunction(() => document.querySelector(".texts section.list:not([hidden]) .tokens") && !document.querySelector("[aria-busy]"));

/** Reads the list in view to its end. */
async function wholeList() {
  await drawn();
  const coming = page.locator(".texts section.list:not([hidden]) .coming");
  await coming.scrollIntoViewIfNeeded({ timeout: 1000 }).catch(() => {}); // it may be gone by then
  await coming.waitFor({ state: "detached" });
  await drawn();
}

/** What a neuron's page says, as text. */
const saidBy = () => page.evaluate(() => {
  const text = (node) => node.innerText.replace(/\s+/g, " ").trim();
  const all = (selector) => Array.from(document.querySelectorAll(selector), text);
  return {
    title: document.title, heading: text(document.querySelector("h1")), automatic: all("p.automatic"), kind: all(".kind p:not(.actions)"), cards: all(".card"), hints: all(".spread .hint"),
    said: all(".said"), tabs: all("[role=tab]"), list: all(".texts section.list:not([hidden]) li"), parts: all("[data-part] h2, [data-part] h3, [data-part] li, [data-part] td"),
    addresses: Array.from(document.querySelectorAll(".side a, .cards a, .tag, .texts a"), (link) => new URL(link.href).pathname.replace(/^.*\/atlas\//, "") + new URL(link.href).hash),
    previous: document.querySelectorAll("main a[rel=prev]").length, next: document.querySelectorAll("main a[rel=next]").length,
  };
});

test("the records of all neurons are those of the pages", async () => {
  assert.equal(await compare(SITE, PACKED), 111);
});

for (const id of ["0/0", "0/5", "1/7", "2/3", "2/36"]) {
  test(`what is said of ${id} is what its page says`, async () => {
    const [layer, neuron] = id.split("/");
    await page.goto(`${rootOf(pages)}tiny/${id}.html`);
    await wholeList();
    const expected = await saidBy();
    for (const name of Object.keys(HOSTS)) {
      await page.goto(`${root(name)}tiny/${layer}/neuron.html?n=${neuron}`);
      await wholeList();
      const found = await saidBy();
      const own = new RegExp(`^tiny/${layer}/neuron\\.html`);
      // what is packed with fewer digits may differ in the last of three
      const [numbers, others] = [found, expected].map(({ parts }) => parts.join("\n").split(/(-?\d+\.\d+)/));
      assert.equal(numbers.length, others.length);
      numbers.forEach((text, i) => assert.ok(text === others[i] || Math.abs(text - others[i]) <= 0.011 * Math.abs(text), `${text}, ${others[i]}`));
      found.parts = expected.parts;
      found.addresses = found.addresses.map((address) => address.replace(own, `tiny/${id}.html`));
      assert.deepEqual(found, expected, name);
    }
  });
}

test("an address of a page leads to the neuron where the host has a page for what is missing", async () => {
  await page.goto(`${root()}tiny/1/7.html#example-3`);
  await page.waitForSelector(".marked .tokens");
  assert.equal(page.url(), `${root()}tiny/1/7.html#example-3`);
  assert.equal(await page.textContent("h1 .id"), "1.7");
  await page.keyboard.press("ArrowRight");
  await page.waitForFunction(() => document.querySelector("h1 .id")?.textContent === "1.8");
  await drawn();
  problems = problems.filter((text) => !text.includes("404")); // of the page itself
});

test("what no model has is not found", async () => {
  for (const path of ["tiny/9/7.html", "none/1/7.html", "tiny/1/x.html"]) {
    await page.goto(root() + path);
    assert.equal(await page.textContent("h1"), "Not found");
  }
  problems = problems.filter((text) => !text.includes("404"));
});

test("a neuron that is not there is said to be so", async () => {
  for (const [query, name] of [["?n=37", "1.37"], ["?n=x", "1.…"], ["", "1.…"]]) {
    await page.goto(`${root("plain")}tiny/1/neuron.html${query}`);
    await page.waitForSelector("#problem:not([hidden])");
    assert.match(await page.textContent("#problem"), /neurons 0 to 36/);
    assert.equal(await page.textContent("h1 .id"), name);
  }
});

test("nothing moves in view when the text of a comparison comes", async () => {
  await page.addInitScript(() => {
    globalThis.shifted = 0;
    new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (globalThis.shifted += value))).observe({ type: "layout-shift", buffered: true });
  });
  await page.route("**/text/*.gz", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 500)); // so that the page is seen without it
    await route.continue();
  });
  await page.goto(`${root()}compare.html?a=tiny/1/7&b=tiny/2/3`);
  await page.waitForFunction(() => document.querySelectorAll("#pair .list .tokens").length > 5);
  await page.waitForTimeout(200); // shifts are told after they are painted
  const shifted = await page.evaluate(() => globalThis.shifted);
  assert.ok(shifted < 0.01, `shifted by ${shifted}`);
});

test("ways lead from neuron to neuron, at random, and to the others of other pages", async () => {
  await page.goto(`${root("plain")}tiny/0/neuron.html?n=36`);
  await drawn();
  await page.click("main a[rel=next]");
  await drawn();
  assert.equal(await page.textContent("h1 .id"), "1.0");
  await page.click("main a[rel=prev]");
  await drawn();
  assert.equal(await page.textContent("h1 .id"), "0.36");
  await page.click("main a[rel=random]");
  await page.waitForURL(/neuron\.html\?n=\d+$/);
  await drawn();
  for (const [path, link] of [["tiny/1/index.html", "#cells a >> nth=4"], ["tiny/1/index.html", "#table tbody a"], ["tiny/index.html", "ol.top a, .top a"], ["tiny/search.html?q=neuron", "main ol a"], ["tiny/tokens.html#20", "#lists a, article a.neuron, article ol a"]]) {
    await page.goto(root("plain") + path);
    await page.click(link);
    await page.waitForURL(/\/(neuron\.html\?n=)?\d+(\.html)?(#.*)?$/);
    await drawn();
  }
});

test("a list that is chosen again while its text is loaded is drawn once", async () => {
  await page.route("**/text/*.gz", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    await route.continue();
  });
  await page.goto(`${root()}tiny/1/neuron.html?n=7`);
  await page.waitForSelector("[role=tab]");
  for (const tab of ["Random", "Most positive", "Random", "Most positive", "Random"]) await page.click(`[role=tab]:text-is("${tab}")`);
  await drawn();
  await page.waitForFunction(() => document.querySelectorAll("#random li .tokens").length > 0 && !document.querySelector("[aria-busy]"));
  const { random } = await page.evaluate(async () => ({ random: document.querySelectorAll("#random li").length }));
  assert.equal(random, new Set(await page.locator("#random li").evaluateAll((items) => items.map((item) => item.id))).size);
});

test("a page asks for the text of its first screen alone, and for more where a reader comes", async () => {
  const FIRST = 5;
  const texts = [];
  page.on("request", (request) => /text\/\d+\.gz$/.test(request.url()) && texts.push(request.url()));
  await page.setViewportSize({ width: 412, height: 823 });
  await page.goto(`${root()}tiny/1/neuron.html?n=7`, { waitUntil: "networkidle" });
  const items = page.locator(".texts section.list:not([hidden]) li");
  assert.equal(await page.locator(".texts .tokens").count(), FIRST);
  assert.ok(texts.length <= FIRST, texts.join());
  const left = Number(/^(\d+) more$/.exec(await items.last().textContent())[1]);
  await wholeList();
  assert.equal(await items.count(), FIRST + left);
  assert.equal(await page.locator(".texts section.list:not([hidden]) .tokens").count(), FIRST + left);
});

test("an address leads to an example that is not among the first", async () => {
  for (const id of ["example-9", "random-7"]) {
    await page.goto(`${root()}tiny/1/neuron.html?n=7#${id}`);
    await page.waitForSelector(`#${id}.marked .tokens`);
    await page.goto("about:blank");
  }
  await page.goto(`${root()}tiny/1/neuron.html?n=7`);
  await drawn();
  await page.evaluate(() => (location.hash = "#top-8"));
  await page.waitForSelector("#top-8.marked .tokens");
});

test("two neurons stand side by side", async () => {
  await page.goto(`${root("plain")}compare.html?a=tiny/1/7&b=tiny/2/3`);
  await page.waitForFunction(() => document.querySelectorAll(".list .tokens").length >= 12);
  assert.equal(await page.locator(".cards.two .card").count(), 13);
});

test("whole documents, and hooks, are loaded when they are wanted", async () => {
  const loaded = [];
  page.on("request", (request) => loaded.push(request.url()));
  await page.goto(`${root()}tiny/1/neuron.html?n=7#gatep_inp`);
  await drawn();
  assert.equal(loaded.filter((url) => url.includes("hooks-")).length, 0);
  const first = page.locator("#gatep_inp li").first();
  await first.locator(".hooks button", { hasText: "gate" }).click();
  await page.waitForFunction(() => /±/.test(document.querySelector("#gatep_inp li .range").textContent));
  assert.equal(loaded.filter((url) => url.includes("hooks-")).length, 1);
  // those of another example are there now
  const second = page.locator("#gatep_inp li").nth(1);
  const post = await second.locator(".tokens").innerHTML();
  await second.locator(".hooks button", { hasText: "gate" }).click();
  await page.waitForFunction(() => /±[^0]/.test(document.querySelectorAll("#gatep_inp li .range")[1].textContent));
  assert.notEqual(await second.locator(".tokens").innerHTML(), post);
  assert.equal(loaded.filter((url) => url.includes("hooks-")).length, 1);
  await first.locator("button.document").click();
  await page.waitForSelector("dialog .tokens .peak");
  const whole = await page.textContent("dialog h2");
  assert.match(whole, /\S/);
});

test("readers without scripts have the lines of all neurons, and pages of some", async () => {
  const still = await browser.newContext({ javaScriptEnabled: false });
  const page = await still.newPage();
  await page.goto(`${root("plain")}tiny/1/index.html`);
  await page.click("a[href^='list-']");
  assert.equal(await page.locator("ul.neurons li").count(), 37);
  assert.ok((await page.locator("ul.neurons bdi").count()) > 30);
  await page.goto(`${root("plain")}tiny/1/neuron.html?n=3`);
  assert.match(await page.textContent("noscript"), /list says what each neuron does/);
  await page.goto(`${root()}tiny/1/3.html`);
  assert.match(await page.innerText("main"), /Not found[^]*tiny are packed[^]*lists of its layers/);
  await page.goto(`${root()}tiny/tokens.html`);
  assert.match(await page.innerText("main"), /tokens\/\*\.gz/);
  await page.goto(`${root("plain")}tiny/0/5.html`); // it has a note
  assert.match(await page.textContent(".note"), /It fires on text/);
  assert.ok((await page.locator("ol.examples li").count()) > 0);
  await still.close();
  const sitemap = await readFile(`${PACKED}/sitemap.xml`, "utf8");
  for (const listed of ["tiny/0/5.html", "tiny/1/list-000000.html"]) assert.ok(sitemap.includes(listed), listed);
  assert.ok(!sitemap.includes("neuron.html"));
});

// Files that are not as they should be

const isNeurons = (path) => /neurons-\d+\.gz$/.test(path);
/** A packed file with other bytes where it is unpacked. */
const other = (bytes, change) => {
  const unpacked = gunzipSync(bytes);
  change(unpacked);
  return gzipSync(unpacked);
};
const FAULTS = [
  ["cut off", (bytes) => bytes.subarray(0, bytes.length / 2), /neurons-\d+\.gz cannot be loaded: it is damaged or cut off/],
  ["damaged", (bytes) => other(bytes, (all) => (all[all.length - 9] ^= 1)), /neurons-\d+\.gz cannot be loaded: it is damaged or cut off/],
  ["of a newer version", (bytes) => other(bytes, (all) => (all[4] = 9)), /it is of version 9, and this page reads 1/],
  ["something else", () => Buffer.from("<html>"), /it is not a packed file/],
  ["of another build", (bytes) => other(bytes, (all) => (all[5] ^= 1)), /was built again.*Load the page again/],
];
for (const [name, change, words] of FAULTS) {
  test(`a file that is ${name} is said to be so, and the rest of the site works`, async () => {
    changed = (path, bytes) => (isNeurons(path) ? change(bytes) : bytes);
    await page.goto(`${root("changing")}tiny/1/neuron.html?n=7`);
    await page.waitForSelector("#problem:not([hidden])");
    assert.match(await page.textContent("#problem"), words);
    await page.goto(`${root("changing")}tiny/1/index.html`);
    await page.waitForSelector("#cells a");
  });
}

test("text that cannot be loaded leaves the statistics", async () => {
  changed = (path, bytes) => (/text\/\d+\.gz$/.test(path) ? bytes.subarray(0, 20) : bytes);
  await page.goto(`${root("changing")}tiny/1/neuron.html?n=7`);
  await page.waitForSelector(".texts .problem");
  assert.match(await page.textContent(".texts .problem"), /text\/\d+\.gz cannot be loaded/);
  assert.equal(await page.locator(".card").count(), 13);
});

for (const name of ["whole", "tight"]) {
  test(`packed files of version 1 are read: ${name}`, async () => {
    const folder = fileURLToPath(new URL(`../format/packed/${name}`, import.meta.url));
    const expected = JSON.parse(await readFile(`${folder}/record-2.34.json`, "utf8"));
    assert.deepEqual(await opened(PACKED, folder, 2, 34), expected);
  });
}

test("files are few, and each is read as it is written", async () => {
  const files = await readdir(`${PACKED}/tiny/1`);
  assert.ok(files.length < 20, files.join());
  const bytes = gunzipSync(await readFile(`${PACKED}/tiny/1/${files.find((file) => file.startsWith("neurons-"))}`));
  assert.equal(bytes.subarray(0, 5).toString("latin1"), "NSPK\u0001");
});
