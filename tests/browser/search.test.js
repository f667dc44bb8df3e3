// The search: its rules, then the box and the page of it in a real Chromium, against the files that Rust wrote.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { at, browser, json, listen, page, root } from "./browser.js";
import { listsOf } from "./record.js";
import { words } from "../../theme/assets/read/fold.js";
import { aim, neuronAt, placesAt } from "../../theme/assets/read/places.js";
import { allOf, anyOf, choose, fileOf, filesOfBeginning, findNeurons, summaryOfWords } from "../../theme/assets/search/find.js";

const LAYERS = 3;
const D_MLP = 37;
const BUDGET = 200_000; // bytes that a query may load

describe("rules", () => {
  const models = { gpt2: [12, 3072, true], "gpt2-xl": [48, 6400, false] };
  const site = { models, root: "../", current: "gpt2" };

  test("addresses of neurons, and what is wrong with them", () => {
    for (const text of ["5.220", " 5.220 ", "5/220", "5 220", "5,220", "L5N220", "l5n220", "5n220", "gpt2/5.220", "gpt2 5.220", "gpt2:L5N220"]) {
      assert.deepEqual(neuronAt(site, text), { model: "gpt2", label: "5.220", href: "../gpt2/5/220.html" }, text);
    }
    assert.equal(neuronAt(site, "gpt2-xl 47.6399").href, "../gpt2-xl/47/6399.html");
    assert.equal(neuronAt({ ...site, current: undefined }, "5.220").model, "gpt2", "the first model, where there is none");
    assert.equal(neuronAt({ models: { "a b": [1, 1] }, root: "" }, "0.0").href, "a%20b/0/0.html");
    assert.equal(neuronAt(site, "12.0").error, "gpt2 has layers 0 to 11");
    assert.equal(neuronAt(site, "0.3072").error, "layers of gpt2 have neurons 0 to 3071");
    assert.equal(neuronAt(site, "other/0.1").error, "there is no model other");
    assert.equal(neuronAt(site, "toString/0.1").error, "there is no model toString");
    for (const text of ["", "monday", "5", "python 3.10", "#5", "5.220.1", "gpt2", "layer 5", "5.x"]) assert.equal(neuronAt(site, text), undefined, text);
  });

  test("places: layers and models", () => {
    const labels = (text) => placesAt(site, text).map(({ label, href }) => `${label} ${href}`);
    assert.deepEqual(labels("layer 5"), ["Layer 5 ../gpt2/5/index.html"]);
    assert.deepEqual(labels("gpt2-xl layer 40"), ["Layer 40 ../gpt2-xl/40/index.html"]);
    assert.deepEqual(labels("layer 12"), []);
    assert.deepEqual(labels("GPT2-"), ["gpt2-xl ../gpt2-xl/index.html"]);
    assert.deepEqual(labels("gpt2").length, 2);
    assert.deepEqual(labels(" "), []);
    assert.deepEqual(labels("9.9999"), []);
  });

  test("the model that is searched", () => {
    assert.deepEqual(aim(site, "monday"), { model: "gpt2", text: "monday" });
    assert.deepEqual(aim(site, "gpt2-xl monday"), { model: "gpt2-xl", text: "monday" });
    assert.deepEqual(aim(site, "gpt2-xl  Monday"), { model: "gpt2-xl", text: " Monday" });
    assert.deepEqual(aim(site, "gpt2 monday"), { model: "gpt2", text: "gpt2 monday" }, "the reader is there already");
    assert.deepEqual(aim(site, "gpt2-xl "), { model: "gpt2", text: "gpt2-xl " });
    assert.deepEqual(aim({ ...site, current: undefined }, "gpt2 monday"), { model: "gpt2", text: "monday" });
    assert.deepEqual(aim({ ...site, current: undefined }, "gpt2y monday"), { model: "gpt2", text: "gpt2y monday" });
  });

  const firsts = ["b", "mon", "monday", "monk", "x"];
  test("the files that can have a word", () => {
    assert.deepEqual(["a", "b", "moan", "mon", "mond", "monday", "z"].map((word) => fileOf(firsts, word)), [-1, 0, 0, 1, 1, 2, 4]);
    const files = { a: [], b: [0], m: [0, 1, 2, 3], mon: [1, 2, 3], mond: [1, 2], monk: [3], monz: [3], z: [4] };
    for (const [beginning, expected] of Object.entries(files)) assert.deepEqual(filesOfBeginning(firsts, beginning), expected, beginning);
    assert.deepEqual(filesOfBeginning(["aa", "b"], "a"), [0]);
    assert.deepEqual(filesOfBeginning([], "a"), []);
  });

  test("of many words the longest are looked up", () => {
    assert.deepEqual(choose(["bed", "monks", "xenon", "monkeys"], firsts, 2), { chosen: ["monks", "xenon", "monkeys"], left: ["bed"] });
    assert.deepEqual(choose(["b", "c"], firsts, 1), { chosen: ["b", "c"], left: [] });
  });

  test("neurons with any of some words, and with all", () => {
    const cats = anyOf([["cat", 2, [7, 1, 3, 2, 5, 0, 2, 1], [9]], ["cats", 300, [5, 4, 4, -3, 8, 0, 1, 9], [2, 9]]]);
    assert.deepEqual([...cats.neurons.values()].sort((a, b) => a.flat - b.flat), [{ flat: 5, fires: 4, holds: 4, first: -3 }, { flat: 7, fires: 1, holds: 3, first: 2 }, { flat: 8, fires: 0, holds: 1, first: 9 }]);
    assert.deepEqual([cats.n, cats.cut, [...cats.notes].sort()], [3, true, [2, 9]]);
    const dogs = anyOf([["dog", 3, [8, 5, 5, 1, 7, 1, 1, 1, 3, 0, 1, 1], []]]);
    assert.deepEqual([dogs.n, dogs.cut], [3, false]);
    assert.deepEqual(allOf([cats, dogs]), { neurons: [{ flat: 8, fires: 5, holds: 6, first: 9 }, { flat: 7, fires: 2, holds: 4, first: 2 }], notes: [] });
    assert.deepEqual(allOf([cats]).notes, [2, 9]);
    assert.deepEqual(allOf([anyOf([]), dogs]).neurons, []);
  });

  test("what is found, and what is said of it", async () => {
    const files = {
      "words/index.json": { most: 2, files: ["bat", "cats", "monday"] },
      "words/0.json": { words: [["bat", 1, [4, 1, 1, 1]], ["cat", 1, [4, 0, 1, 1]]] },
      "words/1.json": { words: [["cats", 5, [4, 3, 3, 1, 2, 1, 1, 1]], ["cattle", 1, [9, 1, 1, 1]]] },
      "words/2.json": { words: [["monday", 1, [4, 0, 1, 1]]] },
      "words/said.json": { most: 2, files: ["cat", "sunday"] },
      "words/said-0.json": { words: [["cat", [6]], ["catkin", [3, 7]], ["monday", [1, 6]]] },
      "words/said-1.json": { words: [["sunday", [5]]] },
    };
    const asked = [];
    const load = (name) => (asked.push(name), files[name]);
    const ask = async (text, shown = 100) => {
      asked.length = 0;
      const answer = await findNeurons(load, text);
      return { flats: answer.neurons.map(({ flat }) => flat), notes: answer.notes, says: summaryOfWords(answer, shown), files: new Set(asked.filter((name) => /\/\d/.test(name))).size };
    };
    assert.deepEqual(await ask("Cat"), { flats: [4], notes: [6], says: "1 neuron has “cat” in its examples", files: 1 });
    assert.deepEqual(await ask("cats"), { flats: [4, 2], notes: [], says: "5 neurons have “cats” in their examples; the best 2 are shown", files: 1 });
    assert.deepEqual(await ask("ca"), { flats: [4, 2, 9], notes: [3, 6, 7], says: "At least 3 neurons have a word that begins with “ca” in their examples: cat, cats, cattle, catkin; only the best 2 neurons of each word are searched", files: 2 });
    assert.deepEqual(await ask("cat monday"), { flats: [4], notes: [6], says: "1 neuron has “cat” and “monday” in its examples", files: 2 });
    assert.deepEqual(await ask("monday cats bat"), { flats: [4], notes: [], says: "At least 1 neuron has “monday” and “cats” in its examples; only the best 2 neurons of each word are searched; left out, since only the longest words are looked up: “bat”", files: 2 });
    assert.deepEqual(await ask("mo cat"), { flats: [], notes: [], says: "No neuron has “mo” and “cat” in its examples", files: 2 }, "only the last word may be a beginning");
    assert.deepEqual(await ask("aardvark"), { flats: [], notes: [], says: "No neuron has a word that begins with “aardvark” in its examples", files: 0 });
    assert.deepEqual((await ask("ca", 1)).says.includes("the best 1 are shown"), true);
    assert.deepEqual(await ask("␣ #"), { flats: [], notes: [], says: "", files: 0 });
    assert.deepEqual(await ask("sunday"), { flats: [], notes: [5], says: "No neuron has “sunday” in its examples", files: 1 }, "it is in notes alone");
    const [said, many] = [await findNeurons(load, "cat"), await findNeurons(load, "catkin")];
    assert.deepEqual([said.someNotes, many.someNotes], [false, true]);
  });
});

