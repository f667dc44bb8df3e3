// Exploring the neurons of a model: its rules against slow and simple ones, then the page in a real Chromium.
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { readFile } from "node:fs/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { SITE, at, browser, json, listen, page, root, useSite } from "./browser.js";
import { cellsOf, listsOf, mainOf } from "./record.js";
import { CLASSES, FLAGS, LEVELS, TOKENS, below, numberColumn, oneOf, packed, random, someColumns, times } from "./tables.js";
import { axisOf, fittingScale, roundest, ticksOf } from "../../theme/assets/explore/axis.js";
import { codeRange, extentOf, flatRange, kept, ofKind, parseTable, pick, ranking, tally, valueOf } from "../../theme/assets/explore/table.js";
import * as file from "../../theme/assets/explore/export.js";
import { parse, serialise, firstQuery } from "../../theme/assets/explore/query.js";
import { unpacked } from "../../theme/assets/read/pack.js";
import { number, percent, visible } from "../../theme/assets/read/tokens.js";

const someTable = (n_layers = 5, d_mlp = 83) => parseTable(packed({ n_layers, d_mlp }, someColumns(n_layers * d_mlp)));

/** A value somewhere around a column's, often exactly one of them. */
function someEnd(column) {
  if (random() < 0.2) return null;
  const value = valueOf(column, 1 + below(LEVELS));
  return oneOf([value, Number(value.toPrecision(2)), value * 3, 0, -value]);
}

function someQuery(table) {
  const query = firstQuery(table);
  for (const column of ofKind(table, "number")) {
    const range = [someEnd(column), someEnd(column)];
    if (random() < 0.4 && range.some((end) => end !== null)) query.ranges[column.name] = random() < 0.8 ? range.sort((a, b) => (a === null || b === null ? 0 : a - b)) : range;
  }
  if (random() < 0.3) query.ranges.layer = oneOf([[1, 3], [2, 2], [null, 1], [3, null], [0.5, 2.5], [3, 1]]);
  for (const { name, categories } of ofKind(table, "category")) {
    const names = [...categories, "none"].filter(() => random() < 0.5);
    if (random() < 0.4 && names.length > 0) query.categories[name] = names;
  }
  for (const flag of FLAGS) if (random() < 0.15) query.flags[flag] = random() < 0.5;
  if (random() < 0.3) delete query.flags.at_starts;
  if (random() < 0.3) query.token = { of: oneOf(["any", "promoted", "suppressed", "peak"]), text: oneOf(["mon", "Mon", "␣", "␣M", " mon", "=", "a,", "#12", "日", "zz", "\\n", "↵", "%&+ "]) };
  if (random() < 0.3) query.rank = { best: 1 + below(200), within: oneOf(["layer", "model"]) };
  query.sort = { by: oneOf([...ofKind(table, "number").map(({ name }) => name), "neuron"]), descending: random() < 0.5 };
  for (const at of ["x", "y"]) query.axes[at] = { name: oneOf(ofKind(table, "number")).name, scale: oneOf([null, "linear", "log"]) };
  return query;
}

// slow and simple

/** The number some steps from zero as a text: from 1.00e<exponent> on by three digits, from 1000 to a million by one. */
function shownAt({ exponent, unit }, size, sign) {
  const small = 900 * (3 - exponent); // steps below a thousand
  const whole = Math.max(0, Math.min(size - small, 999_000));
  const step = size - whole - 1;
  const [m, e] = whole === 0 ? [100 + (step % 900), exponent + Math.floor(step / 900) - 2] : [999 + whole, 0];
  assert.ok(size <= small + 999_000, "as large as tables here have them");
  return `${sign * m}e${e - (unit === "share" ? 2 : 0)}`;
}

/** What a neuron has in a column. */
function has(column, flat) {
  const code = column.codes[flat];
  if (column.kind === "flags") return column.flags.filter((_, bit) => Math.floor(code / 2 ** bit) % 2 === 1);
  if (code === 0) return null;
  if (column.kind !== "number") return (column.categories ?? column.tokens)[code - 1];
  return column.first + code === 1 ? 0 : Number(shownAt(column, Math.abs(column.first + code - 1), Math.sign(column.first + code - 1)));
}

const flagsIn = (table, flat) => ofKind(table, "flags").flatMap((column) => has(column, flat));

/** All neurons by a measure, those without it last. */
function sorted(table, { by, descending }) {
  const column = table.byName.get(by);
  const value = (flat) => (column ? column.codes[flat] || null : flat); // codes rise with values
  const all = times(table.n_neurons, (flat) => flat);
  const among = column?.order; // those of the same code, by rank
  const down = (a, b) => value(b) - value(a) || (among ? among[a] - among[b] : 0);
  const valued = all.filter((flat) => value(flat) !== null).sort((a, b) => (descending ? down(a, b) : down(b, a)) || a - b);
  const ranked = valued.filter((flat) => !flagsIn(table, flat).includes(column?.unranked));
  return { order: [...valued, ...all.filter((flat) => value(flat) === null)], ranked };
}

/** A neuron's rank among some that are in order: without an order among equal ones, as that of the first of them. */
function rankIn(table, by, ranked, flat) {
  const column = table.byName.get(by);
  if (!column || column.order) return ranked.indexOf(flat) + 1;
  return ranked.findIndex((other) => column.codes[other] === column.codes[flat]) + 1;
}

const SPELLED = { "␣": " ", "↵": "\n", "\\n": "\n" };
function hasText(token, typed) {
  const text = typed.replace(/␣|↵|\\n/g, (sign) => SPELLED[sign]);
  return token !== null && (text === text.toLowerCase() ? token.toLowerCase() : token).includes(text);
}

/** The neurons that a query finds, in its order. */
function expected(table, query) {
  const { order, ranked } = sorted(table, query.sort);
  const layerOf = (flat) => Math.floor(flat / table.d_mlp);
  const isFlagged = (flat, flag) => flagsIn(table, flat).includes(flag);
  const { unranked } = table.byName.get(query.sort.by) ?? {};
  const leavesOut = query.flags.at_starts === false && !(unranked in query.flags);
  const inRange = (value, [min, max]) => value !== null && (min === null || value >= min) && (max === null || value <= max);
  // decoding is asked for its own values, since a range may end exactly on one
  const valueIn = (name, flat) => (name === "layer" ? layerOf(flat) : valueOf(table.byName.get(name), table.byName.get(name).codes[flat]));
  return order.filter((flat) => {
    if (!Object.entries(query.ranges).every(([name, range]) => inRange(valueIn(name, flat), range))) return false;
    if (!Object.entries(query.categories).every(([name, names]) => names.includes(has(table.byName.get(name), flat) ?? "none"))) return false;
    if (!Object.entries(query.flags).every(([flag, wanted]) => isFlagged(flat, flag) === wanted)) return false;
    if (leavesOut && isFlagged(flat, unranked)) return false;
    if (query.token) {
      const columns = ofKind(table, "token").filter(({ name }) => ["any", name].includes(query.token.of));
      const opposite = { promoted: "suppressed", suppressed: "promoted" }[query.token.of];
      if (opposite && isFlagged(flat, "both_sides")) columns.push(table.byName.get(opposite));
      if (!columns.some((column) => hasText(has(column, flat), query.token.text))) return false;
    }
    if (!query.rank) return true;
    const others = query.rank.within === "layer" ? ranked.filter((other) => layerOf(other) === layerOf(flat)) : ranked;
    return others.includes(flat) && rankIn(table, query.sort.by, others, flat) <= query.rank.best;
  });
}

