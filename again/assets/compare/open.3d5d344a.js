import { FILES, isPacked, neuronPage } from "../base/address.d2b61dda.js";
import { answer } from "../base/loading.089b0071.js";
import { embedded } from "../read/record.910d1125.js";
export async function openNeuron(folder, { layer, neuron }) {
if (isPacked(folder)) return (await import("./packed.94158b34.js")).openPacked(folder, { layer, neuron });
const html = await (await answer(neuronPage(folder, layer, neuron))).text();
const page = new DOMParser().parseFromString(html, "text/html");
const opened = page.getElementById("neuron") ? embedded(page) : { record: await (await answer(folder + FILES.neuron(layer, neuron))).json() };
return { ...opened, page };
}