let index, entries; // of all words files, by word
before(async () => {
  index = await json("tiny/words/index.json");
  const files = await Promise.all(index.files.map((_, i) => json(`tiny/words/${i}.json`)));
  entries = new Map(files.flatMap(({ words }) => words).map((entry) => [entry[0], entry]));
});

const flatsOf = ([, , list]) => list.filter((_, i) => i % 4 === 0);
const name = (flat) => `${Math.floor(flat / D_MLP)}.${flat % D_MLP}`;
const pathOf = (flat) => `${name(flat).replace(".", "/")}.html`;
const most = () => [...entries.values()].filter(([word]) => /^[a-z]{3,}$/.test(word)).sort((a, b) => b[1] - a[1])[0];
const pair = () => {
  const [one] = most();
  const other = [...entries.values()].find((entry) => entry[0] !== one && /^[a-z]{4,}$/.test(entry[0]) && flatsOf(entry).some((flat) => flatsOf(entries.get(one)).includes(flat)));
  return [one, other[0]];
};
const both = ([one, other]) => flatsOf(entries.get(one)).filter((flat) => flatsOf(entries.get(other)).includes(flat));

test("the words files hold the words of the examples, in order", async () => {
  assert.equal(index.schema, "neuroscope/words/v1");
  assert.deepEqual([index.model, index.d_mlp, index.n_words], ["tiny", D_MLP, entries.size]);
  const sorted = [...entries.keys()];
  assert.deepEqual(sorted, [...sorted].sort());
  for (const [i, first] of index.files.entries()) {
    const { words } = await json(`tiny/words/${i}.json`);
    assert.ok(words.every(([word]) => fileOf(index.files, word) === i), first);
  }
  for (const [word, n, list] of entries.values()) {
    assert.deepEqual(words(word), [word]);
    assert.equal(list.length / 4, Math.min(n, index.most));
    for (let i = 0; i < list.length; i += 4) {
      const [flat, fires, holds, first, ...next] = list.slice(i, i + 8);
      assert.ok(first !== 0 && Math.abs(first) <= 20);
      assert.ok(flat < LAYERS * D_MLP && fires <= holds && holds > 0);
      assert.ok(next.length === 0 || next[1] < fires || (next[1] === fires && (next[2] < holds || (next[2] === holds && next[0] > flat))), word);
    }
  }
  // what two examples of a neuron have finds the neuron
  for (const flat of [0, 40, 110]) {
    await page.goto(`${root}tiny/${pathOf(flat)}`);
    const { top, bottom } = listsOf(await page.evaluate(() => JSON.parse(document.getElementById("neuron").textContent)));
    const holds = new Map();
    for (const { text, bytes } of [...top, ...bottom]) {
      if (bytes || text.includes("<|")) continue; // parts of characters, special tokens
      for (const word of new Set(words(text))) holds.set(word, (holds.get(word) ?? 0) + 1);
    }
    assert.ok([...holds.values()].some((n) => n > 1));
    for (const [word, n] of holds) {
      const entry = entries.get(word);
      if (n > 1) assert.ok(entry && (entry[1] > index.most || flatsOf(entry).includes(flat)), `${word} of ${name(flat)}`);
    }
  }
});

