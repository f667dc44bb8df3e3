// The page of tokens in a real Chromium, against the files that Rust wrote beside it.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { access, readdir } from "node:fs/promises";
import { SITE, at, browser, json, listen, page, root } from "./browser.js";
import { tokenText, visible } from "../../theme/assets/read/tokens.js";
import { filesOf, key as keyOf, matches, order, parseQuery, summary } from "../../theme/assets/read/tokensearch.js";

const PAGE = "tiny/tokens.html";
const LISTS = ["promoted_by", "suppressed_by", "promoted_by_v", "suppressed_by_v", "peaks_top", "peaks_bottom"];
const SIGNED = { promoted_by: "promoted_logit", suppressed_by: "suppressed_logit", promoted_by_v: "promoted_v", suppressed_by_v: "suppressed_v" };
let index, tokens; // the records of all, by id

before(async () => {
  index = await json("tiny/tokens/index.json");
  tokens = [];
  for (const name of (await readdir(`${SITE}/tiny/tokens`)).filter((name) => /^\d{6}\.json$/.test(name)).sort()) {
    const file = await json(`tiny/tokens/${name}`);
    assert.equal(file.first, Number.parseInt(name, 10));
    assert.equal(file.first, tokens.length);
    tokens.push(...file.tokens);
  }
});

const idOf = (text) => tokens.findIndex((token) => token.text === text);
const blank = (text) => /^ +$/.test(text);
const bare = (text) => (blank(text) ? text : text.replace(/^ +/, ""));
const key = (text) => bare(text).toLowerCase();

/** The ids that a text finds, best first: every token looked at, nothing clever. */
function expected(text, whole = false) {
  const capitals = text !== text.toLowerCase();
  const found = tokens.flatMap((token, id) => {
    const forms = text.startsWith(" ") ? [token.text] : [token.text, bare(token.text)];
    const hit = forms.some((form) => {
      const [a, b] = capitals ? [form, text] : [form.toLowerCase(), text.toLowerCase()];
      return whole ? a === b : a.startsWith(b);
    });
    const rank = [token.text === text, bare(token.text) === bare(text), key(token.text) === key(text), true].indexOf(true);
    return hit ? [[rank, token.text.length, id]] : [];
  });
  return found.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]).map(([, , id]) => id);
}

const settled = (typed, whole) => page.waitForFunction(([typed, whole]) => {
  const words = new URLSearchParams(location.search);
  const searched = (words.get("q") ?? "") === typed && words.has("whole") === (whole && typed !== "");
  return searched && document.getElementById("found").ariaBusy === "false";
}, [typed, whole]);
const results = async () => ({
  ids: await page.$$eval("#found a", (links) => links.map((link) => Number(link.hash.slice(1)))),
  texts: await page.$$eval("#found .token", (spans) => spans.map((span) => span.textContent)),
  says: await page.textContent("#count"),
});
async function search(typed, whole = false) {
  await page.setChecked("#whole", whole);
  await page.fill("#query", typed);
  await settled(typed, whole);
  return results();
}
const shows = (id) => page.waitForFunction((id) => document.querySelector("#token-title .id")?.textContent === `#${id}` && !document.getElementById("token").hidden, id);

test("the names that are searched are all tokens, in order", async () => {
  assert.equal(index.schema, "neuroscope/tokens/v1");
  assert.deepEqual([index.model, index.n_layers, index.d_mlp, index.n_tokens], ["tiny", 3, 37, 290]);
  assert.equal(tokens.length, index.n_tokens);
  const names = [];
  for (let i = 0; i < index.names.length; i++) {
    const file = await json(`tiny/tokens/names-${i}.json`);
    assert.equal(key(file.tokens[0][1]), index.names[i]);
    names.push(...file.tokens);
  }
  for (const [id, text] of names) assert.equal(text, tokens[id].text);
  const sorted = tokens.map(({ text }, id) => [id, text]).sort(([i, a], [j, b]) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : i - j));
  assert.deepEqual(names, sorted);
  assert.deepEqual(tokens.map(({ text }) => keyOf(text)), tokens.map(({ text }) => key(text)));
});

