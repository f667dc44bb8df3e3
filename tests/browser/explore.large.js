// The explore page of a large packed model in Chromium: bytes and times of the first view on a slow line, and of filters, orders and axes.
// By hand: other programs disturb it. usage: PACKED=<packed site of a small model> node explore.large.js [explore.bin.gz of a large one]
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, gunzipSync, gzipSync } from "node:zlib";
import { chromium } from "playwright-core";
import { serve } from "./server.js";
import { below, largeColumns, random, times } from "./tables.js";

const PACKED = process.env.PACKED;
const BUILD = "0123456789abcdef";
const LINE = { offline: false, latency: 20, downloadThroughput: 20e6 / 8, uploadThroughput: 20e6 / 8 }; // 20 Mbit/s, 20 ms
const LINES_PER_FILE = 1024;
const ROUNDS = 5;

// Packed files, as docs/format.md describes them

const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))]);
const text = (words) => [...varint(Buffer.byteLength(words)), ...Buffer.from(words)];
const bytesColumn = (bytes) => Buffer.concat([Buffer.from([11, ...varint(bytes.length)]), bytes]);
/** A column of one list of different texts. */
function textsColumn(texts) {
  const lengths = texts.flatMap((of) => varint(Buffer.byteLength(of)));
  const places = texts.flatMap((_, place) => varint(place));
  return Buffer.concat([Buffer.from([9, ...varint(texts.length), 7, ...varint(texts.length), ...lengths]), Buffer.from(texts.join("")), Buffer.from(places)]);
}
function packFile(fields) {
  const columns = Object.entries(fields).map(([name, column]) => Buffer.concat([Buffer.from(text(name)), column]));
  const content = Buffer.concat([Buffer.from([1, 8, ...varint(columns.length)]), ...columns]);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(crc32(content));
  return gzipSync(Buffer.concat([Buffer.from("NSPK\u0001"), Buffer.from(BUILD, "hex"), checksum, content]), { level: 9 });
}

// Lines about as large as those of SmolLM2, of which 1,024 take 63 kB in gzip

const LETTERS = "etaoinshrdlcumwfgypbvk";
const WORDS = times(4000, () => times(1 + below(8), () => LETTERS[Math.floor(LETTERS.length * random() ** 1.5)]).join(""));
const words = (n) => times(n, () => WORDS[Math.floor(WORDS.length * random() ** 5)]).join(" ");
const counted = () => `${words(1)} ×${1 + below(20)}`;
const someLine = () => [Math.fround(20 * random() - 5), words(8).slice(0, 44), ` ${words(1)}`, words(5).slice(0, 24), null, `peaks on: ${times(3, counted).join(", ")} · promotes: ${times(3, () => words(1)).join(", ")}`];

/** Writes the columns of a file of all columns as a file each. */
async function writeColumns(folder, unpacked) {
  const length = unpacked.readUInt32LE(0);
  const { tokens, schema: _, ...header } = JSON.parse(unpacked.subarray(4, 4 + length));
  const planesOf = ({ offset, bytes }) => unpacked.subarray(4 + length + offset, 4 + length + offset + bytes * header.n_neurons);
  const write = async (name, column, more = {}) => {
    const file = `explore/${name}.gz`;
    await writeFile(join(folder, file), packFile({ codes: bytesColumn(planesOf(column)), ...more }));
    return { bytes: column.bytes, file };
  };
  const columns = [];
  for (const { offset: _, order, ...column } of header.columns) {
    const name = column.name.replaceAll("+", "p").replaceAll("-", "n");
    const described = { ...column, ...(await write(name, { offset: _, bytes: column.bytes }, column.kind === "token" && { tokens: textsColumn(tokens) })) };
    if (column.kind === "number") described.extent = extentIn(planesOf({ offset: _, bytes: column.bytes }), header.n_neurons, column.bytes);
    if (order) described.order = await write(`${name}-order`, order);
    columns.push(described);
  }
  await writeFile(join(folder, "explore/index.json.gz"), gzipSync(JSON.stringify({ ...header, schema: "neuroscope/explore-index/v1", columns, build: BUILD })));
  return header;
}

function extentIn(planes, n, bytes) {
  let [least, most] = [Infinity, 1];
  for (let i = 0; i < n; i++) {
    let code = 0;
    for (let plane = 0; plane < bytes; plane++) code |= planes[plane * n + i] << (8 * plane);
    if (code > 0) [least, most] = [Math.min(least, code), Math.max(most, code)];
  }
  return [Math.min(least, most), most];
}

