// The neuron that a page shows which does not embed its record: opened by shown.js, drawn by page.js.

export const opened = { neuron: undefined };