test("a token is found as it is typed", async () => {
  await page.goto(root + PAGE);
  await page.waitForFunction(() => document.activeElement.id === "query");
  for (const typed of ["t", "th", "the", "he", "THE", "T", "uron", "<", "<|", "0", "{", "\"", "&", "\\", "é", "zzz"]) {
    const { ids, texts, says } = await search(typed);
    const wanted = expected(typed);
    assert.deepEqual(ids, wanted, typed);
    wanted.forEach((id, i) => assert.equal(texts[i].replaceAll("␣", " "), tokens[id].text));
    const words = { 0: "No token begins with this", 1: "1 token begins with this" }[wanted.length] ?? `${wanted.length} tokens begin with this`;
    assert.equal(says, words);
  }
  assert.deepEqual((await search("the")).ids.slice(0, 2), [idOf("the"), idOf(" the")]);
  assert.deepEqual(await search(""), { ids: [], texts: [], says: "" });
  await page.type("#query", "tha", { delay: 10 });
  await settled("tha", false);
  assert.deepEqual((await results()).ids, [idOf(" that")]);
});

test("spaces, newlines and tabs can be typed", async () => {
  await page.goto(root + PAGE);
  const spaced = expected(" ");
  assert.ok(spaced.length > 5);
  for (const typed of [" ", "␣"]) assert.deepEqual((await search(typed)).ids, spaced);
  for (const typed of [" th", "␣th"]) assert.deepEqual((await search(typed)).ids, [idOf(" the"), idOf(" that")]);
  for (const [typed, text] of [["\\n", "\n"], ["↵", "\n"], ["\\t", "\t"], ["→", "\t"], ["␀", "\0"], ["␡", "\x7f"], ["␣", " "]]) {
    const { ids, texts } = await search(typed, true);
    assert.deepEqual(ids, [idOf(text)], typed);
    if (!typed.startsWith("\\")) assert.deepEqual(texts, [typed]);
  }
  assert.deepEqual((await search("\\\\")).ids, expected("\\"));
  // whatever the page shows of a token finds it
  for (const { text } of tokens) assert.ok(text === "" || matches(text, parseQuery(tokenText(text), true)), JSON.stringify(text));
});

test("whole tokens, with and without the space in front", async () => {
  await page.goto(root + PAGE);
  for (const typed of ["the", " the", "THE", "t", "T", "see", "se", "<|bos|>"]) {
    const { ids, says } = await search(typed, true);
    assert.deepEqual(ids, expected(typed, true), typed);
    if (ids.length === 0) assert.equal(says, "No token is this");
  }
  assert.deepEqual((await search("the", true)).ids, [idOf("the"), idOf(" the")]);
  assert.deepEqual((await search(" the", true)).ids, [idOf(" the")]);
  assert.deepEqual((await search("t", true)).ids, [idOf("t"), idOf(" t"), idOf("T")]);
  await page.uncheck("#whole");
  await settled("t", false);
  assert.deepEqual((await results()).ids, expected("t"));
});

test("a token by its id", async () => {
  await page.goto(root + PAGE);
  for (const id of [0, 137, 289]) assert.deepEqual((await search(`#${id}`)).ids, [id]);
  assert.deepEqual(await search("#290"), { ids: [], texts: [], says: "There is no token 290: ids are 0 to 289" });
  assert.deepEqual((await search("\\#")).ids, expected("#"));
});