/** A copy of the small site in which its model is a large one. */
async function enlarge(folder, unpacked) {
  await cp(PACKED, folder, { recursive: true });
  const [model] = Object.keys(modelsIn(await readFile(join(folder, "index.html"), "utf8")));
  const own = join(folder, model);
  await rm(join(own, "explore"), { recursive: true });
  await mkdir(join(own, "explore"));
  const { n_layers, d_mlp, n_neurons } = await writeColumns(own, unpacked);
  const page = join(own, "explore.html");
  const html = await readFile(page, "utf8");
  const [, , ...rest] = modelsIn(html)[model];
  await writeFile(page, html.replace(/(id="models">).*?(<\/script>)/s, `$1${JSON.stringify({ [model]: [n_layers, d_mlp, ...rest] })}$2`));
  const index = JSON.parse(await readFile(join(own, "index.json"), "utf8"));
  await writeFile(join(own, "index.json"), JSON.stringify({ ...index, n_layers, d_mlp, n_neurons, lines_per_file: LINES_PER_FILE }));
  for (let first = 0; first < n_neurons; first += LINES_PER_FILE) {
    const lines = Array.from({ length: Math.min(LINES_PER_FILE, n_neurons - first) }, someLine);
    await writeFile(join(own, `lines/${String(first).padStart(7, "0")}.json.gz`), gzipSync(JSON.stringify({ schema: "neuroscope/lines/v1", first, lines })));
  }
  return `${model}/explore.html`;
}
const modelsIn = (html) => JSON.parse(/id="models">(.*?)<\/script>/s.exec(html)[1]);

const median = (times) => times.sort((a, b) => a - b)[times.length >> 1];
const both = (times) => `${ms(times.map(([wall]) => wall))}, busy ${ms(times.map(([, busy]) => busy))}`;
const ms = (times) => `${median(times).toFixed(0)} ms (least ${Math.min(...times).toFixed(0)})`;

/** How long a processor has been busy with a page's main thread by now, in ms, which other programs do not disturb. */
const busyIn = async (session) => (await session.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration").value * 1000;

/** One first view, over the line. */
async function firstView(browser, address) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  await session.send("Network.enable");
  await session.send("Network.emulateNetworkConditions", LINE);
  const files = new Map();
  const names = new Map();
  session.on("Network.requestWillBeSent", ({ requestId, request }) => names.set(requestId, request.url));
  session.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => files.set(names.get(requestId), encodedDataLength));
  await page.addInitScript(doings);
  await page.addInitScript(() => {
    globalThis.seen = {};
    const note = (name, is) => is && (globalThis.seen[name] ??= performance.now());
    new MutationObserver(() => {
      const [explore, figure] = ["explore", "scatter"].map((id) => document.getElementById(id));
      note("controls", explore && !explore.hidden);
      note("rows", document.querySelector("#found .neuron"));
      note("scatter", document.querySelector("#found .neuron") && figure?.ariaBusy === "false");
      note("all", document.querySelector("#found .tag") && figure?.ariaBusy === "false" && document.querySelector("#filters .null[d]"));
    }).observe(document, { childList: true, subtree: true, attributes: true });
  });
  await page.goto(address);
  await page.waitForFunction(() => globalThis.seen.all);
  await page.waitForTimeout(300);
  await page.waitForFunction(areInSight);
  const seen = await page.evaluate(() => globalThis.seen);
  seen.lines = await page.evaluate(() => Math.max(...performance.getEntriesByType("resource").filter(({ name }) => name.includes("/lines/")).map(({ responseEnd }) => responseEnd)));
  seen.busy = await busyIn(session);
  return { context, page, session, seen, files };
}

/** Whether all rows in sight have their lines; in the page. */
function areInSight() {
  const rows = Array.from(document.querySelectorAll("#found .neuron"));
  const isInSight = ({ top, bottom }) => top < innerHeight && bottom > 0;
  return rows.every((row) => !isInSight(row.getBoundingClientRect()) || row.querySelector(".line > *"));
}

/** What a reader does, in the page. */
function doings() {
  const put = (input, value) => {
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  globalThis.doings = {
    type: (label, value) => put(document.querySelector(`[aria-label="${label}"]`), value),
    choose: (id, value) => put(document.getElementById(id), value),
    press: (id) => document.getElementById(id).click(),
  };
}

/** How long it takes in the page until its next frame, and how long a processor is busy with it. */
async function took({ page, session }, ...what) {
  const before = await busyIn(session);
  const wall = await wallOf(page, what);
  return [wall, (await busyIn(session)) - before];
}
const wallOf = (page, what) => page.evaluate(async ([name, ...about]) => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  await frame();
  const from = performance.now();
  globalThis.doings[name](...about);
  await frame();
  return performance.now() - from;
}, what);

