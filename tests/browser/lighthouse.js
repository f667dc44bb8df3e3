// What a reader waits for, and what Lighthouse says, for a page of each kind of a built site. By hand: it takes minutes.
// usage: node lighthouse.js SITE
// It fails if a bar is missed. Lighthouse is no dependency of the tests, since it is large: LIGHTHOUSE is the command that runs
// it (`npx --yes lighthouse@12.8.2`, for Node 18 and later; newer ones need Node 22), or empty to leave it out.
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { chromium } from "playwright-core";
import { pagesOf } from "./pages.js";
import { serve } from "./server.js";
import { DEVTOOLS, fast3G, medians, newPhone, sum, visit } from "./visits.js";
import { packedWaits } from "./waits.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const LIGHTHOUSE = process.env.LIGHTHOUSE ?? "npx --yes lighthouse@12.8.2";
const CATEGORIES = ["performance", "accessibility", "best-practices", "seo"];

// The bars
const SCORE = 95; // of each category
const PAINT = 1000; // ms until the first content, on Fast 3G
const SHARED = 60_000; // bytes of a page's CSS and JavaScript, compressed
const NEURON = { bytes: 60_000, requests: 3 }; // of a neuron's page after the first
const PACKED = { // of packed neurons, whose scripts and styles are there: their first examples, and all of them; time is until the first one is seen
  cold: { requests: 10, bytes: 150_000, time: 1800 },
  next: { requests: 6, time: 800 },
  all: { requests: 100, bytes: 500_000 },
};
const MOVED = 0.1; // of what is in view, as Lighthouse reckons it (CLS)
const RUNS = 3; // the median counts

