// Goes to a neuron of the model, or of the layer, drawn at random.

const { root, model, layer } = document.body.dataset;
const [layers, neurons] = JSON.parse(document.getElementById("models").textContent)[model];
const draw = (n) => Math.floor(Math.random() * n);
location.replace(`${root}${model}/${layer ?? draw(layers)}/${draw(neurons)}.html`);
