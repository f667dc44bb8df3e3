// Both layouts of a site on hosts of four kinds, in Chromium and in Firefox: the same tour everywhere.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import * as hosts from "./hosts.js";
import * as readers from "./reader.js";
import { TOUR, packedAddress } from "./tour.js";

const LAYOUTS = {
  pages: { folder: process.env.SITE, at: (layer, neuron) => `tiny/${layer}/${neuron}.html`, tour: TOUR },
  packed: { folder: process.env.PACKED, at: (layer, neuron) => `tiny/${layer}/neuron.html?n=${neuron}`, tour: { ...TOUR, "the address of a neuron's page": packedAddress } },
};

describe("sites on hosts", { concurrency: readers.NAMES.length }, () => {
  for (const name of readers.NAMES) describe(name, { concurrency: 1 }, () => {
    let browser;
    before(async () => (browser = await readers.start(name)));
    after(() => browser?.close());

    for (const [layout, { folder, at, tour }] of Object.entries(LAYOUTS)) {
      for (const kind of hosts.NAMES) describe(`${layout}, ${kind}`, () => {
        let host, reader;
        before(async () => {
          host = await hosts.open(kind, folder);
          reader = await readers.Reader.open(browser, host.root);
        });
        after(async () => {
          await reader?.close();
          await host?.close();
        });
        afterEach(() => assert.deepEqual(reader.problems.splice(0), [], "console errors, missing files, or requests that leave the site"));
        for (const [step, take] of Object.entries(tour)) test(step, () => take({ reader, at, host }));
      });
    }
  });
});