test("the answer is the same however the names are split, until too many files are needed", async () => {
  const sorted = tokens.map(({ text }, id) => [id, text]).sort(([i, a], [j, b]) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : i - j));
  const parts = [];
  for (let i = 0; i < sorted.length; i += 4) parts.push(sorted.slice(i, i + 4));
  const asked = new Set();
  await page.route("**/tokens/index.json", (route) => route.fulfill({ json: { ...index, names: parts.map(([[, text]]) => key(text)) } }));
  await page.route("**/tokens/names-*.json", (route) => {
    const i = Number(/names-(\d+)/.exec(route.request().url())[1]);
    asked.add(i);
    return route.fulfill({ json: { tokens: parts[i] } });
  });
  await page.goto(root + PAGE);
  for (const typed of ["t", "the", "T", " th", "s", "<|"]) {
    asked.clear();
    assert.deepEqual((await search(typed)).ids, expected(typed), typed);
    assert.ok(asked.size <= 8);
  }
  asked.clear();
  const { ids, says } = await search(" ");
  assert.equal(ids[0], idOf(" "), "the token that is a space is among the first files");
  assert.ok(ids.length < expected(" ").length && ids.every((id) => tokens[id].text.startsWith(" ")));
  assert.ok(asked.size <= 8);
  assert.match(says, new RegExp(`^(At least ${ids.length} tokens begin|At least 1 token begins) with this; 5 of ${parts.length} files were searched`));
  // each prefix of each token and each token as a whole, without the network
  const wrong = [];
  const [all, names] = [parts.flat(), parts.map(([[, text]]) => key(text))];
  const look = (text, whole) => {
    const query = { text, whole, caseCounts: text !== text.toLowerCase() };
    const near = filesOf(names, query).flatMap((i) => parts[i]).filter(([, text]) => matches(text, query));
    const far = all.filter(([, text]) => matches(text, query));
    if (JSON.stringify(order(near, query)) !== JSON.stringify(order(far, query))) wrong.push([text, whole]);
  };
  for (const [, text] of all) for (let n = 1; n <= text.length; n++) for (const whole of [false, true]) {
    for (const prefix of [text.slice(0, n), text.slice(0, n).toUpperCase(), text.slice(0, n).trimStart()]) if (prefix) look(prefix, whole);
  }
  assert.deepEqual(wrong, []);
});

test("cases that fold unlike their letters, and long answers", () => {
  const pairs = [["ΟΔΟΣΑ", "ΟΔΟΣ"], ["οδοσα", "οδος"], ["ΟΔΟΣ", "οδοσ"], ["Monday", "mon"], ["monday", "Mon"], ["  x", "x"], ["  x", " x"], ["  x", "  x"]];
  const found = pairs.map(([text, typed]) => matches(text, parseQuery(typed)));
  assert.deepEqual(found, [true, true, true, true, false, true, false, true]);
  // the key of ΟΔΟΣΑ has σ where that of ΟΔΟΣ has ς
  const files = filesOf(["α", keyOf("ΟΔΟΣ"), keyOf("ΟΔΟΣΑ"), "ω"], parseQuery("ΟΔΟΣ"));
  assert.ok(files.includes(1) && files.includes(2) && !files.includes(3));
  assert.equal(summary({ n: 12345, searched: 2, of: 2 }, {}), "12\u202f345 tokens begin with this, the first 200 shown");
  assert.equal(summary({ n: 0, searched: 8, of: 9 }, {}), "No token found so far; 8 of 9 files were searched, type more to search the others");
  assert.equal(summary({ n: 2, searched: 1, of: 1 }, { whole: true }), "2 tokens are this");
});