const found = (table, query) => {
  const ranks = ranking(table, query.sort);
  return [...pick(ranks.order, kept(table, query, ranks))];
};

describe("rules", () => {
  test("a file is read as it was written, packed or not", async () => {
    const n = 5 * 83;
    const columns = someColumns(n);
    const bytes = packed({ n_layers: 5, d_mlp: 83 }, columns);
    for (const form of [bytes, new Uint8Array(gzipSync(bytes))]) {
      const table = parseTable(await unpacked(form));
      assert.equal(table.n_neurons, n);
      columns.forEach((column, i) => assert.deepEqual([...table.columns[i].codes], column.codes, column.name));
      columns.forEach((column, i) => column.order && assert.deepEqual([...table.columns[i].order], column.order, column.name));
    }
    assert.throws(() => parseTable(bytes.subarray(0, bytes.length - 1)), /cut off/);
    assert.throws(() => parseTable(bytes.subarray(0, 40)), /cut off/);
    assert.throws(() => parseTable(new Uint8Array()), /cut off/);
    assert.throws(() => parseTable(packed({ n_layers: 5, d_mlp: 83, schema: "neuroscope/explore/v2" }, [])), /v2/);
  });

  test("numbers are written as Rust writes them", () => {
    const texts = { 0: "0", 9.996: "10.0", "-0.00099996": "-0.00100", 0.00042: "4.20e-4", 1.125: "1.13", 0.7545: "0.754", 100.5: "101", 2500.5: "2501", 999499: "999499", 999999.6: "1.00e6", 1e-9: "1.00e-9" };
    for (const [value, text] of Object.entries(texts)) assert.equal(number(Number(value)), text);
    assert.deepEqual([number(null), percent(null), percent(0.12345), percent(1.4e-6)], ["–", "–", "12.3 %", "1.40e-4 %"]);
  });

  test("codes are values", () => {
    for (const [exponent, first, unit] of [[-2, -20_000], [1, 1], [3, -9000], [-5, 0, "share"], [0, 5000, "share"]]) {
      const column = { kind: "number", exponent, first, unit, codes: times(30_000, (i) => i) };
      column.codes.forEach((code, flat) => {
        assert.equal(valueOf(column, code), has(column, flat), `${code} of ${JSON.stringify([exponent, first, unit])}`);
        assert.ok(code < 2 || valueOf(column, code) > valueOf(column, code - 1));
      });
    }
    // a million and more has three digits again
    assert.deepEqual([2700, 2701, 2702, 1_001_699, 1_001_700, 1_001_701, 1_002_600].map((first) => valueOf({ exponent: 0, first }, 1)), [999, 1000, 1001, 999_998, 999_999, 1_000_000, 10_000_000 - 10_000]);
  });

  test("a range of values is a range of codes, to the last", () => {
    for (let round = 0; round < 30; round++) {
      const column = numberColumn("x", 500, { ...(round === 0 && { levels: 1 }) });
      const [, most] = extentOf(column);
      for (let i = 0; i < 6; i++) {
        const [min, max] = [someEnd(column), someEnd(column)];
        const [first, last] = codeRange(column, [min, max]);
        for (let code = 1; code <= most; code++) {
          const value = valueOf(column, code);
          const fits = (min === null || value >= min) && (max === null || value <= max);
          if (fits !== (code >= first && code <= last)) assert.fail(`${code} of ${JSON.stringify({ ...column, codes: [], min, max })}`);
        }
      }
    }
  });

  test("filters and orders keep what a look at each neuron keeps", () => {
    for (let round = 0; round < 8; round++) {
      const table = someTable();
      for (let i = 0; i < 40; i++) {
        const query = someQuery(table);
        assert.deepEqual(found(table, query), expected(table, query), JSON.stringify(query));
      }
    }
  });

  test("ranks are places in the order, of the model and of the layer", () => {
    const table = someTable();
    for (const by of ["kurtosis", "skewness", "share_gate+_in-", "neuron"]) {
      for (const descending of [true, false]) {
        const { order, inModel, inLayer } = ranking(table, { by, descending });
        const simple = sorted(table, { by, descending });
        assert.deepEqual([...order], simple.order);
        for (let flat = 0; flat < table.n_neurons; flat++) {
          const layer = simple.ranked.filter((other) => Math.floor(other / 83) === Math.floor(flat / 83));
          const simply = [simple.ranked, layer].map((ranked) => (ranked.includes(flat) ? rankIn(table, by, ranked, flat) : 0));
          assert.deepEqual([inModel[flat], inLayer[flat]], simply);
        }
      }
    }
  });

  test("a column's extent is that of the codes that it has", () => {
    for (const [codes, extent] of [[[0, 7, 3, 0, 900], [3, 900]], [[0, 65535], [65535, 65535]], [[1], [1, 1]], [[0, 0], [1, 1]]]) {
      assert.deepEqual(extentOf({ codes }), extent);
    }
  });

  test("categories are counted", () => {
    const table = someTable();
    const keep = Uint8Array.from({ length: table.n_neurons }, () => below(2));
    const column = table.byName.get("class");
    const names = times(table.n_neurons, (flat) => flat).filter((flat) => keep[flat]).map((flat) => has(column, flat));
    assert.deepEqual([...tally(column, keep)], [null, ...CLASSES].map((name) => names.filter((other) => other === name).length));
  });

  test("layers are flat indices", () => {
    const table = { n_layers: 4, d_mlp: 10 };
    const cases = [[undefined, [0, 40]], [[1, 2], [10, 30]], [[2, null], [20, 40]], [[null, 0], [0, 10]], [[-3, 99], [0, 40]], [[0.5, 2.5], [10, 30]], [[3, 1], [30, 30]]];
    for (const [layers, span] of cases) assert.deepEqual(flatRange(table, layers), span);
  });

  test("an address holds a query", () => {
    const table = someTable();
    assert.equal(serialise(firstQuery(table), table), "");
    for (let i = 0; i < 500; i++) {
      const query = someQuery(table);
      assert.deepEqual(parse(`?${serialise(query, table)}`, table), query);
    }
    const query = {
      ...firstQuery(table),
      ranges: { kurtosis: [50, null], frequency: [null, 0.1], layer: [2, 3], mean: [-0.5, 1e-7] },
      categories: { class: ["strengthening", "none"] }, flags: { dead: false, at_starts: false }, token: { of: "promoted", text: "␣Monday" },
      rank: { best: 20, within: "layer" }, sort: { by: "frequency", descending: false }, axes: { x: { name: "mean", scale: "log" }, y: { name: "frequency", scale: null } },
    };
    const address = "kurtosis=50..&frequency=..0.1&layer=2..3&mean=-0.5..1e-7&class=strengthening,none&dead=no&token=promoted:%E2%90%A3Monday&rank=layer:20&sort=frequency&x=mean&xscale=log";
    assert.equal(serialise(query, table), address);
    assert.deepEqual(parse(decodeURI(address), table), query);
    assert.deepEqual(parse("?layer=2", table).ranges, { layer: [2, 2] });
    // neurons that fire at starts are left out unless it says otherwise
    for (const [address, flags] of [["", { at_starts: false }], ["at_starts=any", {}], ["at_starts=yes", { at_starts: true }]]) {
      assert.deepEqual(parse(`?${address}`, table).flags, flags);
      assert.equal(serialise(parse(`?${address}`, table), table), address);
    }
    assert.deepEqual(parse("?at_starts=no", table).flags, { at_starts: false });
    const old = parseTable(packed({ n_layers: 1, d_mlp: 8 }, someColumns(8).filter(({ kind }) => kind !== "flags")));
    assert.deepEqual(firstQuery(old).flags, {});
  });

  test("what an address has besides is ignored", () => {
    const table = someTable();
    const words = ["unknown=1..2", "kurtosis=a..b", "kurtosis=..", "kurtosis=", "kurtosis=1..2..3", "kurtosis=Infinity..", "class=other", "class=", "dead=maybe", "token=:x", "token=peak:", "token=flags:x", "rank=0", "rank=-1", "rank=x", "sort=class", "sort=", "x=class", "xscale=cubic", "layer=first", "%", "toString=1..2"];
    for (const word of words) assert.deepEqual(parse(`?${word}`, table), firstQuery(table), word);
  });

  /** The cells of a CSV file. */
  function cellsOf(csv) {
    const rows = [[]];
    for (const [, quoted, bare, end] of csv.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)/g)) {
      rows.at(-1).push(quoted === undefined ? { bare } : { text: quoted.replaceAll('""', '"') });
      if (end === "\n") rows.push([]);
    }
    assert.deepEqual(rows.pop(), []);
    return rows;
  }

  test("a result is saved with all columns", () => {
    const table = someTable(3, 2500); // of several pieces
    const query = parse("?frequency=..0.3&sort=frequency", table);
    const flats = Uint32Array.from(found(table, query));
    assert.ok(flats.length > 4096);
    const names = ["layer", "neuron", ...table.columns.flatMap((column) => column.flags ?? [column.name])];
    const simple = Array.from(flats, (flat) => [Math.floor(flat / 2500), flat % 2500, ...table.columns.flatMap((column) => {
      const value = has(column, flat);
      return column.kind === "flags" ? FLAGS.map((flag) => value.includes(flag)) : [value];
    })]);
    const same = (cell, value) => cell === value;

    const { model, query: asked, columns, rows } = JSON.parse([...file.json(table, flats, serialise(query, table))].join(""));
    assert.deepEqual([model, asked, columns], ["m", "frequency=..0.3&sort=frequency", names]);
    assert.equal(rows.length, simple.length);
    rows.forEach((row, i) => row.forEach((cell, j) => assert.ok(same(cell, simple[i][j]), `${names[j]}: ${cell}, ${simple[i][j]}`)));

    const [head, ...cells] = cellsOf([...file.csv(table, flats)].join(""));
    assert.deepEqual(head.map(({ text }) => text), names);
    assert.equal(cells.length, simple.length);
    const READ = { "": null, true: true, false: false };
    cells.forEach((row, i) => row.forEach(({ text, bare }, j) => {
      assert.equal(text !== undefined, typeof simple[i][j] === "string", "text is quoted, and nothing else");
      assert.ok(same(text ?? (bare in READ ? READ[bare] : Number(bare)), simple[i][j]), `${names[j]}: ${text ?? bare}, ${simple[i][j]}`);
    }));
    for (const token of TOKENS) assert.ok(cells.some((row) => row.some(({ text }) => text === token)), `${JSON.stringify(token)} is whole`);
    assert.equal([...file.csv(table, flats.subarray(0, 0))].join(""), `${names.map((name) => `"${name}"`).join(",")}\n`);
    assert.deepEqual(JSON.parse([...file.json(table, flats.subarray(0, 0), "")].join("")).rows, []);
  });

  test("axes place values, with round ones named", () => {
    for (let round = 0; round < 200; round++) {
      // most columns do not need all codes
      const column = numberColumn("x", 50, { exponent: below(6) - 3, levels: oneOf([1, 65535, 3000]) });
      for (const scale of ["linear", "log"]) {
        const axis = axisOf(column, scale);
        for (const code of column.codes.filter((code) => code > 0)) {
          const value = valueOf(column, code);
          const place = axis.place(value);
          assert.ok(place > 0 && place < 1);
          assert.ok(Math.abs(axis.valueAt(place) - value) <= 1e-6 * Math.max(...column.codes.map((code) => Math.abs(valueOf(column, code)))));
        }
        const ticks = ticksOf(axis, 8);
        assert.ok(ticks.length >= 2 && ticks.length <= 9, `${ticks}`);
        ticks.forEach((tick, i) => {
          assert.ok(axis.place(tick) >= 0 && axis.place(tick) <= 1);
          assert.ok(i === 0 || tick > ticks[i - 1]);
          assert.ok(`${tick}`.replace(/e.*|[.-]/g, "").replace(/^0+|0+$/g, "").length <= 4, `${tick} is round`);
        });
      }
    }
    assert.equal(roundest(49.2, 50.7), 50);
    assert.equal(roundest(-0.4, 0.2), 0);
    assert.equal(roundest(0.0123, 0.01234), 0.0123);
    assert.equal(roundest(-1234.6, -1234.4), -1234.5);
    assert.equal(roundest(7, 7), 7);
  });

  test("a long tail is drawn on a logarithmic axis", () => {
    const of = (values) => {
      const exponent = -6;
      const step = (value) => {
        const [digits, power] = Math.abs(value).toExponential(2).split("e");
        const size = power < 3 ? 900 * (power - exponent) + Math.round(100 * digits) - 99 : 900 * (3 - exponent) + Math.round(Math.abs(value)) - 999;
        return Math.sign(value) * Math.max(0, size);
      };
      const first = Math.min(...values.map(step));
      return { exponent, first, codes: values.map((value) => step(value) - first + 1) };
    };
    assert.equal(fittingScale(of(times(1000, () => Math.exp(8 * random())))), "log");
    assert.equal(fittingScale(of(times(1000, () => Math.tan(3.14 * (random() - 0.5))))), "log");
    assert.equal(fittingScale(of(times(1000, () => 2 * random() - 1))), "linear");
    assert.equal(fittingScale(of(times(1000, () => random() + random() + random()))), "linear");
  });
});