// the box

const boxSettled = (typed) => page.waitForFunction((typed) => {
  const all = document.querySelector("#goto-list a.all");
  return all && new URL(all.href).searchParams.get("q") === typed && document.getElementById("goto-list").ariaBusy === "false";
}, typed);
async function type(typed) {
  await page.keyboard.press("/");
  await page.fill("#goto", typed);
  await boxSettled(typed);
}
const groups = () => page.$$eval("#goto-list [role=group]", (groups) => Object.fromEntries(groups.map((group) => [
  document.getElementById(group.getAttribute("aria-labelledby")).textContent,
  [...group.querySelectorAll("[role=option]")].map((option) => (option.querySelector("b, .token") ?? option).textContent),
])));
const active = () => page.evaluate(() => document.getElementById(document.getElementById("goto").getAttribute("aria-activedescendant"))?.textContent ?? null);
const isOpen = async () => [await page.isVisible("#goto-list"), await page.getAttribute("#goto", "aria-expanded")];

test("the box finds tokens and the neurons with a word", async () => {
  const [word, , list] = most();
  await page.goto(`${root}tiny/0/0.html`);
  assert.equal(await page.locator("#goto-list").count(), 0, "the search is not loaded before it is wanted");
  await type(word);
  const flats = flatsOf([word, 0, list]).slice(0, 6);
  assert.deepEqual((await groups())["In examples (their strongest is shown)"], flats.map(name));
  await page.waitForFunction((n) => document.querySelectorAll("#goto-list .hit mark").length === n, flats.length);
  const { lines_per_file } = await json("tiny/index.json");
  const lines = {};
  for (const flat of flats) {
    const first = flat - (flat % lines_per_file);
    lines[flat] = (await json(`tiny/lines/${String(first).padStart(7, "0")}.json`)).lines[flat - first];
  }
  const shown = await page.$$eval("#goto-list mark", (marks) => marks.map((mark) => mark.title));
  flats.forEach((flat, i) => assert.ok(Math.abs(Number(shown[i]) - lines[flat][0]) <= 0.006 * Math.abs(lines[flat][0]) + 0.01));
  await type("th");
  assert.deepEqual((await groups()).Tokens, ["the", "␣the", "␣that"]);
});