const [site] = process.argv.slice(2);
const front = await readFile(`${site}/404.html`, "utf8");
const base = /data-root="(\/[^"]*)"/.exec(front)[1];
const models = JSON.parse(/id="models">(.*?)<\/script>/s.exec(front)[1]);
const [model, [layers, , , , isPacked = false]] = Object.entries(models)[0];
const pages = pagesOf(site, model, Math.max(0, Math.floor(layers / 2) - 1), 5).filter(({ then }) => !then);
const missed = [];
const bar = (holds, what) => holds || missed.push(what);
const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
const ms = (time) => `${Math.round(time)} ms`;
function table(head, rows) {
  const all = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  for (const row of all) console.log(row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  "));
  console.log();
}

const host = await serve(site, base, { published: true });
const root = host.origin + base;

/** Lighthouse on a page, as on a phone: a row of what it gives, and what it takes marks off for. */
async function audit({ name, path }) {
  const [command, ...args] = LIGHTHOUSE.split(" ");
  const options = ["--quiet", "--output=json", `--only-categories=${CATEGORIES}`, `--chrome-flags=${FLAGS.join(" ")}`];
  const { stdout } = await promisify(execFile)(command, [...args, root + path, ...options], { env: { ...process.env, CHROME_PATH: CHROMIUM }, maxBuffer: 1 << 28 });
  const { audits, categories } = JSON.parse(stdout);
  const scores = CATEGORIES.map((id) => Math.round(100 * categories[id].score));
  CATEGORIES.forEach((id, i) => bar(scores[i] >= SCORE, `${name}: Lighthouse gives ${scores[i]} for ${id}`));
  const lost = CATEGORIES.flatMap((id) => categories[id].auditRefs)
    .filter(({ id, weight }) => weight > 0 && audits[id].score !== null && audits[id].score < 0.9)
    .map(({ id }) => `${name}: ${id}: ${audits[id].title}${audits[id].displayValue ? `: ${audits[id].displayValue}` : ""}`);
  const times = ["first-contentful-paint", "largest-contentful-paint", "total-blocking-time"].map((id) => ms(audits[id].numericValue));
  const requests = audits["network-requests"].details.items;
  const bytes = sum(requests.map(({ transferSize }) => transferSize));
  return { lost, row: [name, ...scores, ...times, audits["cumulative-layout-shift"].numericValue.toFixed(3), requests.length, kB(bytes)] };
}

/** A page that is opened after others in a new window, on Fast 3G: that of DevTools or, with `packets`, a line. */
async function opened(browser, path, { before = [], packets = false } = {}) {
  const runs = [];
  for (let run = 0; run < RUNS; run++) {
    const line = packets && (await fast3G(host));
    const phone = await newPhone(browser);
    for (const earlier of before) await visit(phone, root + earlier);
    if (!packets) await phone.tools.send("Network.emulateNetworkConditions", DEVTOOLS);
    runs.push(await visit(phone, (line ? line.origin + base : root) + path));
    await phone.close();
    if (line) line.close();
  }
  return medians(runs);
}

/** What readers of packed neurons wait for: of times the median, of what is asked of the host the most. */
async function waits(browser) {
  const { packing } = JSON.parse(await readFile(`${site}/${model}/index.json`, "utf8"));
  const some = [0, 1, 2, 3, 4].map((i) => Math.floor((i * (layers - 1)) / 4));
  const found = await packedWaits(browser, host, base, { model, layers: some, perFile: packing.neurons_per_file });
  const rows = Object.entries(found).map(([name, visits]) => {
    const { paint, first, screen, moved } = medians(visits);
    const [requests, bytes] = ["requests", "bytes"].map((count) => Math.max(...visits.map((visit) => visit[count])));
    const bars = PACKED[name] ?? {};
    bar(!(first > bars.time), `packed neuron, ${name}: first example after ${ms(first)}`);
    bar(!(moved > MOVED), `packed neuron, ${name}: what is in view moves by ${moved?.toFixed(3)}`);
    bar(!(requests > bars.requests), `packed neuron, ${name}: ${requests} requests`);
    bar(!(bytes > bars.bytes), `packed neuron, ${name}: ${kB(bytes)}`);
    return [name, ...[paint, first, screen].map((time) => (time === undefined ? "" : ms(time))), moved?.toFixed(3) ?? "", requests, kB(bytes)];
  });
  table(["packed neuron", "first content", "first example", "five", "moved", "requests, at most", "bytes, at most"], rows);
}

try {
  const assets = (await readdir(`${site}/assets`, { recursive: true })).filter((name) => /\.(css|js)$/.test(name));
  const packed = await Promise.all(assets.map(async (name) => gzipSync(await readFile(`${site}/assets/${name}`)).length));
  console.log(`CSS and JavaScript: ${assets.length} files, ${kB(sum(packed))} compressed\n`);

  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  const rows = [];
  for (const { name, path, other } of pages) {
    const [line, first, later] = [await opened(browser, path, { packets: true }), await opened(browser, path), await opened(browser, path, { before: [other ?? "index.html"] })];
    rows.push([name, ms(line.paint), ms(first.paint), first.requests, kB(first.bytes), kB(first.assets), ms(later.paint), later.requests, kB(later.bytes)]);
    bar(line.paint < PAINT, `${name}: first content after ${ms(line.paint)} on Fast 3G`);
    bar(!other || later.paint < PAINT, `${name}: first content after ${ms(later.paint)} on DevTools' Fast 3G, after another of its kind`);
    bar(first.assets <= SHARED, `${name}: ${kB(first.assets)} of CSS and JavaScript`);
    if (name !== "neuron") continue;
    bar(later.bytes <= NEURON.bytes, `a second neuron takes ${kB(later.bytes)}`);
    bar(later.requests <= NEURON.requests, `a second neuron takes ${later.requests} requests`);
  }
  table(["Fast 3G", "first content", "DevTools'", "requests", "bytes", "CSS, JS", "after another: DevTools'", "requests", "bytes"], rows);
  if (isPacked) await waits(browser);
  await browser.close();

  if (LIGHTHOUSE) {
    const audits = [];
    for (const page of pages) audits.push(await audit(page));
    table(["Lighthouse", ...CATEGORIES, "FCP", "LCP", "TBT", "CLS", "requests", "bytes"], audits.map(({ row }) => row));
    for (const line of audits.flatMap(({ lost }) => lost)) console.log(line);
  }
} finally {
  host.close();
}
for (const line of missed) console.error(`missed: ${line}`);
process.exitCode = missed.length > 0 ? 1 : 0;