test("a token's lists are those of its record, and lead to neurons", async () => {
  await page.goto(root + PAGE);
  const siteTitle = await page.title();
  const withPeaks = tokens.findIndex((token) => token.n_peaks_top > token.peaks_top.length);
  assert.ok(withPeaks >= 0, "some token is the peak of more neurons than are shown");
  const last = tokens.length - 1;
  for (const id of [idOf(" the"), withPeaks, 0, last]) {
    await page.evaluate((id) => (location.hash = `#${id}`), id);
    await shows(id);
    const token = tokens[id];
    for (const list of LISTS) {
      const found = await page.$$eval(`[data-list=${list}] li:not(.none)`, (items) => items.map((item) => [item.querySelector("a").href, item.querySelector("a").textContent, item.querySelector(".num").textContent]));
      assert.equal(found.length, token[list].length, list);
      token[list].forEach(([flat, value], i) => {
        const [layer, neuron] = [Math.floor(flat / 37), flat % 37];
        assert.deepEqual(found[i].slice(0, 2), [`${root}tiny/${layer}/${neuron}.html`, `${layer}.${neuron}`]);
        if (list.startsWith("peaks")) assert.equal(found[i][2], `${value} of 20`);
        else assert.ok(Math.abs(Number(found[i][2]) - value) <= 0.006 * Math.abs(value), `${found[i][2]} for ${value}`);
      });
      const none = await page.locator(`[data-list=${list}] .none`).count();
      assert.equal(none, token[list].length === 0 ? 1 : 0);
    }
    for (const list of ["peaks_top", "peaks_bottom"]) {
      const more = token[`n_${list}`] > token[list].length;
      assert.equal(await page.isVisible(`[data-count=${list}]`), more);
      if (more) assert.ok((await page.textContent(`[data-count=${list}]`)).replaceAll("\u202f", "").startsWith(`${token[`n_${list}`]} neurons`));
    }
    assert.equal((await page.title()).endsWith(`#${id} · ${siteTitle}`), true);
    const steps = await page.$$eval("#token .steps a", (links) => links.map((link) => link.getAttribute("href")));
    assert.deepEqual(steps, [id > 0 ? `#${id - 1}` : null, id < last ? `#${id + 1}` : null]);
  }
  assert.match(await page.textContent(`[data-list=promoted_by]`), /^\d/);
  const [href, name] = await page.$eval("[data-list=promoted_by] a", ({ href, textContent }) => [href, textContent]);
  await access(`${SITE}/${href.slice(root.length)}`);
  await page.click("[data-list=promoted_by] a");
  await page.waitForURL(href);
  assert.equal(await page.textContent("h1 .id"), name);
});

test("a neuron of a list says what it does, to the pointer and to the keyboard", async () => {
  await page.goto(`${root}${PAGE}#0`);
  await shows(0);
  const [[flat]] = tokens[0].promoted_by;
  const { lines_per_file } = await json("tiny/index.json");
  const first = flat - (flat % lines_per_file);
  const [, , , , said, line] = (await json(`tiny/lines/${String(first).padStart(7, "0")}.json`)).lines[flat - first];
  await page.focus("[data-list=promoted_by] a");
  await page.waitForSelector("#tip:popover-open");
  assert.equal(await page.textContent("#tip"), said ?? `${visible(line)} automatic`);
});

test("a list says with which side a neuron promotes or suppresses the token", async () => {
  const shown = { "+": 0, "−": 0 };
  for (const id of [idOf(" the"), 0, 100, tokens.length - 1]) {
    await page.goto("about:blank");
    await page.goto(`${root}${PAGE}#${id}`);
    await shows(id);
    assert.ok(await page.isVisible("#token-sides") && !(await page.isVisible("#token-signed")));
    for (const list of Object.keys(SIGNED)) {
      const found = await page.$$eval(`[data-list=${list}] li:not(.none)`, (items) => items.map((item) => [item.querySelector(".side").title, item.querySelector(".side").textContent]));
      tokens[id][list].forEach(([, value], i) => {
        const [title, text] = found[i];
        const promotes = list.startsWith("promoted");
        const side = value > 0 === promotes ? "+" : "−";
        assert.deepEqual([title, text], [`${promotes ? "promotes" : "suppresses"} it when it fires (${side})`, `(${side})`]);
        shown[side] += 1;
      });
      assert.equal(found.length, tokens[id][list].length);
    }
  }
  assert.ok(shown["+"] > 20 && shown["−"] > 20, JSON.stringify(shown));
});