test("`/` and a text typed at once arrive whole, and Enter goes there", async () => {
  for (const [typed, target] of [["2.17", "tiny/2/17.html"], ["hello", "tiny/search.html?q=hello"], [" the", "tiny/search.html?q=%20the"]]) {
    await page.goto(`${root}tiny/1/1.html`);
    await page.keyboard.press("/");
    await page.keyboard.type(typed);
    await page.keyboard.press("Enter");
    await page.waitForURL(root + target);
  }
  assert.equal(await page.inputValue("#query"), " the");
  await page.goto(root);
  await page.keyboard.press("/");
  await page.keyboard.type("tiny 1.2");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${root}tiny/1/2.html`);
});

test("the box by keyboard", async () => {
  const [word, , [first, , , at]] = most();
  await page.goto(`${root}tiny/1/1.html`);
  await type(word);
  assert.deepEqual(await isOpen(), [true, "true"]);
  assert.equal(await active(), null);
  await page.keyboard.press("ArrowUp");
  assert.equal(await active(), "All results");
  await page.keyboard.press("ArrowDown");
  assert.equal(await active(), null, "back in the box");
  const n = await page.locator("#goto-list [role=option]").count();
  for (let i = 0; i < n; i++) await page.keyboard.press("ArrowDown");
  assert.equal(await active(), "All results");
  assert.equal(await page.locator("#goto-list [aria-selected=true]").count(), 1);
  assert.equal(await page.evaluate(() => document.activeElement.id), "goto");
  await page.keyboard.press("Home");
  await page.keyboard.type("x");
  assert.equal(await page.inputValue("#goto"), `x${word}`, "Home is a key of the text");
  assert.equal(await active(), null);
  await page.keyboard.press("Escape");
  assert.deepEqual(await isOpen(), [false, "false"]);
  assert.equal(await page.inputValue("#goto"), `x${word}`);
  await page.keyboard.press("Escape");
  assert.notEqual(await page.evaluate(() => document.activeElement.id), "goto");
  await type(word);
  await page.waitForSelector("#goto-list .hit");
  while ((await active())?.startsWith(name(first)) !== true) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  // it leads to the example with the word
  await page.waitForURL(`${root}tiny/${pathOf(first)}#${at > 0 ? "top" : "bottom"}-${Math.abs(at)}`);
  assert.ok(words(await page.textContent(".marked .tokens")).includes(word));
});

