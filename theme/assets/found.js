// What the box and the page of the search share: the site they are in, and how a result is shown.

import { element } from "./dom.js";
import { tokenText } from "./tokens.js";

const { root, model: current } = document.body.dataset;

/** The site as search.js wants it. */
export const site = { models: JSON.parse(document.getElementById("models").textContent), root, current };
export const several = Object.keys(site.models).length > 1;

/** A token with its id, or the id alone. */
export const tokenNodes = ([id, text]) =>
  text === undefined ? [`#${id}`] : [element("span", { class: "token" }, tokenText(text)), " ", element("small", {}, `#${id}`)];
