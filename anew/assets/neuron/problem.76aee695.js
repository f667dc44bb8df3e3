import { element } from "../base/dom.951b2e7b.js";
import { OtherBuild } from "../base/loading.089b0071.js";
export function sayProblem(place, error, { after = false } = {}) {
const again = element("button", { type: "button", click: () => location.reload() }, "Load the page again");
const words = error instanceof OtherBuild ? "The site was built again since this page was loaded." : `This cannot be shown: ${error.message}.`;
const said = element("p", { class: "problem", role: !place.matches("[role=alert]") && "alert" }, words, " ", again);
const node = place.matches("ol") ? element("li", { class: "failed" }, said) : said;
place.querySelector(".failed")?.remove();
if (after) place.append(node);
else place.replaceChildren(node);
}
