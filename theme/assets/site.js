// What every page has: the box for searching, keys, dark and light.

const { root } = document.body.dataset;
const models = JSON.parse(document.getElementById("models").textContent);
const form = document.querySelector("form.goto");
const input = document.getElementById("goto");
const output = document.getElementById("goto-error");

// the search itself is loaded when someone comes to the box
let loading;
function search() {
  const failed = () => {
    loading = undefined; // to be tried again
    output.value = "the search cannot be loaded";
  };
  loading ??= import("./searchbox.js").catch(failed);
  return loading;
}
form.hidden = Object.keys(models).length === 0;
input.addEventListener("focus", search);
input.addEventListener("input", () => (output.value = ""));
input.addEventListener("keydown", (event) => event.key === "Escape" && input.ariaExpanded !== "true" && input.blur());
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  (await search())?.submit();
});

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

// single keys are in the way of those who speak to their computer
const keys = document.querySelector("button.keys");
let keysAreOn = true;
function setKeys(on) {
  keysAreOn = on;
  if (keys) keys.textContent = `Turn keys ${on ? "off" : "on"}`;
}
try {
  setKeys(localStorage.getItem("neuroscope-keys") !== "off");
} catch {
  // forbidden: they are on
}
if (keys) keys.hidden = false;
keys?.addEventListener("click", () => {
  setKeys(!keysAreOn);
  try {
    localStorage.setItem("neuroscope-keys", keysAreOn ? "on" : "off");
  } catch {
    // forbidden: the choice holds for this page only
  }
});

const follow = (rel) => document.querySelector(`main a[rel="${rel}"]`)?.click();
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog, .scroll");
  if (!keysAreOn || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing) return;
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