test("the box by pointer, and closed when one goes elsewhere", async () => {
  await page.goto(`${root}tiny/1/1.html`);
  await type("th");
  const href = await page.getAttribute("#goto-list .of-token", "href");
  const target = new URL(href, page.url()).href;
  await page.click("#goto-list .of-token");
  await page.waitForURL(target);
  await page.waitForSelector("#token-lists:not([hidden])");
  await type("th");
  await page.click("h1", { position: { x: 5, y: 5 } });
  assert.deepEqual(await isOpen(), [false, "false"]);
  await page.click("#goto");
  await boxSettled("th");
  await page.fill("#goto", "");
  await page.waitForFunction(() => document.getElementById("goto").ariaExpanded === "false");
});

test("places, ids of tokens, and nothing", async () => {
  await page.goto(root);
  await type("tin");
  assert.deepEqual((await groups())["Go to"], ["tiny"]);
  await type("layer 1");
  assert.deepEqual((await groups())["Go to"], ["Layer 1"]);
  await type("2.17");
  assert.deepEqual(await groups(), { "Go to": ["2.17"] });
  await type("#5");
  assert.deepEqual(await groups(), { Tokens: ["#5"] });
  await type("#290");
  assert.deepEqual(await groups(), {});
  assert.equal(await page.textContent(".popup [role=status]"), "Nothing found");
  await type("9.1");
  assert.match(await page.textContent(".popup [role=status]"), /^tiny has layers 0 to 2/);
});

/** A page's words files changed on their way. */
const changed = (page, change) => page.route("**/words/*.json", async (route) => {
  const file = await (await route.fetch()).json();
  for (const entry of file.words ?? []) change(entry);
  await route.fulfill({ json: file });
});

