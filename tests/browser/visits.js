// Visits of a phone: when the content of a page is there, and what is asked of the host.
import { slowLine } from "./line.js";

// "Fast 3G", the line for phones of WebPageTest and of Lighthouse, which calls it "Slow 4G" now:
// https://github.com/GoogleChrome/lighthouse/blob/main/docs/throttling.md
const FAST_3G = { rtt: 150, down: 1_600_000, up: 750_000 };
const HANDSHAKES = 3; // name, TCP and TLS 1.3, a round trip each
// What DevTools make of it: each request waits 3.75 round trips, as if it were the first, and has 0.9 of the line (core/config/constants.js
// there). A page and its stylesheet, one after the other, take more than a second so, whatever they are: of a first page it is no bar.
export const DEVTOOLS = { offline: false, latency: FAST_3G.rtt * 3.75, downloadThroughput: (FAST_3G.down / 8) * 0.9, uploadThroughput: (FAST_3G.up / 8) * 0.9 };
const QUIET = 500; // ms without a request, as for "networkidle"
const ASSETS = ["Stylesheet", "Script"];

export const sum = (values) => values.reduce((a, b) => a + b, 0);
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
/** The median of each number that visits gave. */
export const medians = (visits) => Object.fromEntries(Object.keys(visits[0]).map((name) => [name, median(visits.map((visit) => visit[name]))]));

/** A line of Fast 3G in front of a host. */
export const fast3G = (host) => slowLine(new URL(host.origin).port, { ...FAST_3G, handshakes: HANDSHAKES });

/** A window of a phone with nothing in its cache; `script` runs in each page before those of its own. */
export async function newPhone(browser, { script } = {}) {
  const context = await browser.newContext({ viewport: { width: 412, height: 823 }, deviceScaleFactor: 2, isMobile: true });
  if (script) await context.addInitScript(script);
  const page = await context.newPage();
  const tools = await context.newCDPSession(page);
  await tools.send("Network.enable");
  return { page, tools, close: () => context.close() };
}

/** What is asked of the host while something is done: the number of `requests`, and their `bytes`, of which `assets` are scripts and styles. */
export async function asked({ tools }, act) {
  const requests = new Map(); // by their number
  const follow = {
    "Network.requestWillBeSent": ({ requestId, request, type }) => request.url.startsWith("http") && requests.set(requestId, { type, bytes: 0 }),
    "Network.requestServedFromCache": ({ requestId }) => requests.delete(requestId),
    "Network.responseReceived": ({ requestId, response }) => response.fromDiskCache && requests.delete(requestId),
    "Network.loadingFinished": ({ requestId, encodedDataLength }) => requests.has(requestId) && (requests.get(requestId).bytes = encodedDataLength),
  };
  for (const [event, note] of Object.entries(follow)) tools.on(event, note);
  await act();
  for (const [event, note] of Object.entries(follow)) tools.off(event, note);
  const all = [...requests.values()];
  const bytesOf = (found) => sum(found.map(({ bytes }) => bytes));
  return { requests: all.length, bytes: bytesOf(all), assets: bytesOf(all.filter(({ type }) => ASSETS.includes(type))) };
}

/** Opens a page: when its first content is there, and what was asked of the host until nothing more is, after what `until` waits for. */
export async function visit(phone, address, until) {
  const { page } = phone;
  const loaded = await asked(phone, async () => {
    await page.goto(address, { waitUntil: "networkidle" });
    if (!until) return;
    await until(page);
    await page.waitForTimeout(QUIET);
  });
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
  return { paint, ...loaded };
}
