const LISTS = { positive: "top", negative: "bottom" };
const SIGNS = { positive: "+", negative: "−" };
const OTHER = { positive: "negative", negative: "positive" };
export const listOf = (side) => LISTS[side];
export const signOf = (side) => SIGNS[side];
export function sidesOf({ side, stats: { count, min, max } }) {
const main = side?.name ?? (count > 0 && -min > max ? "negative" : "positive");
return side?.both ? [main, OTHER[main]] : [main];
}
export function sideOf({ sides: [main], examples }, list) {
const named = Object.keys(LISTS).find((side) => LISTS[side] === list);
if (named) return named;
const [first] = list.startsWith("gate") ? examples.list(list) : [];
return first === undefined || first.value === 0 ? main : first.value < 0 ? "negative" : "positive";
}
