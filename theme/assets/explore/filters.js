// The form of filters of the page on which neurons are explored. Each control reads a part of the query, and writes it.

import { element, shape } from "../base/dom.js";
import { count, number } from "../read/tokens.js";
import { axisOf } from "./axis.js";
import { NONE, usual } from "./query.js";
import { calledOf, codeRange, countsOf, extentOf, ofKind, valueOf } from "./table.js";

const BARS = 64;
const SHORT = 10; // letters of a flag that stands beside another
const LAYER = { name: "layer", label: "Layer" };

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** Columns as options of a select, by group. */
export function columnOptions(columns) {
  const groups = [...new Set(columns.map((column) => column.group))];
  return groups.map((group) => {
    const options = columns.filter((column) => column.group === group).map(({ name, label }) => new Option(label, name));
    return element("optgroup", { label: capital(group ?? "other") }, ...options);
  });
}

// shares are read and written in per cent
const factor = ({ unit }) => (unit === "share" ? 100 : 1);
const tidy = (value) => Number(value.toPrecision(12));
const toInput = (column, value) => (value === null ? "" : String(tidy(value * factor(column))));
const fromInput = (column, text) => (text === "" ? null : tidy(Number(text) / factor(column)));

/** A drawing of how a column's values are distributed among the neurons of a span, empty until the column is loaded; `show` brings out those of a range. */
function barsOf(column, span) {
  const within = shape("path", { class: "positive" });
  const all = shape("path", { class: "null" });
  const node = shape("svg", { class: "plot", viewBox: `0 0 ${BARS} 20`, preserveAspectRatio: "none", "aria-hidden": "true" }, all, within);
  let barsIn;
  return {
    node,
    show(range) {
      if (!column.codes) return;
      if (!barsIn) {
        barsIn = countedBars(column, span);
        all.setAttribute("d", barsIn([null, null]));
      }
      within.setAttribute("d", barsIn(range));
    },
  };
}

/** What draws the bars of a range of a column, on a logarithmic scale. */
function countedBars(column, [from, until]) {
  const axis = axisOf(column, "log");
  const barOf = (code) => Math.floor(axis.place(valueOf(column, code)) * BARS);
  const counts = new Uint32Array(BARS);
  countsOf(column.codes.subarray(from, until), extentOf(column)[1]).forEach((n, code) => code > 0 && n > 0 && (counts[barOf(code)] += n));
  const highest = Math.max(...counts, 1);
  const bar = (n, at) => (n === 0 ? "" : `M${at} 20V${(20 - Math.max(0.7, (19 * n) / highest)).toFixed(1)}h.85V20Z`);
  const path = (first, last) => Array.from(counts, (n, at) => (at < first || at > last ? "" : bar(n, at))).join("");
  return (range) => {
    const [first, last] = codeRange(column, range);
    return first > last ? "" : path(barOf(first), barOf(last));
  };
}

/** Inputs for the ends of a range, of which `extent` says how far they can be apart; it stays if there is no `remove`. */
function rangeControl({ column, extent, bars, remove }) {
  const share = column.unit === "share";
  const input = (end, at) => element("input", {
    type: "number", step: "any", inputmode: "decimal", placeholder: extent[at],
    "aria-label": `${column.label}, ${end}${share ? ", per cent" : ""}`,
  });
  const inputs = ["at least", "at most"].map(input);
  const written = () => inputs.map(({ value }) => fromInput(column, value));
  const node = element("div", { class: remove ? "range" : "range short", role: "group", "aria-label": column.label },
    element("span", { class: "name", title: column.definition }, column.label, share ? " (%)" : ""),
    inputs[0], element("span", { class: "to" }, "to"), inputs[1]);
  if (bars) node.append(bars.node);
  if (remove) node.append(element("button", { type: "button", class: "remove", "aria-label": `Remove the filter ${column.label}`, click: remove }, "×"));
  return {
    node,
    read() {
      const range = written();
      bars?.show(range);
      return range.some((end) => end !== null) ? range : undefined;
    },
    write(range = [null, null]) {
      inputs.forEach((end, at) => (end.value = toInput(column, range[at])));
      bars?.show(range);
    },
    draw: () => bars?.show(written()),
    focus: () => inputs[0].focus(),
  };
}

/** Checkboxes for the categories of a column, folded away while none is chosen. */
function facetControl(column) {
  const boxes = [...column.categories, NONE].map((value) => element("input", { type: "checkbox", value }));
  const counts = boxes.map(() => element("span", { class: "num" }));
  const chosen = element("span", { class: "chosen" });
  const labels = boxes.map((box, i) => element("label", {}, box, element("span", {}, box.value), counts[i]));
  const node = element("details", { class: "facet" },
    element("summary", { title: column.definition }, column.label, " ", chosen),
    element("div", { role: "group", "aria-label": column.label }, ...labels));
  const names = () => boxes.filter((box) => box.checked).map((box) => box.value);
  return {
    node,
    read() {
      chosen.textContent = names().join(", ");
      return names().length > 0 ? names() : undefined;
    },
    write(wanted = []) {
      for (const box of boxes) box.checked = wanted.includes(box.value);
      chosen.textContent = names().join(", ");
      node.open = wanted.length > 0;
    },
    /** Writes how many neurons have each of the column's codes. */
    tally(of) {
      counts.forEach((label, i) => (label.textContent = count(of[(i + 1) % of.length]))); // none stands last, and has the code 0
    },
  };
}

function flagControl(name) {
  const select = element("select", {}, new Option("any", ""), new Option("yes"), new Option("no"));
  return {
    node: element("label", { class: calledOf(name).length > SHORT && "long" }, capital(calledOf(name)), " ", select),
    read: () => (select.value === "" ? undefined : select.value === "yes"),
    write: (wanted) => (select.value = wanted === undefined ? "" : wanted ? "yes" : "no"),
  };
}

