import { ask, asked, folderHere, siteHere, tokenPage, tokensPage } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { delayed, turns } from "../base/loading.089b0071.js";
import { neuronRow } from "../draw/rows.a01e4a57.js";
import { neuronAt, placesAt } from "../read/places.60f0d3b3.js";
import { count, visible } from "../read/tokens.7e7233e7.js";
import { summary, tokenNodes } from "../read/tokensearch.eb9adfe1.js";
import { find, hashOf, summaryOfWords } from "./find.ae006bb0.js";
const DELAY = 120; // ms without a key before a search
const TOKENS = 50;
const NEURONS = 100;
const folder = folderHere();
const site = siteHere();
const form = document.querySelector("form.find");
const input = document.getElementById("query");
const status = document.getElementById("count");
const contents = document.querySelector(".contents");
const results = document.getElementById("results");
const sections = Object.fromEntries(["places", "tokens", "neurons", "notes"].map((name) => [name, document.getElementById(`found-${name}`)]));
const pageTitle = document.title;
function fill(name, items) {
sections[name].querySelector("ul, ol").replaceChildren(...items);
sections[name].hidden = items.length === 0;
contents.querySelector(`[href="#found-${name}"]`).hidden = items.length === 0;
contents.hidden = contents.querySelectorAll("a:not([hidden])").length < 2;
}
const item = (href, ...children) => element("li", {}, element("a", { href }, ...children));
function draw(typed, answer) {
const { tokens, found, neurons, notes, d_mlp, lineOf } = answer;
document.getElementById("most").textContent = answer.most ?? "";
const alone = found.length === 1;
const row = (flat, more) => neuronRow({ flat, d_mlp, folder, lineOf, ...more });
const ofWord = ({ flat, fires, holds, first }) => row(flat, { hash: hashOf(first), ...(alone && { facts: [`${fires} of ${holds}`] }) });
fill("places", placesAt(site, typed).map(({ href, label }) => item(href, label)));
fill("tokens", tokens.tokens.map((token) => item(tokenPage(folder, token[0]), ...tokenNodes(token))));
fill("neurons", neurons.slice(0, NEURONS).map(ofWord));
fill("notes", notes.slice(0, NEURONS).map((flat) => row(flat)));
sections.neurons.querySelector(".hint").hidden = !alone;
const more = sections.tokens.querySelector(".button");
more.href = tokensPage(folder, typed);
more.hidden = tokens.n <= TOKENS && !(tokens.searched < tokens.of);
status.textContent = sayings(typed, answer).filter(Boolean).join(". ");
}
function sayings(typed, { query, tokens, error, notes, someNotes, ...words }) {
const [, , hasTokens] = site.models[site.current];
const n = notes.length;
return [
neuronAt(site, typed)?.error,
tokens.error?.message ?? (hasTokens && summary(tokens, query, TOKENS)),
error?.message ?? summaryOfWords(words, NEURONS),
n > 0 && `${someNotes ? "At least " : ""}${count(n)} ${n === 1 ? "neuron has" : "neurons have"} it in a note or an explanation`,
];
}
const searching = delayed(search, DELAY);
const turn = turns(); // an answer that a later one overtook is dropped
async function search() {
searching.cancel();
const isLatest = turn();
const typed = input.value;
ask({ q: typed });
document.title = typed === "" ? pageTitle : `${visible(typed)} · ${pageTitle}`;
results.ariaBusy = "true";
const answer = typed === "" ? undefined : await find(site, site.current, typed, TOKENS);
if (!isLatest()) return;
results.hidden = !answer;
if (answer) draw(typed, answer);
else status.textContent = "";
results.ariaBusy = "false";
}
function recall() {
const text = asked("q");
if (input.value === text) return;
input.value = text;
search();
}
form.addEventListener("submit", (event) => {
event.preventDefault();
const { href } = neuronAt(site, input.value) ?? {};
if (href) location.href = href;
else search();
});
input.addEventListener("input", searching.ask);
addEventListener("popstate", () => searching.isAsked() || recall());
form.hidden = false;
recall();
if (input.value === "") input.focus();
