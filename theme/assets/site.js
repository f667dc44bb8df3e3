// What every page has: going to a neuron, keys, dark and light.

const root = document.body.dataset.root;
const models = JSON.parse(document.getElementById("models").textContent);

/** Where `layer.neuron`, `model/layer.neuron` or `L2N17` leads: an address, or what is wrong. */
export function resolve(text, current = document.body.dataset.model) {
  const names = Object.keys(models);
  const match = /^\s*(?:(\S+?)[\s/:]+)?[lL]?(\d+)\s*[./,nN\s]\s*[nN]?(\d+)\s*$/.exec(text);
  if (!match) return { error: "write layer.neuron, such as 2.17" };
  const model = match[1] ?? current ?? (names.length === 1 ? names[0] : undefined);
  if (!Object.hasOwn(models, model ?? "")) {
    return { error: model ? `there is no model ${model}` : "write model/layer.neuron" };
  }
  const [layers, neurons] = models[model];
  const [layer, neuron] = [Number(match[2]), Number(match[3])];
  if (layer >= layers) return { error: `${model} has layers 0 to ${layers - 1}` };
  if (neuron >= neurons) return { error: `layers of ${model} have neurons 0 to ${neurons - 1}` };
  return { href: `${root}${encodeURIComponent(model)}/${layer}/${neuron}.html` };
}

const form = document.querySelector("form.goto");
const input = document.getElementById("goto");
const output = document.getElementById("goto-error");
form.hidden = false;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { href, error } = resolve(input.value);
  output.value = error ?? "";
  if (href) location.href = href;
});
input.addEventListener("input", () => (output.value = ""));

const mode = document.querySelector("button.mode");
mode.hidden = false;
mode.addEventListener("click", () => {
  const html = document.documentElement;
  const dark = html.dataset.mode ? html.dataset.mode === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  html.dataset.mode = dark ? "light" : "dark";
  try {
    localStorage.setItem("neuroscope-mode", html.dataset.mode);
  } catch {
    // forbidden: the choice holds for this page only
  }
});

const follow = (rel) => document.querySelector(`main a[rel="${rel}"]`)?.click();
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog");
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing) return;
  if (event.key === "/") {
    event.preventDefault();
    input.focus();
    input.select();
  } else if (event.key === "ArrowLeft") follow("prev");
  else if (event.key === "ArrowRight") follow("next");
  else if (event.key === "r") {
    const model = document.body.dataset.model ?? Object.keys(models)[0];
    if (model) location.href = `${root}${model}/random.html`;
  }
});
input.addEventListener("keydown", (event) => event.key === "Escape" && input.blur());
