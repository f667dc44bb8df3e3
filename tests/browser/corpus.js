// Writes documents of texts that are hard to show, as tests/support/mod.rs does. usage: corpus.js N >FILE
import { readFileSync } from "node:fs";

const hard = JSON.parse(readFileSync(new URL("../support/hard.json", import.meta.url)));
for (let i = 0; i < Number(process.argv[2]); i++) {
  let text = `${hard[i % hard.length]} ${i} ${hard[(i * 5 + 3) % hard.length]}`;
  if (i % 3 === 0) text += ` ${[...text].reverse().join("")}`;
  console.log(JSON.stringify({ text, source: `source-${i % 4}`, license: "CC0-1.0", id: `doc-${i}` }));
}
