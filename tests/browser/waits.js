// What readers of a packed neuron wait for, and what its page asks of the host.
import { readAll } from "./pages.js";
import { asked, fast3G, newPhone, visit } from "./visits.js";

const FIRST = 5; // examples of the first screen

/** Runs in pages: notes when the first example is drawn, and when the first screen of them is. */
function watch(first) {
  window.drawn = {};
  const note = (name) => {
    if (name in window.drawn) return;
    window.drawn[name] = undefined; // not before it is painted
    requestAnimationFrame(() => setTimeout(() => (window.drawn[name] = performance.now())));
  };
  new MutationObserver(() => {
    const n = document.querySelectorAll(".examples .tokens").length;
    if (n >= 1) note("first");
    if (n >= first) note("screen");
  }).observe(document, { childList: true, subtree: true });
}

const newReader = (browser) => newPhone(browser, { script: `(${watch})(${FIRST})` });

/** Opens a neuron: when its examples are there, and what was asked of the host until nothing more is. */
async function read(phone, address) {
  const visited = await visit(phone, address);
  const drawn = await (await phone.page.waitForFunction(() => window.drawn.screen && window.drawn)).jsonValue();
  return { ...visited, ...drawn };
}

/** Opens all tabs of a neuron's page, and reads each to the end. */
async function readLists({ page }) {
  for (const tab of await page.locator("[role=tab]").all()) {
    await tab.click();
    await readAll(page);
    await page.waitForFunction(() => !document.querySelector("[aria-busy]"));
  }
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
 * Packed neurons of a model at some `places`, `[layer, neuron]`, as visits: `first`, where the cache is empty; `cold`, where scripts and styles
 * alone are there; the `next` one of the layer after that; and `all`, the lists of one that was `cold`. All but the last are on Fast 3G.
 */
export async function packedWaits(browser, host, base, { model, places, runs }) {
  const path = (layer, neuron) => `${base}${model}/${layer}/neuron.html?n=${neuron}`;
  const shared = `${base}${model}/0/neuron.html`; // shows no neuron
  const found = { first: [], cold: [], next: [], all: [] };
  const line = await fast3G(host);
  const at = async (place, cached, act) => {
    const phone = await newReader(browser);
    if (cached) await visit(phone, line.origin + cached);
    line.hangUp();
    await act(phone, line.origin + path(...place));
    await phone.close();
  };
  for (const [layer, neuron] of places) {
    for (let run = 0; run < runs; run++) {
      await at([layer, neuron], undefined, async (phone, address) => found.first.push(await read(phone, address)));
      await at([layer, neuron], shared, async (phone, address) => {
        found.cold.push(await read(phone, address));
        found.next.push(await read(phone, line.origin + path(layer, neuron + 1)));
      });
    }
    await at([layer, neuron], shared, async (phone, address) => found.all.push(await readAllOf(phone, address)));
  }
  line.close();
  return found;
}
