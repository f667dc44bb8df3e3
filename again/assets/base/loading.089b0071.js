import { FILES, isPacked, packedName } from "./address.d2b61dda.js";
export class OtherBuild extends Error {}
export async function answer(address, options) {
const response = await fetch(address, options);
if (!response.ok) throw new Error(`${response.status} ${response.statusText}`.trim());
return response;
}
async function readPacked(folder, name) {
const [response, { dataOf }] = await Promise.all([answer(folder + packedName(name)), import("../read/pack.d904df39.js")]);
return dataOf(new Uint8Array(await response.arrayBuffer()));
}
export function reader(folder) {
const files = new Map();
const load = async (name) => {
try {
return isPacked(folder) && name !== FILES.index ? await readPacked(folder, name) : await (await answer(folder + name)).json();
} catch (cause) {
files.delete(name); // to be tried again
throw new Error(`${name} cannot be loaded: ${cause.message}`, { cause });
}
};
return (name) => files.get(name) ?? files.set(name, load(name)).get(name);
}
export function delayed(work, delay) {
let timer;
const cancel = () => {
clearTimeout(timer);
timer = undefined;
};
const begin = () => {
timer = undefined;
work();
};
return {
ask() {
cancel();
timer = setTimeout(begin, delay);
},
cancel,
isAsked: () => timer !== undefined,
};
}
export function turns() {
let latest;
return () => {
const own = (latest = {});
return () => own === latest;
};
}
