// What readers of a packed neuron wait for, and what its page asks of the host.
import { readAll } from "./pages.js";
import { asked, fast3G, newPhone, visit } from "./visits.js";

const FIRST = 5; // examples of the first screen

/** Runs in pages: notes when the first example is drawn, when the first screen of them is, and by how much what was in view has moved. */
function watch(first) {
  window.seen = { moved: 0 };
  const note = (name) => {
    if (name in window.seen) return;
    window.seen[name] = undefined; // not before it is painted
    requestAnimationFrame(() => setTimeout(() => (window.seen[name] = performance.now())));
  };
  new MutationObserver(() => {
    const n = document.querySelectorAll(".examples .tokens").length;
    if (n >= 1) note("first");
    if (n >= first) note("screen");
  }).observe(document, { childList: true, subtree: true });
  new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (window.seen.moved += value))).observe({ type: "layout-shift", buffered: true });
}

const newReader = (browser) => newPhone(browser, { script: `(${watch})(${FIRST})` });

/** Opens a neuron: when its examples are there, how far things have moved, and what was asked of the host. */
async function read(phone, address) {
  const visited = await visit(phone, address, (page) => page.waitForFunction(() => window.seen.screen));
  return { ...visited, ...(await phone.page.evaluate(() => window.seen)) };
}

/** Opens all tabs of a neuron's page, and reads each to the end. */
async function readLists({ page }) {
  for (const tab of await page.locator("[role=tab]").all()) {
    await tab.click();
    await page.waitForFunction(() => document.querySelector(".list:not([hidden]) .tokens") && !document.querySelector("[aria-busy]"));
    await readAll(page);
    await page.waitForFunction(() => !document.querySelector(".list:not([hidden]) .coming, [aria-busy]"));
  }
  await readAll(page);
  await page.waitForFunction(() => [...document.querySelectorAll(".snippets")].every((list) => list.childElementCount > 0));
}

/** What is asked of the host for all examples of a neuron. */
async function readAllOf(phone, address) {
  return asked(phone, async () => {
    await read(phone, address);
    await readLists(phone);
  });
}

/**
 * Neurons of some layers of a packed model with so many in a file, as visits: the `first`, where the cache is empty; `cold`, where scripts and
 * styles alone are there; the `next` one of the layer after that; the next one where it is in `another file`; and `all`, the lists of one that was
 * `cold`. All but the last are on Fast 3G.
 */
export async function packedWaits(browser, host, base, { model, layers, perFile }) {
  const path = (layer, neuron) => `${base}${model}/${layer}/neuron.html?n=${neuron}`;
  const shared = `${base}${model}/0/neuron.html`; // shows no neuron
  const found = { first: [], cold: [], next: [], "another file": [], all: [] };
  const line = await fast3G(host);
  const begin = async (cached, act) => {
    const phone = await newReader(browser);
    if (cached) await visit(phone, line.origin + cached);
    line.hangUp();
    await act(phone);
    await phone.close();
  };
  const note = async (name, visiting) => found[name].push(await visiting);
  for (const layer of layers) {
    const [neuron, last] = [Math.floor(perFile / 2), perFile - 1]; // in the middle of a file, and at its end
    const at = (neuron) => line.origin + path(layer, neuron);
    await begin(undefined, (phone) => note("first", read(phone, at(neuron))));
    await begin(shared, async (phone) => {
      await note("cold", read(phone, at(neuron)));
      await note("next", read(phone, at(neuron + 1)));
      await read(phone, at(last));
      await note("another file", read(phone, at(last + 1)));
    });
    await begin(shared, (phone) => note("all", readAllOf(phone, at(neuron))));
  }
  line.close();
  return found;
}