test("an atlas that does not know the sides lists neurons by sign, and says so", async () => {
  await page.route(/tokens\/\d{6}\.json/, async (route) => {
    const file = await (await route.fetch()).json();
    for (const token of file.tokens) for (const list of Object.keys(SIGNED)) delete token[list];
    await route.fulfill({ json: file });
  });
  const id = idOf(" the");
  await page.goto(`${root}${PAGE}#${id}`);
  await shows(id);
  assert.ok(await page.isVisible("#token-signed") && !(await page.isVisible("#token-sides")));
  assert.match(await page.textContent("#token-signed"), /does not say on which side its neurons fire.*neuroscope analyze/);
  for (const [list, signed] of Object.entries(SIGNED)) {
    const found = await page.$$eval(`[data-list=${list}] li`, (items) => items.map((item) => item.querySelector("a").textContent));
    assert.deepEqual(found, tokens[id][signed].map(([flat]) => `${Math.floor(flat / 37)}.${flat % 37}`));
    assert.equal(await page.locator(`[data-list=${list}] .side`).count(), 0);
  }
  await page.evaluate(() => (location.hash = "#99999"));
  await page.waitForSelector("#token-problem:not([hidden])");
  assert.ok(!(await page.isVisible("#token-signed")));
});

test("an address leads to a token, and back and forth between them", async () => {
  const id = idOf(" the");
  await page.goto(`${root}${PAGE}#${id}`);
  await shows(id);
  assert.equal(await page.textContent("#token-title .token"), "␣the");
  assert.notEqual(await page.evaluate(() => document.activeElement.id), "query", "a reader of the token is left where they are");
  await page.keyboard.press("ArrowRight");
  await shows(id + 1);
  assert.equal(at(), `${PAGE}#${id + 1}`);
  await page.keyboard.press("ArrowLeft");
  await shows(id);
  await page.click("#token a[rel=next]");
  await shows(id + 1);
  await page.goBack();
  await shows(id);
  await page.evaluate(() => (location.hash = ""));
  await page.waitForSelector("#token", { state: "hidden" });
  assert.ok(!(await page.title()).includes("#"));
  for (const wrong of [290, 99999999999999]) {
    await page.evaluate((id) => (location.hash = `#${id}`), wrong);
    await page.waitForFunction((id) => document.getElementById("token-problem").textContent.includes(`no token ${id}: ids are 0 to 289`), wrong);
    assert.ok(await page.isVisible("#token-problem") && !(await page.isVisible("#token-lists")));
  }
});

test("a search can be linked", async () => {
  await page.goto(`${root}${PAGE}?q=%20th`);
  await settled(" th", false);
  assert.equal(await page.inputValue("#query"), " th");
  assert.deepEqual((await results()).ids, expected(" th"));
  await page.goto(`${root}${PAGE}?q=the&whole=1`);
  await settled("the", true);
  assert.ok(await page.isChecked("#whole"));
  assert.deepEqual((await results()).ids, expected("the", true));
  for (const typed of [" t", "#5", "a&b=c", "+", "%20", "日本", "<|"]) {
    const { ids } = await search(typed);
    await page.reload();
    await settled(typed, false);
    assert.equal(await page.inputValue("#query"), typed);
    assert.deepEqual((await results()).ids, ids);
  }
  // a result keeps the search in the address, and going back brings a search back with its token
  await search("the");
  await page.click("#found a >> nth=1");
  await shows(idOf(" the"));
  assert.equal(at(), `${PAGE}?q=the#${idOf(" the")}`);
  assert.equal(await page.getAttribute("#found a >> nth=1", "aria-current"), "true");
  await search("see");
  await page.click("#found a >> nth=0");
  await shows(idOf("see"));
  await search("x");
  await page.goBack();
  await shows(idOf(" the"));
  await settled("see", false);
  assert.equal(await page.inputValue("#query"), "see");
});

