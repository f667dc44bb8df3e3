import { FILES } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { number, visible } from "./tokens.7e7233e7.js";
export function linesOf(read) {
const index = read(FILES.index);
index.catch(() => {}); // said of the line that is asked for
return async (flat) => {
const { lines_per_file } = await read(FILES.index);
const first = flat - (flat % lines_per_file);
const { lines } = await read(FILES.lines(first));
return lines[flat - first];
};
}
export async function aboutNeuron(coming) {
const line = await coming.catch(() => null); // a tip that cannot be loaded is none
const does = doesOf(line);
return does.length > 0 ? [element("span", {}, ...does)] : line ? [`${number(line[0])} on “${visible(line[2])}”`] : [];
}
export function doesOf(line) {
const [, , , , said, automatic] = line ?? [];
if (said) return [element("bdi", {}, visible(said))];
return automatic ? [element("bdi", {}, visible(automatic)), " ", element("small", { class: "automatic" }, "automatic")] : [];
}
