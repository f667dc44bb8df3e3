// What the tests in a real Chromium share: the browser, the site, a fresh page for each test, and an ear for problems.
// SITE is a folder that `run` built, of a tiny model over texts that are hard to show, for the address /atlas/.
import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach } from "node:test";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";
import { serve } from "./server.js";

export const SITE = process.env.SITE;
const BASE = "/atlas/";
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
export let browser, root, page;
let host, context, problems;

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  host = await serve(SITE, BASE);
  root = host.origin + BASE;
});
after(async () => {
  await browser?.close();
  host?.close();
});

/** Makes another folder the site for the tests of a suite. */
export function useSite(folder) {
  let other, first;
  before(async () => {
    first = root;
    other = await serve(folder, BASE);
    root = other.origin + BASE;
  });
  after(() => {
    root = first;
    other.close();
  });
}

/** Console errors of a page, and its requests that leave the site, fail the test. */
export const listen = (page) => {
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(root) && !url.startsWith("data:") && !url.startsWith("file:")) problems.push(`request leaves the site: ${url}`);
  });
};
beforeEach(async () => {
  problems = [];
  context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  page = await context.newPage();
  listen(page);
});
afterEach(async () => {
  await context.close();
  assert.deepEqual(problems, [], "console errors, or requests that leave the site");
});

export const json = async (name) => JSON.parse(await readFile(`${SITE}/${name}`, "utf8"));
export const at = () => page.url().slice(root.length);
