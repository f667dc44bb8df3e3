import { modelPage } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { FACTS } from "../read/facts.72ef62be.js";
import { sidesOf, signOf } from "../read/sides.a05f4853.js";
import { count, measured, number, visible } from "../read/tokens.7e7233e7.js";
const STARTS = { dominant: "fires at starts", either: "weaker side fires at starts" };
const link = (folder, id, text, attributes = {}) => element("a", { ...attributes, href: modelPage(folder, `#${id}`) }, text);
function tagsOf({ at_starts, at_starts_either, weights }, folder) {
const tag = (id, text) => link(folder, id, text, { class: "tag" });
const starts = at_starts ? STARTS.dominant : at_starts_either ? STARTS.either : undefined;
const { class: of, role } = weights ?? {};
return [
...(starts ? [tag("at_starts", starts)] : []),
...(of && !of.typical ? [tag("typical", "atypical")] : []),
...(of ? [tag(`class-${of.name.replaceAll(" ", "-")}`, of.name)] : []),
...(role ? [tag(`role-${role}`, `${role} neuron`)] : []),
];
}
function ofScan({ stats, interest }, key) {
const of = interest[key] ?? stats[key];
return of !== null && typeof of === "object" ? of.value : of;
}
function cardsOf(record, folder) {
const facts = [...FACTS.filter(({ group, ranked }) => group !== "weights" && !ranked), ...FACTS.filter(({ ranked }) => ranked)];
const place = (rank, n) => `#${count(rank)} of ${count(n)}`;
return facts.map(({ key, label, unit }) => {
const value = ofScan(record, key);
const { rank_in_layer: inLayer, n_in_layer, rank_in_model: inModel, n_in_model } = record.interest[key] ?? {};
const ranks = inLayer ? [element("small", {}, place(inLayer, n_in_layer)), element("small", { class: "in-model" }, `${place(inModel, n_in_model)} in model`)] : [];
return element("div", { class: "card" }, element("dt", {}, link(folder, key, label)), element("dd", {}, element("b", {}, measured(value, unit)), ...ranks));
});
}
function linesOf(record, folder) {
const sides = record.side && record.lines ? sidesOf(record) : [];
return sides.filter((side) => record.lines[side]).map((side) => element("p", { class: "automatic" },
element("span", { class: "sign" }, `(${signOf(side)})`), " ", element("bdi", {}, visible(record.lines[side])), " ", link(folder, "lines", "automatic")));
}
export function fill(page, record, folder) {
const find = (selector) => page.querySelector(selector);
const { layer, neuron, stats, model } = record;
const id = find("h1 .id");
if (id) id.textContent = `${layer}.${neuron}`;
find(".kind")?.before(...linesOf(record, folder));
find(".tags")?.replaceChildren(...tagsOf(record, folder).flatMap((tag) => [tag, " "]));
find(".cards")?.replaceChildren(...cardsOf(record, folder));
for (const flag of page.querySelectorAll("[data-flag]")) flag.hidden = !stats[flag.dataset.flag];
if (stats.not_finite) find(".kind p")?.append(" ", element("strong", { class: "flag" }, `${count(stats.not_finite)} positions left out: not a finite number`));
const { hook_post: post } = stats;
if (post?.count > 0) find(".cards")?.before(element("p", { class: "hint" }, `hook_post: max ${number(post.max)}, min ${number(post.min)}, mean ${number(post.mean)}`));
const compare = find(".compare");
if (compare) compare.href = compare.getAttribute("href").replace(/[^/]*$/, neuron);
const site = find(".actions")?.dataset.site;
page.title = `${model} ${layer}.${neuron}${site ? ` · ${site}` : ""}`;
}
