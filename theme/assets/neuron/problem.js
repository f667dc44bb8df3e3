// What is said in the place of something that could not be loaded.

import { element } from "../base/dom.js";
import { OtherBuild } from "../base/loading.js";

/** Says why something is not in its place, or `after` what is there already, and offers what helps. */
export function sayProblem(place, error, { after = false } = {}) {
  const again = element("button", { type: "button", click: () => location.reload() }, "Load the page again");
  const words = error instanceof OtherBuild ? "The site was built again since this page was loaded." : `This cannot be shown: ${error.message}.`;
  const said = element("p", { class: "problem", role: !place.matches("[role=alert]") && "alert" }, words, " ", again);
  const node = place.matches("ol") ? element("li", { class: "failed" }, said) : said;
  place.querySelector(".failed")?.remove();
  if (after) place.append(node);
  else place.replaceChildren(node);
}
