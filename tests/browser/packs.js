// Compares the records of a packed site, as the scripts make them, with those that the pages of the same atlas embed.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** What the scripts find in a page, of which they need little here. */
function stand(models, read) {
  globalThis.document = { getElementById: (id) => (id === "models" ? { textContent: JSON.stringify(models) } : null), body: { dataset: {} } };
  globalThis.fetch = async (address) => new Response(await read(address));
}

/** The script of an asset of the site, whatever hash its name has. */
async function asset(packed, name) {
  const [, folder, stem] = /^(.*)\/(.*)\.js$/.exec(name);
  const found = (await readdir(`${packed}/assets/${folder}`)).find((file) => file.startsWith(`${stem}.`) && file.endsWith(".js"));
  return import(`${packed}/assets/${folder}/${found}`);
}

/** How far a number may be from that of the record, by where it is. */
const TOLERANCES = [
  [/\.weights\.neighbours\..*\.2$/, () => 5.1e-5],
  [/\.(logits|weights\.reads\..*)\.(top|bottom)\.value\./, (x) => Math.abs(x) * 2e-5],
  [/\.examples\.((gate|act|in)_)?scale\./, (x) => Math.abs(x) * 2e-5],
];
const single = (x) => Math.fround(x);

function same(a, b, path) {
  if (typeof a === "number" && typeof b === "number") {
    const [, of] = TOLERANCES.find(([name]) => name.test(path)) ?? [];
    const near = of ? Math.abs(a - b) <= of(a) : a === b || (/\.(min|max|scale_max|value|tau|largest|hook_post|balance|extreme|low|step)\b/.test(path) && single(a) === single(b));
    assert.ok(near, `${path}: ${a}, ${b}`);
    return;
  }
  if (a === null || typeof a !== "object") return assert.equal(b, a, path);
  assert.equal(Array.isArray(b), Array.isArray(a), path);
  assert.deepEqual(Object.keys(b).sort(), Object.keys(a).sort(), path);
  for (const key of Object.keys(a)) same(a[key], b[key], `${path}.${key}`);
}

/** The record of a neuron in a folder of packed files, read by the scripts of a packed site. */
export async function opened(packed, folder, layer, neuron) {
  stand({}, (path) => readFile(`${dirname(folder)}/${path}`));
  const { askModel } = await asset(packed, "read/packed.js");
  const found = await askModel(`${basename(folder)}/`, (model) => model.neuron(layer, neuron));
  return JSON.parse(JSON.stringify(await found.whole()));
}

/** Compares the records of all neurons, and answers their number. */
export async function compare(pages, packed) {
  let n = 0;
  const read = (path) => readFile(`${packed}/${path}`);
  const page = (await read("index.html")).toString();
  const models = JSON.parse(/id="models">(.*?)<\/script>/s.exec(page)[1]);
  stand(models, read);
  const { askModel } = await asset(packed, "read/packed.js");
  for (const [name, [n_layers, d_mlp]] of Object.entries(models)) {
    for (let layer = 0; layer < n_layers; layer += 1) {
      for (let neuron = 0; neuron < d_mlp; neuron += 1) {
        const html = (await readFile(`${pages}/${name}/${layer}/${neuron}.html`)).toString();
        const record = JSON.parse(/id="neuron">(.*?)<\/script>/s.exec(html)[1]);
        const opened = await askModel(`${name}/`, (model) => model.neuron(layer, neuron));
        const found = JSON.parse(JSON.stringify(await opened.whole()));
        same(record, found, `${name} ${layer}.${neuron} `);
        n += 1;
      }
    }
  }
  return n;
}

// of any two sites of one atlas: node packs.js PAGES PACKED
if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(`${await compare(...process.argv.slice(2))} records are the same`);
