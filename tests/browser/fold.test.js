// What is searched alike, and the words of texts: as in Rust, whose tests read the same examples.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fold, words } from "../../theme/assets/read/fold.js";

const examples = JSON.parse(await readFile(new URL("../support/search.json", import.meta.url)));

test("texts are folded as in Rust", () => {
  for (const [text, folded] of examples.folded) assert.equal(fold(text), folded, text);
});

test("words are looked up as they are indexed", () => {
  for (const [text, indexed, asked] of examples.words) {
    assert.deepEqual(words(text), asked, text);
    assert.ok(asked.every((word) => indexed.includes(word)), text);
    for (const word of indexed) assert.deepEqual(words(word), [word]);
  }
  assert.deepEqual(words(`${"a".repeat(32)} ${"b".repeat(33)} ${"𝔸".repeat(32)}`), ["a".repeat(32), "a".repeat(32)]);
  assert.equal(words("𐐀".repeat(32)).length, 1, "characters are counted, not code units");
});
