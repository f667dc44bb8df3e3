// The sides on which a neuron speaks: positive, whose examples are the list "top", and negative, whose are "bottom".

const LISTS = { positive: "top", negative: "bottom" };
const SIGNS = { positive: "+", negative: "−" };
const OTHER = { positive: "negative", negative: "positive" };

export const listOf = (side) => LISTS[side];
export const signOf = (side) => SIGNS[side];

/** The sides on which a neuron speaks, the dominant one first; where its record does not say, that of the value of largest magnitude. */
export function sidesOf({ side, stats: { count, min, max } }) {
  const main = side?.name ?? (count > 0 && -min > max ? "negative" : "positive");
  return side?.both ? [main, OTHER[main]] : [main];
}

/** The side that a list of examples is of: of a sign case that of its values, of any other list the one that dominates. */
export function sideOf({ sides: [main], examples }, list) {
  const named = Object.keys(LISTS).find((side) => LISTS[side] === list);
  if (named) return named;
  const [first] = list.startsWith("gate") ? examples.list(list) : [];
  return first === undefined || first.value === 0 ? main : first.value < 0 ? "negative" : "positive";
}