function rankControl(part) {
  const [best, within] = part.querySelectorAll("input, select");
  return {
    read: () => (best.valueAsNumber >= 1 ? { best: Math.floor(best.valueAsNumber), within: within.value } : null),
    write(rank) {
      best.value = rank?.best ?? "";
      within.value = rank?.within ?? "model";
    },
  };
}

function tokenControl(part, columns) {
  const [of, text] = part.querySelectorAll("select, input");
  part.hidden = columns.length === 0;
  of.replaceChildren(new Option("any of them", "any"), ...columns.map(({ name, label }) => new Option(label, name)));
  return {
    read: () => (text.value === "" ? null : { of: of.value, text: text.value }),
    write(token) {
      text.value = token?.text ?? "";
      of.value = token?.of ?? "any";
    },
  };
}

const controlsOf = (names, control) => new Map(names.map((name) => [name, control(name)]));
const readAll = (controls) => Object.fromEntries([...controls].map(([name, control]) => [name, control.read()]).filter(([, part]) => part !== undefined));
const writeAll = (controls, parts) => controls.forEach((control, name) => control.write(parts[name]));

/** The filters of a table, for the neurons of flat indices `span`; `changed` is called when a reader has changed one. */
export class FilterForm {
  #table;
  #span;
  #changed;
  #part;
  #ranges = new Map();
  #facets;
  #flags;
  #rank;
  #token;

  constructor(form, table, span, changed) {
    [this.#table, this.#span, this.#changed] = [table, span, changed];
    this.#part = (name) => form.querySelector(`[data-part="${name}"]`);
    this.#facets = controlsOf(ofKind(table, "category").map(({ name }) => name), (name) => facetControl(table.byName.get(name)));
    this.#flags = controlsOf(ofKind(table, "flags").flatMap(({ flags }) => flags), flagControl);
    this.#rank = rankControl(this.#part("rank"));
    this.#token = tokenControl(this.#part("token"), ofKind(table, "token"));
    this.#part("categories").append(...Array.from(this.#facets.values(), ({ node }) => node));
    this.#part("flags").append(...Array.from(this.#flags.values(), ({ node }) => node));
    this.#addLayers();
    this.clear();
    this.#part("add").querySelector("button").addEventListener("click", () => {
      const { value } = this.#addable;
      this.#add(value);
      this.#ranges.get(value).focus();
    });
    form.addEventListener("input", ({ target }) => target === this.#addable || changed());
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** The part of a query that the form holds. */
  read() {
    return {
      ranges: readAll(this.#ranges), categories: readAll(this.#facets), flags: readAll(this.#flags),
      rank: this.#rank.read(), token: this.#token.read(),
    };
  }

  /** Puts a query into the form. */
  write(query) {
    for (const name of Object.keys(query.ranges)) if (this.#table.byName.has(name)) this.#add(name);
    writeAll(this.#ranges, query.ranges);
    writeAll(this.#facets, query.categories);
    writeAll(this.#flags, query.flags);
    this.#rank.write(query.rank);
    this.#token.write(query.token);
  }

  /** Leaves only the ranges that are usual. */
  clear() {
    const names = usual(this.#table);
    for (const name of this.#ranges.keys()) if (name !== LAYER.name && !names.includes(name)) this.#drop(name);
    for (const name of names) this.#add(name);
    this.#listAddable();
  }

  /** What it needs of columns to show how their values are distributed, and to count the categories that are in sight. */
  needs() {
    const ranges = Array.from(this.#ranges.keys(), (name) => this.#table.byName.get(name)).filter(Boolean);
    const facets = [...this.#facets].filter(([, { node }]) => node.open).map(([name]) => this.#table.byName.get(name));
    return [...ranges, ...facets].map((column) => [column, "codes"]);
  }

  /** Draws how the values of columns are distributed that have come by now. */
  draw() {
    for (const control of this.#ranges.values()) control.draw();
  }

  /** Calls `tallied` when categories are unfolded, which is when they want to be counted. */
  whenUnfolded(tallied) {
    for (const { node } of this.#facets.values()) node.addEventListener("toggle", tallied);
  }

  /** Writes how many neurons have each category that is in sight; `counts(column)` answers it by code. */
  tally(counts) {
    for (const [name, facet] of this.#facets) {
      const column = this.#table.byName.get(name);
      if (facet.node.open && column.codes) facet.tally(counts(column));
    }
  }

  // ranges come and go

  get #addable() {
    return this.#part("add").querySelector("select");
  }

  #addLayers() {
    const part = this.#part("layer");
    if (!part) return;
    const control = rangeControl({ column: LAYER, extent: [0, this.#table.n_layers - 1] });
    part.append(control.node);
    this.#ranges.set(LAYER.name, control);
  }

  #add(name) {
    if (this.#ranges.has(name)) return;
    const column = this.#table.byName.get(name);
    const remove = () => {
      this.#drop(name);
      this.#addable.focus();
      this.#changed();
    };
    const extent = extentOf(column).map((code) => number(valueOf(column, code) * factor(column)));
    const control = rangeControl({ column, extent, bars: barsOf(column, this.#span), remove });
    this.#part("ranges").append(control.node);
    this.#ranges.set(name, control);
    control.write();
    this.#listAddable();
  }

  #drop(name) {
    this.#ranges.get(name).node.remove();
    this.#ranges.delete(name);
    this.#listAddable();
  }

  #listAddable() {
    const others = ofKind(this.#table, "number").filter(({ name }) => !this.#ranges.has(name));
    this.#addable.replaceChildren(...columnOptions(others));
    this.#part("add").hidden = others.length === 0;
  }
}
