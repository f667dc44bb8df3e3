import { shownPage } from "../base/address.d2b61dda.js";
import { answer } from "../base/loading.089b0071.js";
import { fill } from "../neuron/fill.0882e3ec.js";
import { askModel } from "../read/packed.6836f462.js";
export async function openPacked(folder, { layer, neuron }) {
const html = answer(shownPage(folder, layer)).then((response) => response.text());
const opened = await askModel(folder, (model) => model.neuron(layer, neuron));
const page = new DOMParser().parseFromString(await html, "text/html");
fill(page, opened.record, folder);
return { ...opened, page };
}
