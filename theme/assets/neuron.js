// The examples of a neuron as heat maps, from the record that the page embeds.

import { number, shade, shown } from "./tokens.js";

const record = JSON.parse(document.getElementById("neuron").textContent);
const root = document.body.dataset.root;
let max = 0; // one colour scale per neuron
for (const list of Object.values(record.examples)) {
  for (const { values } of list) for (const value of values) max = Math.max(max, Math.abs(value ?? 0));
}

const element = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
};

/** Tokens as spans; `values` may be missing. What a span is about is kept beside it for the tooltip. */
const about = new WeakMap();
function heat({ tokens, ids, values, bytes, start = 0, peak, context_starts = [] }) {
  const line = element("p", { class: "tokens", dir: "ltr" });
  const starts = new Set(context_starts);
  shown(tokens, bytes).forEach(({ text, piece }, i) => {
    const value = values ? values[i] : undefined;
    const names = ["t", value === undefined ? "" : shade(value, max)];
    if (piece) names.push("piece");
    if (i === peak) names.push("peak");
    if (starts.has(i)) names.push("start");
    const span = element("bdi", { class: names.filter(Boolean).join(" ") }, text);
    if (values) span.tabIndex = i === peak ? 0 : -1;
    about.set(span, { token: tokens[i], id: ids[i], value, position: start + i, piece, bytes: bytes?.[i], begins: starts.has(i) });
    line.append(span);
    if (!values && tokens[i].includes("\n")) line.append(element("br"));
  });
  return line;
}

function item(example, list, index) {
  const show = element("button", { type: "button", class: "document" }, "document");
  show.addEventListener("click", () => showDocument(example));
  const meta = element("p", { class: "meta" },
    element("span", { class: "value" }, number(example.value)), " ",
    element("span", { class: "source" }, example.source), " ", show);
  if (example.hook_post !== undefined) meta.querySelector(".value").after(" ", element("span", { class: "source" }, `hook_post ${number(example.hook_post)}`));
  if (example.duplicates > 0) {
    const n = example.duplicates;
    meta.append(" ", element("span", { class: "duplicates", title: "other documents with the same 8 tokens up to the peak" }, `and ${n}${n >= 255 ? "+" : ""} like it`));
  }
  return element("li", { id: `${list}-${index + 1}` }, meta, heat(example));
}

function render(section) {
  const examples = record.examples[section.dataset.list] ?? [];
  section.querySelector("ol").replaceChildren(...examples.map((example, i) => item(example, section.id, i)));
}

const sections = [...document.querySelectorAll("section.list")];
sections.slice(0, 1).forEach(render);
// the lists further down are drawn when they come near
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    render(target);
  }
}, { rootMargin: "1500px" });
sections.slice(1).forEach((section) => near.observe(section));
document.querySelector(".legend")?.removeAttribute("hidden");

// an address may point to an example of a list that is not drawn yet
function follow() {
  const [, id] = /^#(.+)-\d+$/.exec(location.hash) ?? [];
  const section = sections.find((section) => section.id === id);
  if (!section) return;
  near.unobserve(section);
  render(section);
  document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" });
}
addEventListener("hashchange", follow);
follow();

// value, id and position of the token under the pointer or the focus
const tip = element("div", { id: "tip", role: "tooltip", hidden: "" });
document.body.append(tip);
function point(span) {
  const of = about.get(span);
  if (!of) return;
  const lines = [
    `“${of.token.replaceAll("\n", "\\n").replaceAll("\t", "\\t")}”`,
    `id ${of.id} · position ${of.position}`,
  ];
  if (of.value !== undefined) lines.unshift(of.value === null ? "not a finite number" : String(Number(of.value.toPrecision(5))));
  if (of.bytes) lines.push(`bytes ${of.bytes}${of.piece ? ", part of the character before" : ""}`);
  if (of.begins) lines.push("the model's context begins here");
  tip.replaceChildren(...lines.map((line) => element("div", {}, line)));
  tip.hidden = false;
  const box = span.getClientRects()[0] ?? span.getBoundingClientRect();
  const left = Math.max(4, Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 4));
  const above = box.top - tip.offsetHeight - 6;
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${(above > 4 ? above : box.bottom + 6) + scrollY}px`;
  (span.closest("dialog") ?? document.body).append(tip);
  span.setAttribute("aria-describedby", "tip");
}
const leave = () => (tip.hidden = true);
document.addEventListener("pointerover", (event) => (about.has(event.target) ? point(event.target) : leave()));
document.addEventListener("focusin", (event) => about.has(event.target) && point(event.target));
document.addEventListener("focusout", leave);

// within an example the arrows go from token to token
document.addEventListener("keydown", (event) => {
  if (!about.has(event.target) || !["ArrowLeft", "ArrowRight", "Home", "End", "Escape"].includes(event.key)) return;
  event.preventDefault();
  const line = [...event.target.parentElement.querySelectorAll("bdi")];
  const at = line.indexOf(event.target);
  if (event.key === "Escape") return event.target.blur();
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: line.length - 1 }[event.key];
  if (!line[to]) return;
  event.target.tabIndex = -1;
  line[to].tabIndex = 0;
  line[to].focus();
}, true);

// the whole document of an example, on demand
const dialog = element("dialog", { class: "whole", "aria-labelledby": "whole-title" });
document.body.append(dialog);
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
let index;
const files = new Map();
async function load(name) {
  const response = await fetch(`${root}${record.model}/docs/${name}`);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return response.json();
}
async function documentOf(doc) {
  index ??= await load("index.json");
  let first = index.starts[0];
  for (const start of index.starts) if (start <= doc) first = start;
  const name = `${String(first).padStart(6, "0")}.json`;
  if (!files.has(name)) files.set(name, await load(name));
  return files.get(name).documents[doc - first];
}
async function showDocument(example) {
  const close = element("button", { type: "button", class: "close" }, "Close");
  close.addEventListener("click", () => dialog.close());
  const title = element("h2", { id: "whole-title" }, `Document ${example.doc}`);
  const body = element("div", { class: "body", tabindex: "0" }, element("p", {}, "Loading…"));
  dialog.replaceChildren(element("header", {}, title, close), body);
  dialog.showModal();
  try {
    const document_ = await documentOf(example.doc);
    title.textContent = document_.id;
    const meta = element("p", { class: "meta" }, `${document_.source}${document_.license ? ` · ${document_.license}` : ""} · ${document_.tokens.length} tokens`);
    const text = heat(document_);
    const spans = text.querySelectorAll("bdi");
    example.values.forEach((value, i) => {
      const span = spans[example.start + i];
      const name = shade(value, max);
      if (name) span.classList.add(name);
      span.classList.toggle("peak", i === example.peak);
      about.get(span).value = value;
    });
    body.replaceChildren(meta, text);
    spans[example.start + example.peak]?.scrollIntoView({ block: "center" });
  } catch (error) {
    body.replaceChildren(element("p", {}, `The document cannot be loaded: ${error.message}`));
  }
}