const given = process.argv[2];
const unpacked = given ? gunzipSync(await readFile(given)) : Buffer.from(largeColumns());
const folder = await mkdtemp(join(tmpdir(), "explore-"));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--headless", "--no-sandbox", "--disable-gpu"] });
try {
  const path = await enlarge(folder, unpacked);
  const host = await serve(folder, "/", { published: true });
  const address = `${host.origin}/${path}`;
  const own = join(folder, path, "../explore");
  const sizes = await Promise.all((await readdir(own)).map(async (name) => [name, (await readFile(join(own, name))).length]));
  console.log(`${sizes.length} files of columns, ${(sizes.reduce((sum, [, n]) => sum + n, 0) / 1e6).toFixed(1)} MB`);
  const views = [];
  for (let round = 0; round < ROUNDS; round++) {
    await views.at(-1)?.context.close();
    views.push(await firstView(browser, address));
  }
  for (const name of ["controls", "rows", "scatter", "all", "lines", "busy"]) console.log(`first view, ${name}: ${ms(views.map(({ seen }) => seen[name]))}`);
  const { page, session, files } = views.at(-1);
  const tab = { page, session };
  const LINES = /\/lines\//;
  const countOf = (pattern) => [...files.keys()].filter((url) => pattern.test(url)).length;
  const sum = (pattern) => [...files].reduce((sum, [url, n]) => sum + (pattern.test(url) ? n : 0), 0);
  console.log(`first view: ${files.size} files, ${(sum(/./) / 1e6).toFixed(2)} MB, of which columns ${(sum(/explore\/.*\.gz$/) / 1e6).toFixed(2)} MB, lines ${(sum(LINES) / 1e6).toFixed(2)} MB in ${countOf(LINES)} files`);
  for (const [url, n] of files) if (/\.gz$/.test(url)) console.log(`  ${url.split("/").at(-1)} ${n}`);
  const scrolled = [];
  for (const at of [0.25, 0.5, 0.75, 1]) {
    const from = performance.now();
    await page.evaluate((at) => document.querySelectorAll("#found .neuron")[Math.floor(49 * at)].scrollIntoView({ block: "end" }), at);
    await page.waitForTimeout(50); // until rows are known to be near
    await page.waitForFunction(areInSight);
    scrolled.push(`${(performance.now() - from).toFixed(0)} ms`);
  }
  console.log(`lines in sight after scrolling to rows 13, 25, 37, 50: ${scrolled.join(", ")}; ${countOf(LINES)} files of lines by then, ${(sum(LINES) / 1e6).toFixed(2)} MB`);
  await page.evaluate(() => scrollTo(0, 0));
  if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT });
  if (process.env.TIMES) console.log(await page.evaluate(() => performance.getEntriesByType("resource").map(({ name, requestStart, responseEnd }) => `${name.split("/").slice(-2).join("/")} ${requestStart.toFixed(0)} ${responseEnd.toFixed(0)}`).join("\n")));
  const [numbers] = [await page.$$eval("#x option", (options) => options.map(({ value }) => value))];
  const labels = await page.$$eval("#filters .range:not(.short) input", (inputs) => inputs.map((input) => [input.ariaLabel, input.placeholder]));
  for (const [label, extent] of labels) {
    const values = Array.from({ length: ROUNDS }, (_, i) => String((Number(extent) || 1) * (0.01 + 0.001 * i)));
    const times = [];
    for (const value of values) times.push(await took(tab, "type", label, value));
    await took(tab, "type", label, "");
    console.log(`filter ${label}: ${both(times)}`);
  }
  const times = [];
  for (let i = 0; i < 2 * ROUNDS; i++) times.push(await took(tab, "press", "direction"));
  console.log(`order turned round: ${both(times)}`);
  for (const id of ["sort", "x"]) {
    const switched = [];
    for (const name of numbers.slice(0, 4)) {
      await took(tab, "choose", id, name); // loads it
      await page.waitForFunction(() => !document.querySelector("#explore [aria-busy=true]"));
    }
    for (const name of numbers.slice(0, 4)) switched.push(await took(tab, "choose", id, name));
    console.log(`${id} chosen: ${both(switched)}`);
  }
  host.close();
} finally {
  await browser.close();
  await rm(folder, { recursive: true });
}
