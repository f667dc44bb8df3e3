export const opened = { neuron: undefined };