test("notes and explanations", async () => {
  const [word] = most();
  await changed(page, (entry) => entry[0] === word && (entry[3] = [3, 50]));
  await page.route("**/lines/*.json", async (route) => {
    const file = await (await route.fetch()).json();
    for (const line of file.lines) line[4] = "days & <b>weeks</b>";
    await route.fulfill({ json: file });
  });
  await page.goto(`${root}tiny/1/1.html`);
  await type(word);
  const found = await groups();
  assert.deepEqual(found["In notes and explanations"], ["0.3", "1.13"]);
  assert.equal(found["In examples (their strongest is shown)"].length, 4, "the lines of six neurons are loaded");
  await page.waitForFunction(() => [...document.querySelectorAll("#goto-list [role=group]")].at(-1).querySelector(".hit").textContent.endsWith("days & <b>weeks</b>"));
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/tiny/search.html?q=${word}`);
  await page.waitForSelector("#found-notes:not([hidden])");
  assert.deepEqual(await page.$$eval("#found-notes li a", (links) => links.map((link) => link.textContent)), ["0.3", "1.13"]);
  assert.match(await page.textContent("#count"), /2 neurons have it in a note or an explanation$/);
});

test("what cannot be loaded is said, and tried again", async () => {
  const [word] = most();
  const quiet = await browser.newPage(); // a missing file is an error in the console as well
  const fail = (route) => route.fulfill({ status: 503, body: "" });
  const on = (what) => quiet.waitForFunction((what) => document.querySelector(".popup [role=status]")?.textContent.includes(what), what);
  await quiet.route("**/words/*.json", fail);
  await quiet.goto(`${root}tiny/1/1.html`);
  await quiet.fill("#goto", "the");
  await on("words/index.json cannot be loaded: 503");
  assert.ok(await quiet.locator("#goto-list .of-token").count() > 0, "the other groups are there");
  await quiet.unroute("**/words/*.json", fail);
  await quiet.route("**/tokens/*.json", fail);
  await quiet.goto(`${root}tiny/1/1.html`);
  await quiet.fill("#goto", word);
  await on("tokens/index.json cannot be loaded: 503");
  assert.ok(await quiet.locator("#goto-list .hit").count() > 0);
  await quiet.goto(`${root}tiny/search.html?q=${word}`);
  await quiet.waitForSelector("#found-neurons:not([hidden])");
  assert.match(await quiet.textContent("#count"), /^tokens\/index\.json cannot be loaded: 503.*\. \d+ neurons have/);
  // the search itself
  await quiet.route("**/assets/search/box*", (route) => route.abort());
  await quiet.goto(`${root}tiny/1/1.html`);
  await quiet.focus("#goto");
  await quiet.waitForFunction(() => document.getElementById("goto-error").value === "the search cannot be loaded");
  await quiet.close();
});

test("a model whose weights were not analysed has no tokens to find", async () => {
  await page.route("**/tiny/search.html*", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()).replace(/"tiny":\[(\d+),(\d+),true\]/, '"tiny":[$1,$2,false]') });
  });
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(`${root}tiny/search.html?q=the`);
  await pageSettled("the");
  assert.ok(!(await page.isVisible("#found-tokens")) && !(await page.textContent("#count")).includes("token"));
  await type("the");
  assert.equal((await groups()).Tokens, undefined);
  assert.ok(asked.some((url) => url.includes("/words/")) && !asked.some((url) => url.includes("/tokens/")));
});

// the page

const pageSettled = (typed) => page.waitForFunction((typed) => {
  const searched = (new URLSearchParams(location.search).get("q") ?? "") === typed;
  return searched && document.getElementById("results").ariaBusy === "false";
}, typed);
async function search(typed) {
  await page.fill("#query", typed);
  await pageSettled(typed);
}
const neurons = () => page.$$eval("#found-neurons li a", (links) => links.map((link) => link.textContent));

test("the page of all results", async () => {
  const [word, n, list] = most();
  await page.goto(`${root}tiny/search.html?q=${word}`);
  await pageSettled(word);
  assert.equal(await page.inputValue("#query"), word);
  assert.ok((await page.title()).startsWith(`${word} · `));
  const flats = flatsOf(entries.get(word)).slice(0, 100);
  assert.deepEqual(await neurons(), flats.map(name));
  assert.deepEqual(await page.$$eval("#found-neurons .about", (facts) => facts.map((fact) => fact.lastChild.textContent)), flats.map((_, i) => `${list[4 * i + 1]} of ${list[4 * i + 2]}`));
  const said = `${n} neurons have “${word}” in their examples${n > flats.length ? `; the best ${flats.length} are shown` : ""}`;
  assert.ok((await page.textContent("#count")).endsWith(said), await page.textContent("#count"));
  assert.equal(await page.getAttribute("#count", "role"), "status");
  const words = pair();
  await search(words.join(" "));
  assert.deepEqual((await neurons()).toSorted(), both(words).map(name).toSorted());
  await page.click("#found-neurons li a");
  await page.waitForURL(`${root}tiny/*/*.html#*-*`);
  await page.goBack();
  await pageSettled(words.join(" "));
  assert.equal(await page.inputValue("#query"), words.join(" "));
  // a word that is not there, as the beginning of others
  const beginning = word.slice(0, -1);
  if (!entries.has(beginning)) {
    await search(beginning);
    assert.ok((await page.textContent("#count")).includes(`a word that begins with “${beginning}”`));
    assert.ok((await neurons()).includes(name(flats[0])));
  }
  await search("");
  assert.ok(!(await page.isVisible("#results")));
  assert.equal(await page.textContent("#count"), "");
  assert.equal(at(), "tiny/search.html");
});

test("tokens and places on the page", async () => {
  await page.goto(`${root}tiny/search.html`);
  await page.waitForFunction(() => document.activeElement.id === "query");
  await page.keyboard.type("th");
  await pageSettled("th");
  const links = await page.$$eval("#found-tokens li a", (links) => links.map((link) => link.href));
  await page.goto(`${root}tiny/tokens.html?q=th`);
  await page.waitForSelector("#found a");
  assert.deepEqual(links, (await page.$$eval("#found a", (links) => links.map((link) => link.hash))).map((hash) => `${root}tiny/tokens.html${hash}`));
  await page.goto(`${root}tiny/search.html?q=1.2`);
  await pageSettled("1.2");
  assert.deepEqual(await page.$$eval("#found-places a", (links) => links.map((link) => link.textContent)), ["1.2"]);
  await page.focus("#query");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${root}tiny/1/2.html`);
  await page.goto(`${root}tiny/search.html?q=${encodeURIComponent("9.1")}`);
  await pageSettled("9.1");
  assert.match(await page.textContent("#count"), /^tiny has layers 0 to 2/);
});

test("a query loads little", async () => {
  const responses = [];
  page.on("response", (response) => response.url().includes("/tiny/") && response.url().endsWith(".json") && responses.push(response));
  const loaded = async (typed, settle) => {
    await page.goto("about:blank");
    responses.length = 0;
    await settle();
    await page.waitForLoadState("networkidle");
    const bytes = (await Promise.all(responses.map((response) => response.body()))).reduce((sum, { length }) => sum + length, 0);
    assert.ok(bytes > 0 && bytes <= BUDGET, `${typed}: ${bytes} bytes`);
  };
  for (const typed of [most()[0], pair().join(" "), "t", "日本", " the"]) {
    await loaded(typed, async () => {
      await page.goto(`${root}tiny/1/1.html`);
      await type(typed);
    });
    await loaded(typed, async () => {
      await page.goto(`${root}tiny/search.html?q=${encodeURIComponent(typed)}`);
      await pageSettled(typed);
    });
  }
});

test("it fits a phone, and is named for those who do not see it", async () => {
  const [word] = most();
  const fits = async (what) => {
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(over <= 0, `${what} is ${over} px too wide`);
  };
  for (const width of [360, 1200]) {
    await page.setViewportSize({ width, height: 800 });
    for (const rest of ["search.html", `search.html?q=${word}`, "search.html?q=t"]) {
      await page.goto(`${root}tiny/${rest}`);
      if (rest.includes("?")) await pageSettled(rest.split("=")[1]);
      await fits(rest);
    }
    await type(word);
    await fits("the open box");
    const box = await page.locator(".popup").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= width);
    const input = await page.locator("#goto").boundingBox();
    assert.ok(box.y >= input.y + input.height, "below the box");
  }
  const header = await page.locator("header").ariaSnapshot();
  for (const part of [/combobox "Search"/, /listbox "Found"/, /group "In examples \(their strongest is shown\)"/, /option "All results"/]) assert.match(header, part);
  assert.match(await page.locator("main").ariaSnapshot(), /searchbox "Search tiny"/);
});

test("without JavaScript the page says so", async () => {
  const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
  listen(plain);
  await plain.goto(`${root}tiny/search.html`);
  assert.match(await plain.innerText("main"), /needs JavaScript/);
  assert.ok(!(await plain.isVisible("form.find")));
  await plain.context().close();
});
