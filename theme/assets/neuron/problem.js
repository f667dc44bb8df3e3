// What is said in the place of something that could not be loaded.

import { element } from "../base/dom.js";
import { OtherBuild } from "../base/loading.js";

/** Says why something is not in its place, and offers what helps. */
export function sayProblem(place, error) {
  const again = element("button", { type: "button", click: () => location.reload() }, "Load the page again");
  const words = error instanceof OtherBuild ? "The site was built again since this page was loaded." : `This cannot be shown: ${error.message}.`;
  const say = element(place.matches("ol, ul") ? "li" : "p", { class: "problem", role: "alert" }, words, " ", again);
  place.replaceChildren(say);
}