for (const layout of ["pages", "packed"]) describe(layout, () => {
  const isPacked = layout === "packed";
  if (isPacked) useSite(process.env.PACKED);
  const inPages = isPacked ? test.skip : test;
  const ofPacked = isPacked ? test : test.skip;
  const PAGE = "tiny/explore.html";
  const MIN = (label) => `[aria-label="${label}, at least"]`;
  const MAX = (label) => `[aria-label="${label}, at most"]`;
  let table, fileBytes, lines;

  before(async () => {
    fileBytes = await readFile(`${SITE}/tiny/explore.bin.gz`);
    table = parseTable(new Uint8Array(gunzipSync(fileBytes)));
    lines = [];
    while (lines.length < table.n_neurons) lines.push(...(await json(`tiny/lines/${String(lines.length).padStart(7, "0")}.json`)).lines);
  });

  const nameOf = (flat) => `${Math.floor(flat / table.d_mlp)}.${flat % table.d_mlp}`;
  const column = (name) => table.byName.get(name);
  const label = (name) => column(name).label;
  const flagsOf = (flat) => flagsIn(table, flat);
  const recordOf = async (flat) => JSON.parse(/id="neuron">(.*?)<\/script>/s.exec(await readFile(`${SITE}/tiny/${nameOf(flat).replace(".", "/")}.html`, "utf8"))[1]);
  const value = (name, flat) => valueOf(column(name), column(name).codes[flat]);
  const format = (name, flat) => (column(name).unit === "share" ? percent : number)(value(name, flat));
  /** A value that some neurons of the model are below and others above. */
  const quantile = (name, share) => {
    const values = times(table.n_neurons, (flat) => value(name, flat)).filter((value) => value !== null).sort((a, b) => a - b);
    return Number(values[Math.floor(share * (values.length - 1))].toPrecision(3));
  };
  /** A neuron's page, from the model's folder. */
  const pageOf = (flat) => nameOf(flat).replace(".", isPacked ? "/neuron.html?n=" : "/") + (isPacked ? "" : ".html");
  const leadsTo = (flat) => page.waitForURL(`${root}tiny/${pageOf(flat)}`);
  const names = () => page.$$eval("#found .id", (links) => links.map((link) => link.textContent));
  const open = async (query = "", at = PAGE) => {
    await page.goto("about:blank");
    await page.goto(`${root}${at}${query}`);
    await page.waitForSelector("#explore:not([hidden])");
    await page.locator("#filters").evaluate((details) => (details.open = true));
  };
  /** The list and the count are those of a query, and so is the address. */
  const shows = async (query, n_neurons = table.n_neurons) => {
    const flats = expected(table, query);
    const says = flats.length === n_neurons ? `All ${n_neurons} neurons` : `${flats.length} of ${n_neurons} neurons`;
    await page.waitForFunction((says) => document.getElementById("count").textContent === says, says);
    assert.deepEqual(await names(), flats.slice(0, 50).map(nameOf));
    return flats;
  };
  /** All that the query needs has come. */
  const settled = () => page.waitForFunction(() => document.getElementById("count").textContent !== "Loading…" && !document.querySelector("#explore [aria-busy=true]"));
  const asked = () => parse(new URL(page.url()).search, table);

  inPages("the file has what the layers' files have", async () => {
    let compared = 0;
    for (let layer = 0; layer < table.n_layers; layer++) {
      const { columns, dead, rare, at_starts, at_starts_either, sides, weights } = await json(`tiny/${layer}/index.json`);
      for (const [name, values] of Object.entries(columns)) {
        if (column(name)?.kind !== "number") continue;
        values.forEach((simple, neuron) => {
          const own = format(name, layer * table.d_mlp + neuron);
          assert.equal(own, (column(name).unit === "share" ? percent : number)(simple), `${name} of ${layer}.${neuron}`);
        });
        compared++;
      }
      for (let neuron = 0; neuron < table.d_mlp; neuron++) {
        const flat = layer * table.d_mlp + neuron;
        const flags = flagsOf(flat);
        const known = { dead, rare, at_starts, at_starts_either };
        for (const [flag, flagged] of Object.entries(known)) assert.equal(flags.includes(flag), flagged.includes(neuron), flag);
        assert.equal(has(column("side"), flat), sides[neuron]);
        assert.equal(has(column("class"), flat), weights.classes[weights.class[neuron]] ?? null);
      }
    }
    assert.ok(compared >= 20 * table.n_layers, `${compared} columns`);
  });

  inPages("ranks are those of the neurons' pages", async () => {
    const ranked = ofKind(table, "number").filter(({ order }) => order);
    assert.ok(ranked.length >= 8);
    const ranks = new Map(ranked.map(({ name }) => [name, ranking(table, { by: name, descending: true })]));
    for (let flat = 0; flat < table.n_neurons; flat += 1 + below(4)) {
      const { interest } = await recordOf(flat);
      for (const [name, { inModel, inLayer }] of ranks) {
        assert.deepEqual([inModel[flat], inLayer[flat]], [interest[name].rank_in_model ?? 0, interest[name].rank_in_layer ?? 0], `${name} of ${nameOf(flat)}`);
      }
    }
  });

  test("the counts of a layer's page lead to the neurons that are counted", async () => {
    const LAYER = "tiny/1/index.html";
    await page.goto(root + LAYER);
    const links = await page.$$eval(".counts a[href^='explore.html']", (links) => links.map((link) => [link.getAttribute("href"), link.textContent]));
    assert.ok(links.length > 1);
    for (const [href, n] of links) {
      await page.goto(`${root}tiny/1/${href}`);
      const says = Number(n) === table.d_mlp ? `All ${n} neurons` : `${n} of ${table.d_mlp} neurons`;
      await page.waitForFunction((says) => document.getElementById("count").textContent === says, says);
    }
  });

  inPages("a line has the whole character at the peak, and the text around it", async () => {
    let cut = 0;
    for (let flat = 0; flat < table.n_neurons; flat++) {
      const record = await recordOf(flat);
      const [main] = listsOf(record)[mainOf(record)] ?? [];
      assert.equal(flagsOf(flat).includes("both_sides"), record.side.both);
      for (const [name, [top, bottom]] of [["promoted", ["top", "bottom"]], ["suppressed", ["bottom", "top"]]]) {
        assert.equal(has(column(name), flat), record.logits[record.side.name === "negative" ? bottom : top].token[0], `${name} of ${nameOf(flat)}`);
      }
      if (main) assert.equal(lines[flat][5], record.lines[record.side.name] ?? undefined);
      assert.equal(lines[flat] === null, main === undefined);
      if (!main) continue;
      const [first, end] = cellsOf(main.tokens).find(([first, end]) => first <= main.peak && main.peak < end);
      const parts = [main.tokens.slice(0, first), main.tokens.slice(first, end), main.tokens.slice(end)];
      const [before, at, behind] = parts.map((tokens) => Buffer.concat(tokens).toString());
      const [, someBefore, peak, someBehind] = lines[flat];
      assert.ok(before.endsWith(someBefore) && behind.startsWith(someBehind), nameOf(flat));
      assert.equal(peak, at, nameOf(flat));
      cut += Number(end - first > 1);
    }
    assert.ok(cut > 0, "characters of several tokens are among them");
  });

  test("all neurons, with a measure, ranks, tags and a line of text each", async () => {
    await open();
    const query = firstQuery(table);
    const flats = await shows(query);
    assert.equal(at(), PAGE);
    const { by } = query.sort;
    await settled();
    const rows = await page.$$eval("#found .neuron", (rows) => rows.map((row) => [
      row.querySelector(".id").getAttribute("href"), row.querySelector(".value").textContent, row.querySelector(".rank").textContent,
      [...row.querySelectorAll(".tag")].map((tag) => tag.textContent),
    ]));
    rows.forEach((row, i) => {
      const inLayer = flats.slice(0, i + 1).filter((flat) => Math.floor(flat / table.d_mlp) === Math.floor(flats[i] / table.d_mlp)).length;
      const categories = ofKind(table, "category").filter(({ name }) => name !== "side").map((column) => has(column, flats[i])).filter((name) => name !== null);
      const flags = flagsOf(flats[i]).map((flag) => ({ at_starts_either: "weaker side fires at starts", both_sides: "both sides alike" })[flag] ?? flag);
      assert.deepEqual(row, [`../tiny/${pageOf(flats[i])}`, format(by, flats[i]), `#${i + 1} in model, #${inLayer} in layer`, [...categories, ...flags]]);
    });
    const signs = await page.$$eval("#found .neuron .side", (signs) => signs.map((sign) => sign.textContent));
    assert.deepEqual(signs, flats.slice(0, 50).map((flat) => (flagsOf(flat).includes("both_sides") ? "(±)" : has(column("side"), flat) === "negative" ? "(−)" : "(+)")));
    await page.waitForFunction(() => document.querySelector("#found .line mark, #found .line .none"));
    for (const i of [0, 1, 49]) {
      const row = page.locator("#found .neuron").nth(i);
      await row.scrollIntoViewIfNeeded();
      await row.locator(".line > *").first().waitFor();
      const line = lines[flats[i]];
      assert.equal(await row.locator(".line").textContent(), line ? line.slice(1, 4).map(visible).join("") : "no example");
      if (line) assert.equal(await row.locator("mark").textContent(), visible(line[2]));
      if (line) assert.ok((await row.locator(".beneath").textContent()).endsWith(line[4] ? visible(line[4]) : `${visible(line[5])} automatic`));
    }
  });

  inPages("neurons that fire at starts are left out, which is said, and can be put back", async () => {
    const bytes = gunzipSync(await readFile(`${SITE}/tiny/explore.bin.gz`));
    const { flags, offset } = column("flags");
    const start = 4 + bytes.readUInt32LE(0) + offset;
    const plain = firstQuery(table);
    const [, second, , fourth] = expected(table, plain);
    bytes[start + second] |= 2 ** flags.indexOf("at_starts") | 2 ** flags.indexOf("at_starts_either");
    bytes[start + fourth] |= 2 ** flags.indexOf("at_starts_either");
    await page.route("**/explore.bin.gz", (route) => route.fulfill({ body: bytes }));
    const other = parseTable(new Uint8Array(bytes));
    const showsOther = async (query) => {
      const flats = expected(other, query);
      const says = flats.length === other.n_neurons ? `All ${flats.length} neurons` : `${flats.length} of ${other.n_neurons} neurons`;
      await page.waitForFunction((says) => document.getElementById("count").textContent === says, says);
      assert.deepEqual(await names(), flats.slice(0, 50).map(nameOf));
      const without = { ...query, flags: Object.fromEntries(Object.entries(query.flags).filter(([name]) => name !== "at_starts")) };
      const n = query.flags.at_starts === false ? expected(other, without).length - flats.length : 0;
      const said = n === 0 ? "" : n === 1 ? "1 that fires at starts is left out" : `${n} that fire at starts are left out`;
      await page.waitForFunction((said) => document.getElementById("left-out").textContent === said, said);
      return flats;
    };
    await open();
    const some = await showsOther(plain);
    assert.ok(!some.includes(second) && some.includes(fourth));
    assert.equal(at(), PAGE);
    assert.ok(!(await page.isVisible("[type=reset]")), "what is left out to begin with is not a filter that the reader set");
    await page.selectOption("#sort", "variance"); // which leaves out more
    const byVariance = await showsOther({ ...plain, sort: { by: "variance", descending: true } });
    assert.ok(!byVariance.includes(second) && !byVariance.includes(fourth));
    await page.selectOption("label:has-text('Fires at starts') >> nth=0 >> select", "");
    await showsOther({ ...plain, flags: {}, sort: { by: "variance", descending: true } });
    assert.equal(at(), `${PAGE}?at_starts=any&sort=-variance`);
    while (await page.isVisible("#more")) await page.click("#more");
    const ranked = page.locator("#found .neuron", { has: page.locator(`.id:text-is("${nameOf(second)}")`) });
    await ranked.locator(".tag", { hasText: "fires at starts" }).waitFor();
    assert.equal(await ranked.locator(".rank").count(), 0, "it has no rank");
    await page.selectOption("label:has-text('Fires at starts') >> nth=0 >> select", "yes");
    await showsOther({ ...plain, flags: { at_starts: true }, sort: { by: "variance", descending: true } });
    await page.click("text=Reset filters");
    await showsOther({ ...plain, sort: { by: "variance", descending: true } });
  });

  test("lines are loaded when their rows come near, each file once", async () => {
    const files = [];
    page.on("request", (request) => request.url().includes("/lines/") && files.push(request.url()));
    await page.setViewportSize({ width: 1200, height: 300 });
    await open();
    await page.waitForTimeout(200);
    assert.equal(files.length, 0, "the list is far below");
    await page.locator("#more").scrollIntoViewIfNeeded();
    await page.waitForFunction(() => document.querySelector("#found li:last-child .line > *"));
    await page.click("#direction");
    await page.locator("#more").scrollIntoViewIfNeeded();
    await page.waitForFunction(() => document.querySelector("#found li:last-child .line > *"));
    assert.deepEqual(files, [...new Set(files)]);
    assert.ok(files.length > 0 && files.length <= Math.ceil(table.n_neurons / (await json("tiny/index.json")).lines_per_file));
  });

  test("lines are loaded some at a time, first those of the rows in sight", async () => {
    const [asked, answers] = [[], []];
    let isHeld = true;
    const answerAll = () => answers.splice(0).forEach((answer) => answer());
    await page.route("**/tiny/index.json", async (route) => route.fulfill({ json: { ...(await (await route.fetch()).json()), lines_per_file: 1 } }));
    await page.route("**/tiny/lines/*", async (route) => {
      asked.push(nameOf(Number(/(\d+)\.json/.exec(route.request().url())[1])));
      if (isHeld) await new Promise((resolve) => answers.push(resolve));
      await route.fulfill({ json: { lines: [[1, "before ", "peak", " after"]] } });
    });
    await page.setViewportSize({ width: 1200, height: 1200 });
    await open();
    const rows = page.locator("#found .neuron");
    const inSight = () => rows.evaluateAll((rows) => rows.filter((row) => row.getBoundingClientRect().bottom > 0 && row.getBoundingClientRect().top < innerHeight).map((row) => row.querySelector("a").textContent));
    const untilAsked = async (n) => {
      while (asked.length < n) await page.waitForTimeout(10);
      await page.waitForTimeout(50); // for more than that
    };
    await rows.first().evaluate((row) => row.scrollIntoView());
    await untilAsked(8);
    assert.deepEqual(asked, (await names()).slice(0, 8));
    await rows.last().evaluate(async (row) => {
      row.scrollIntoView({ block: "end" });
      for (let frame = 0; frame < 3; frame++) await new Promise((resolve) => requestAnimationFrame(resolve));
    });
    await page.waitForTimeout(200);
    assert.equal(asked.length, 8);
    const last = await inSight();
    assert.ok(last.length > 8 && !last.some((name) => asked.includes(name)));
    answerAll();
    await untilAsked(16);
    assert.deepEqual(asked.slice(8), last.slice(0, 8));
    while (await rows.last().locator(".line:empty").count()) {
      answerAll();
      await page.waitForTimeout(20);
    }
    assert.deepEqual(asked.slice(8, 8 + last.length), last);
    isHeld = false;
    answerAll();
  });

  test("more rows on demand", async () => {
    await open("?at_starts=any");
    const flats = expected(table, { ...firstQuery(table), flags: {} });
    assert.ok(flats.length > 100);
    for (const n of [100, Math.min(150, flats.length)]) {
      await page.click("#more");
      assert.deepEqual(await names(), flats.slice(0, n).map(nameOf));
      assert.equal(await page.evaluate(() => document.activeElement.textContent), nameOf(flats[n === 100 ? 50 : 100]), "one reads on at the first new row");
    }
    assert.equal(await page.isVisible("#more"), flats.length > 150);
  });

  test("a range is filtered as it is typed, and is in the address", async () => {
    await open();
    const [low, high] = [quantile("kurtosis", 0.3), quantile("kurtosis", 0.8)];
    const query = firstQuery(table);
    await page.fill(MIN(label("kurtosis")), String(low));
    query.ranges.kurtosis = [low, null];
    const some = await shows(query);
    assert.ok(some.length > 0 && some.length < table.n_neurons);
    await page.fill(MAX(label("kurtosis")), String(high));
    query.ranges.kurtosis = [low, high];
    await shows(query);
    assert.equal(at(), `${PAGE}?kurtosis=${low}..${high}`);
    await page.reload();
    await shows(query);
    assert.deepEqual([await page.inputValue(MIN(label("kurtosis"))), await page.inputValue(MAX(label("kurtosis")))], [String(low), String(high)]);
    await page.fill(MAX(label("kurtosis")), String(low - 1));
    query.ranges.kurtosis = [low, low - 1];
    await shows(query);
    await page.click("text=Reset filters");
    await shows(firstQuery(table));
    assert.equal(at(), PAGE);
    assert.equal(await page.evaluate(() => document.activeElement.closest("summary") !== null), true);
  });

  test("shares are in per cent", async () => {
    await open();
    const share = quantile("frequency", 0.5);
    await page.fill(`[aria-label="${column("frequency").label}, at most, per cent"]`, String(Number((share * 100).toPrecision(12))));
    await shows({ ...firstQuery(table), ranges: { frequency: [null, share] } });
    assert.equal(at(), `${PAGE}?frequency=..${share}`);
    await page.selectOption("#sort", "frequency");
    await settled();
    assert.match(await page.textContent("#found .value"), / %$/);
  });

  test("any number can be a filter, and be taken out again", async () => {
    await open();
    const name = "variance";
    assert.equal(await page.locator(MIN(label(name))).count(), 0);
    await page.selectOption("#add", name);
    await page.click("text=Add filter");
    assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), `${label(name)}, at least`);
    assert.equal(await page.locator(`#add option[value="${name}"]`).count(), 0);
    const most = quantile(name, 0.5);
    await page.fill(MAX(label(name)), String(most));
    await shows({ ...firstQuery(table), ranges: { [name]: [null, most] } });
    await page.click(`[aria-label="Remove the filter ${label(name)}"]`);
    await shows(firstQuery(table));
    assert.equal(await page.locator(`#add option[value="${name}"]`).count(), 1);
    // all the numbers of the file are there
    const offered = await page.$$eval("#sort option", (options) => options.map((option) => option.value));
    assert.deepEqual(offered.sort(), ["neuron", ...ofKind(table, "number").map(({ name }) => name)].sort());
  });

  test("layers, categories, flags, tokens and ranks", async () => {
    await open();
    const query = firstQuery(table);
    await page.fill(MIN("Layer"), "1");
    query.ranges.layer = [1, null];
    await shows(query);
    await page.click("summary >> text=Class");
    await page.check('[aria-label="Class"] input[value="none"]');
    const first = column("class").categories[0];
    await page.check(`[aria-label="Class"] input[value="${first}"]`);
    query.categories.class = [first, "none"];
    await shows(query);
    const flat = expected(table, { ...query, categories: {} }); // what other filters leave is counted
    const tallied = await page.$$eval('[aria-label="Class"] label', (labels) => labels.map((label) => [label.querySelector("input").value, Number(label.querySelector(".num").textContent)]));
    for (const [name, n] of tallied) assert.equal(n, flat.filter((flat) => (has(column("class"), flat) ?? "none") === name).length, name);
    await page.uncheck(`[aria-label="Class"] input[value="${first}"]`);
    await page.uncheck('[aria-label="Class"] input[value="none"]');
    delete query.categories.class;
    if (column("flags")) {
      await page.selectOption("label:has-text('Atypical') select", "no");
      query.flags.atypical = false;
      await shows(query);
    }
    await page.fill("#best", "5");
    await page.selectOption('[aria-label="Ranked within"]', "layer");
    query.rank = { best: 5, within: "layer" };
    await shows(query);
    await page.selectOption("#sort", "variance");
    await page.click("#direction");
    query.sort = { by: "variance", descending: false };
    await shows(query);
    await page.fill("#best", "");
    query.rank = null;
    const token = has(column("peak"), expected(table, query).find((flat) => has(column("peak"), flat)));
    await page.fill("#token", token.replaceAll(" ", "␣").replaceAll("\n", "↵"));
    await page.selectOption('[aria-label="Which token"]', "peak");
    await page.waitForURL(({ searchParams }) => searchParams.get("token")?.startsWith("peak:")); // as many may have it as before
    query.token = { of: "peak", text: token.replaceAll(" ", "␣").replaceAll("\n", "↵") };
    assert.ok((await shows(query)).length > 0);
    assert.deepEqual(asked(), query);
    await page.reload();
    await shows(query);
    assert.equal(await page.textContent("#active"), `${column("flags") ? 3 : 2} set`);
  });

  test("back and forth", async () => {
    await open("?kurtosis=..100000&sort=kurtosis");
    const query = parse("?kurtosis=..100000&sort=kurtosis", table);
    const flats = await shows(query);
    await page.click("#found .id");
    await leadsTo(flats[0]);
    await page.goBack();
    await shows(query);
    // an address of the same page, as the skip link makes one
    await page.evaluate(() => (location.hash = "main"));
    await page.selectOption("#sort", "neuron");
    await page.waitForFunction(() => location.search.includes("sort=neuron"));
    await page.goBack();
    await shows(query);
    assert.equal(await page.inputValue("#sort"), "kurtosis");
    await page.goForward();
    await shows({ ...query, sort: { by: "neuron", descending: false } });
  });

  test("a layer's page is of that layer", async () => {
    await open("?sort=neuron&layer=0", "tiny/1/explore.html");
    const query = { ...firstQuery(table), sort: { by: "neuron", descending: false } };
    await shows({ ...query, ranges: { layer: [1, 1] } }, table.d_mlp);
    assert.equal(at(), "tiny/1/explore.html?sort=neuron");
    assert.equal(await page.locator(MIN("Layer")).count(), 0);
    const most = quantile("kurtosis", 0.6);
    await page.fill(MAX(label("kurtosis")), String(most));
    const flats = await shows({ ...query, ranges: { layer: [1, 1], kurtosis: [null, most] } }, table.d_mlp);
    assert.equal(await page.getAttribute("#found .id", "href"), `../../tiny/${pageOf(flats[0])}`);
    await page.click("text=All layers");
    await page.waitForURL(`${root}${PAGE}?kurtosis=..${most}&sort=neuron`);
    await shows({ ...query, ranges: { kurtosis: [null, most] } });
  });

  /** Where the scatter of a query has a neuron, in px of the canvas. */
  async function placesOf(query) {
    const box = await page.locator("#scatter canvas").boundingBox();
    const pad = { left: 58, right: 14, top: 24, bottom: 44 };
    const on = (at) => {
      const { name, scale } = query.axes[at];
      const axis = axisOf(column(name), scale ?? fittingScale(column(name)));
      return (flat) => axis.place(value(name, flat));
    };
    const [x, y] = [on("x"), on("y")];
    return (flat) => [pad.left + x(flat) * (box.width - pad.left - pad.right), box.height - pad.bottom - y(flat) * (box.height - pad.top - pad.bottom)];
  }

  test("a rectangle drawn in the scatter is a filter of both measures", async () => {
    await open("?x=variance&y=kurtosis");
    const query = parse("?x=variance&y=kurtosis", table);
    const canvas = page.locator("#scatter canvas");
    await canvas.scrollIntoViewIfNeeded();
    const box = await canvas.boundingBox();
    const [from, to] = [[box.width * 0.3, box.height * 0.2], [box.width * 0.7, box.height * 0.7]];
    await page.mouse.move(box.x + from[0], box.y + from[1]);
    await page.mouse.down();
    await page.mouse.move(box.x + to[0], box.y + to[1], { steps: 4 });
    await page.mouse.up();
    await page.waitForFunction(() => location.search.includes("variance="));
    const place = await placesOf(query);
    const brushed = asked();
    assert.deepEqual(Object.keys(brushed.ranges).sort(), ["kurtosis", "variance"]);
    const flats = await shows(brushed);
    const inside = (flat, by) => [0, 1].every((i) => place(flat)[i] >= from[i] - by && place(flat)[i] <= to[i] + by);
    const all = expected(table, query); // those that fire at starts are left out
    for (const flat of all.filter((flat) => inside(flat, -1))) assert.ok(flats.includes(flat), `${nameOf(flat)} is inside`);
    for (const flat of flats) assert.ok(inside(flat, 1), `${nameOf(flat)} is outside`);
    for (const end of [0, 1]) {
      const typed = await page.inputValue((end ? MAX : MIN)(column("variance").label));
      assert.equal(Number(typed), brushed.ranges.variance[end]);
      assert.ok(typed.replace(/e.*|\D/g, "").length <= 5, `${typed} is readable`);
    }
    // from edge to edge in one direction: the other measure alone
    await page.mouse.move(box.x + 60, box.y + from[1]);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width - 2, box.y + to[1], { steps: 4 });
    await page.mouse.up();
    await page.waitForFunction(() => !location.search.includes("variance="));
    assert.deepEqual(Object.keys(asked().ranges), ["kurtosis"]);
  });

  test("points of the scatter are links, by pointer and by keyboard", async () => {
    const words = "?x=kurtosis&y=variance&xscale=linear&yscale=linear";
    await open(words);
    const query = parse(words, table);
    const canvas = page.locator("#scatter canvas");
    await canvas.scrollIntoViewIfNeeded();
    const box = await canvas.boundingBox();
    const place = await placesOf(query);
    const best = expected(table, query)[0];
    const [x, y] = place(best);
    await page.mouse.move(box.x + x, box.y + y);
    const says = `${nameOf(best)}: ${column("kurtosis").label} ${format("kurtosis", best)}, ${column("variance").label} ${format("variance", best)}`;
    assert.ok((await page.textContent("#scatter-text")).startsWith(says));
    const does = lines[best].slice(4).find(Boolean); // once the pointer rests
    await page.waitForFunction((all) => document.getElementById("scatter-text").textContent === all, `${says} · ${visible(does)}`);
    await page.mouse.click(box.x + x, box.y + y);
    await leadsTo(best);
    await page.goBack();
    await shows(query);
    await page.focus("#scatter canvas");
    const order = sorted(table, { by: "kurtosis", descending: false }).ranked.filter((flat) => value("variance", flat) !== null);
    for (const [key, i] of [["End", order.length - 1], ["ArrowLeft", order.length - 2], ["Home", 0], ["ArrowRight", 1], ["PageDown", 1 + Math.ceil(order.length / 20)]]) {
      await page.keyboard.press(key);
      assert.ok((await page.textContent("#scatter-text")).startsWith(`${nameOf(order[i])}: `), key);
    }
    await page.keyboard.press("Escape");
    assert.match(await page.textContent("#scatter-text"), /^Coloured/);
    await page.keyboard.press("End");
    await page.keyboard.press("Enter");
    await leadsTo(order.at(-1));
  });

  test("axes and scales are chosen, and in the address", async () => {
    await open();
    const pixels = () => page.$eval("#scatter canvas", (canvas) => canvas.toDataURL());
    const seen = new Set([await pixels()]);
    await page.selectOption("#x", "max");
    await settled();
    seen.add(await pixels());
    await page.locator("#yscale").click();
    seen.add(await pixels());
    await page.click("button.mode");
    await page.waitForTimeout(50);
    seen.add(await pixels());
    assert.equal(seen.size, 4);
    const scale = fittingScale(column("frequency")) === "log" ? "linear" : "log";
    await page.waitForFunction(() => location.search.includes("yscale="));
    assert.equal(at(), `${PAGE}?x=max&yscale=${scale}`);
  });

  test("the result is saved", async () => {
    await open("?kurtosis=..100000&sort=kurtosis");
    const flats = await shows(parse("?kurtosis=..100000&sort=kurtosis", table));
    for (const kind of ["csv", "json"]) {
      const [download] = await Promise.all([page.waitForEvent("download"), page.click(`[data-save=${kind}]`)]);
      assert.equal(download.suggestedFilename(), `tiny-neurons.${kind}`);
      const text = await readFile(await download.path(), "utf8");
      assert.equal(text, [...file[kind](table, Uint32Array.from(flats), "kurtosis=..100000&sort=kurtosis")].join(""));
    }
  });

  inPages("what cannot be loaded is said", async () => {
    const quiet = await browser.newPage(); // a missing file is an error in the console as well
    await quiet.route("**/explore.bin.gz", (route) => route.fulfill({ status: 503, body: "" }));
    await quiet.goto(root + PAGE);
    await quiet.waitForFunction(() => /^The numbers of the neurons cannot be loaded: 503/.test(document.getElementById("count").textContent));
    assert.equal(await quiet.isVisible("#explore"), false);
    await quiet.unroute("**/explore.bin.gz");
    await quiet.route("**/explore.bin.gz", (route) => route.fulfill({ body: gzipSync(gunzipSync(fileBytes).subarray(0, 5000)) }));
    await quiet.reload();
    await quiet.waitForFunction(() => /cannot be loaded: it is cut off/.test(document.getElementById("count").textContent));
    await quiet.unroute("**/explore.bin.gz");
    // a host may have unpacked it
    await quiet.route("**/explore.bin.gz", (route) => route.fulfill({ body: gunzipSync(fileBytes) }));
    await quiet.route("**/lines/*.json", (route) => route.abort());
    await quiet.reload();
    await quiet.waitForSelector("#found .neuron");
    await quiet.locator("#found .neuron").first().scrollIntoViewIfNeeded();
    await quiet.waitForFunction(() => /cannot be loaded/.test(document.querySelector("#found .line").textContent));
    await quiet.close();
  });

  inPages("nothing moves while the numbers come", async () => {
    await page.route("**/explore.bin.gz", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await route.continue();
    });
    await page.addInitScript(() => {
      globalThis.shifted = 0;
      new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (globalThis.shifted += value))).observe({ type: "layout-shift", buffered: true });
    });
    await page.goto(root + PAGE, { waitUntil: "domcontentloaded" });
    await page.waitForFunction(() => document.getElementById("count").textContent === "Loading…");
    await page.waitForSelector("#found .neuron");
    await page.waitForTimeout(200);
    const shifted = await page.evaluate(() => globalThis.shifted);
    assert.ok(shifted < 0.01, `shifted by ${shifted}`);
  });

  const COLUMN = /\/explore\/([^/]+)\.gz$/;
  /** Holds back the columns of a page until it is told. */
  async function holdColumns(page) {
    let release;
    const released = new Promise((resolve) => (release = resolve));
    await page.route(COLUMN, async (route) => {
      if (!route.request().url().endsWith("index.json.gz")) await released;
      await route.continue();
    });
    return release;
  }

  ofPacked("controls come first, each column once and when it is used, and nothing moves", async () => {
    const loaded = [];
    page.on("request", (request) => COLUMN.test(request.url()) && loaded.push(COLUMN.exec(request.url())[1]));
    await page.addInitScript(() => {
      globalThis.shifted = 0;
      new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (globalThis.shifted += value))).observe({ type: "layout-shift", buffered: true });
    });
    const release = await holdColumns(page);
    await page.goto(root + PAGE);
    await page.waitForSelector("#explore:not([hidden])");
    assert.equal(await page.textContent("#count"), "Loading…");
    assert.equal(await page.getAttribute("#found", "aria-busy"), "true");
    assert.equal(await page.locator("#sort option").count(), 1 + ofKind(table, "number").length);
    const most = quantile("kurtosis", 0.5);
    await page.fill(MAX(label("kurtosis")), String(most));
    assert.equal(await page.locator("#found .neuron").count(), 0);
    release();
    const query = { ...firstQuery(table), ranges: { kurtosis: [null, most] } };
    await shows(query);
    await settled();
    await page.waitForFunction(() => document.querySelector("#found .tag"));
    const first = ["class", "flags", "frequency", "index.json", "kurtosis", "kurtosis-order", "role", "said", "side"];
    assert.deepEqual([...loaded].sort(), first);
    const shifted = await page.evaluate(() => globalThis.shifted);
    assert.ok(shifted < 0.01, `shifted by ${shifted}`);
    await page.selectOption("#sort", "variance");
    await settled();
    await page.selectOption("#x", "max");
    await settled();
    await page.fill("#token", "a");
    await settled();
    await page.selectOption("#sort", "kurtosis");
    await settled();
    assert.deepEqual([...loaded].sort(), [...first, "max", "peak", "promoted", "suppressed", "variance", "variance-order"].sort());
  });

  ofPacked("a column that cannot be loaded is named, the rest works, and it can be tried again", async () => {
    const quiet = await browser.newPage(); // a missing file is an error in the console as well
    const says = (pattern) => quiet.waitForFunction(([source]) => new RegExp(source).test(document.getElementById("problem").textContent), [pattern.source]);
    const counts = (query) => {
      const n = expected(table, query).length;
      return quiet.waitForFunction((words) => document.getElementById("count").textContent === words, `${n} of ${table.n_neurons} neurons`);
    };
    const other = await readFile(`${process.env.PACKED}/tiny/explore/max.gz`);
    await quiet.route("**/explore/variance.gz", (route) => route.fulfill({ status: 503, body: "" }));
    await quiet.route("**/explore/skewness.gz", (route) => route.fulfill({ body: other.subarray(0, 60) }));
    await quiet.goto(`${root}${PAGE}?variance=..0&sort=-kurtosis&kurtosis=..${quantile("kurtosis", 0.4)}`);
    const query = { ...firstQuery(table), ranges: { kurtosis: [null, quantile("kurtosis", 0.4)] } };
    await says(/Variance cannot be loaded: 503/);
    await counts(query);
    assert.ok((await quiet.locator("#found .neuron").count()) > 0);
    await quiet.selectOption("#x", "skewness");
    await says(/Variance cannot be loaded: 503.*Skewness cannot be loaded: it is damaged or cut off/);
    await quiet.unroute("**/explore/variance.gz");
    await quiet.unroute("**/explore/skewness.gz");
    await quiet.click("text=Try again");
    await quiet.waitForFunction(() => document.getElementById("problem").hidden);
    await counts({ ...query, ranges: { ...query.ranges, variance: [null, 0] } });
    await quiet.route("**/explore/index.json.gz", (route) => route.fulfill({ status: 404, body: "" }));
    await quiet.reload();
    await quiet.waitForFunction(() => /^The numbers of the neurons cannot be loaded: 404/.test(document.getElementById("count").textContent));
    await quiet.close();
  });

  ofPacked("if the site was built again, the page says so, and is right when it is loaded again", async () => {
    const other = gunzipSync(await readFile(`${process.env.PACKED}/tiny/explore/frequency.gz`));
    other[5] ^= 1; // its build
    const headers = [];
    page.on("response", (response) => response.url().endsWith("explore/index.json.gz") && headers.push(response));
    await page.route("**/explore/frequency.gz", (route) => route.fulfill({ body: other }));
    await page.goto(root + PAGE);
    await page.waitForSelector("#problem:not([hidden])");
    assert.equal(await page.textContent("#problem"), "The site was built again since this page was loaded. Load the page again");
    assert.equal(headers.length, 2, "the browser has the new header");
    await page.unroute("**/explore/frequency.gz");
    await Promise.all([page.waitForEvent("load"), page.click("#problem button")]);
    await shows(firstQuery(table));
    await settled();
    assert.equal(await page.isVisible("#problem"), false);
  });

  test("it fits a phone, and has no control without a name", async () => {
    await page.setViewportSize({ width: 360, height: 800 });
    for (const [where, query] of [[PAGE, ""], [PAGE, "?class=none&variance=..9&token=any:x&role=none"], ["tiny/2/explore.html", ""]]) {
      await open(query, where);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `${where}${query} is ${over} px too wide`);
    }
    await open();
    const tree = await page.locator("main").ariaSnapshot();
    for (const name of [`spinbutton "${label("kurtosis")}, at least"`, 'combobox "Sort by"', 'combobox "X axis"', 'checkbox "log"', 'searchbox "Token"', 'spinbutton "Rank"', 'application "The neurons by two measures"']) {
      assert.ok(tree.includes(name), `${name}\n${tree}`);
    }
    assert.ok(!/^\s*- (link|textbox|searchbox|checkbox|button|combobox|spinbutton)(:|$)/m.test(tree), tree);
  });

  test("without JavaScript the page says where the numbers are", async () => {
    const plain = await (await browser.newContext({ javaScriptEnabled: false })).newPage();
    listen(plain);
    for (const name of [PAGE, "tiny/1/explore.html"]) {
      await plain.goto(root + name);
      assert.ok((await plain.innerText("main")).includes("index.json"), name);
      assert.equal(await plain.isVisible("#explore"), false);
    }
    await plain.context().close();
  });
});
