// How long the explore page takes to filter and to sort the neurons of a large model. By hand: other programs disturb it.
// usage: node speed.js
// It fails if the bar is missed.
import { kept, parseTable, pick, ranking } from "../../theme/assets/explore/table.js";
import { parse, firstQuery } from "../../theme/assets/explore/query.js";
import { numberColumn, packed, someColumns, times } from "./tables.js";

const BAR = 100; // ms
const [LAYERS, D_MLP] = [32, 10_938]; // 350,016 neurons
const QUERIES = ["kurtosis=0..", "kurtosis=0..&frequency=..5&variance=-1..9&max=0.1..", "class=weakening,none&dead=no&rank=layer:500", "kurtosis=-1..&frequency=..9&class=weakening,none&dead=no&token=any:mon&rank=200000&layer=3..20"];

const n = LAYERS * D_MLP;
const more = ["variance", "max", "min", "range"].map((name) => numberColumn(name, n));
const table = parseTable(packed({ n_layers: LAYERS, d_mlp: D_MLP }, [...more, ...someColumns(n)]));
const whole = firstQuery(table);
const ranks = ranking(table, whole.sort);

function took(name, work) {
  const each = times(7, () => {
    const from = performance.now();
    work();
    return performance.now() - from;
  });
  const median = each.sort((a, b) => a - b)[3];
  console.log(`${name}: ${median.toFixed(1)} ms`);
  if (median > BAR) process.exitCode = 1;
}

took(`order of ${n} neurons, equal ones by rank`, () => ranking(table, whole.sort));
took("order of them, equal ones by index", () => ranking(table, { by: "max", descending: true }));
for (const words of QUERIES) {
  const query = parse(`?${words}`, table);
  took(`?${words}`, () => pick(ranks.order, kept(table, query, ranks)));
}