test("all by keyboard", async () => {
  await page.goto(root + PAGE);
  await page.waitForFunction(() => document.activeElement.id === "query");
  await page.keyboard.type("th");
  await settled("th", false);
  const ids = expected("th");
  const focus = () => page.evaluate(() => document.activeElement.hash || document.activeElement.id);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focus(), `#${ids[1]}`);
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowUp");
  assert.equal(await focus(), "query");
  await page.keyboard.press("Tab");
  assert.equal(await focus(), "whole");
  await page.keyboard.press("Tab");
  assert.equal(await focus(), `#${ids[0]}`);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await shows(ids[1]);
  await page.waitForFunction(() => document.activeElement.id === "token-title");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await shows(ids[1] + 1);
  await page.keyboard.press("Enter");
  await shows(ids[1] + 2);
  await page.keyboard.press("Tab");
  const href = await page.evaluate(() => document.activeElement.href);
  await page.keyboard.press("Enter");
  await page.waitForURL(href);
  // Enter in the box goes to the best result at once
  await page.goto(root + PAGE);
  await page.waitForFunction(() => document.activeElement.id === "query");
  await page.keyboard.type(" the");
  await page.keyboard.press("Enter");
  await shows(idOf(" the"));
  assert.equal(at(), `${PAGE}?q=+the#${idOf(" the")}`);
});

test("what cannot be loaded is said in the page, and tried again", async () => {
  const quiet = await browser.newPage(); // a missing file is an error in the console as well
  const fail = (route) => route.fulfill({ status: 503, body: "" });
  await quiet.route("**/tokens/*.json", fail);
  await quiet.goto(`${root}${PAGE}?q=the#3`);
  await quiet.waitForFunction(() => /^tokens\/index\.json cannot be loaded: 503/.test(document.getElementById("count").textContent));
  await quiet.waitForFunction(() => /^tokens\/index\.json cannot be loaded: 503/.test(document.getElementById("token-problem").textContent));
  assert.ok(!(await quiet.isVisible("#token-lists")));
  await quiet.unroute("**/tokens/*.json", fail);
  await quiet.route("**/tokens/names-0.json", (route) => route.abort());
  await quiet.fill("#query", "see");
  await quiet.waitForFunction(() => /^tokens\/names-0\.json cannot be loaded/.test(document.getElementById("count").textContent));
  await quiet.unroute("**/tokens/names-0.json");
  await quiet.fill("#query", "the");
  await quiet.waitForSelector("#found a");
  await quiet.click("#found a");
  await quiet.waitForSelector("#token-lists:not([hidden])");
  assert.ok(!(await quiet.isVisible("#token-problem")));
  await quiet.close();
});

test("it fits a phone, and has no control without a name", async () => {
  await page.setViewportSize({ width: 360, height: 800 });
  for (const rest of ["", "?q=t", `?q=the#${idOf(" the")}`, "#0", "#999"]) {
    await page.goto("about:blank");
    await page.goto(root + PAGE + rest);
    if (rest.includes("#")) await page.waitForSelector("#token:not([hidden])");
    if (rest.includes("?")) await page.waitForSelector("#found a");
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(over <= 0, `${rest} is ${over} px too wide`);
  }
  const tree = await page.locator("main").ariaSnapshot();
  assert.match(tree, /searchbox "Token"/);
  assert.match(tree, /checkbox "whole token"/);
  assert.ok(!/^\s*- (link|textbox|searchbox|checkbox|button)(:|$)/m.test(tree), tree);
  assert.equal(await page.getAttribute("#count", "role"), "status");
});

test("without JavaScript the page says where the lists are", async () => {
  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  listen(plain);
  await plain.goto(root + PAGE);
  const text = await plain.innerText("main");
  for (const name of ["tokens/*.json", "tokens.parquet"]) assert.ok(text.includes(name), name);
  assert.ok(!(await plain.isVisible("form.find")));
  await plain.context().close();
});
