import { recall, remember } from "./settings.490f4ba3.js";
const form = document.querySelector("form.goto");
const input = document.getElementById("goto");
const output = document.getElementById("goto-error");
const random = () => document.body.dataset.random; // of the page's model or of the first, if there is one
let loading;
function search() {
const failed = () => {
loading = undefined; // to be tried again
output.value = "the search cannot be loaded";
};
loading ??= import("../search/box.e89bd361.js").catch(failed);
return loading;
}
form.hidden = random() === undefined;
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
remember("mode", html.dataset.mode);
});
const keys = document.querySelector("button.keys");
let keysAreOn = true;
function setKeys(on) {
keysAreOn = on;
if (keys) keys.textContent = `Turn keys ${on ? "off" : "on"}`;
}
setKeys(recall("keys") !== "off");
if (keys) keys.hidden = false;
keys?.addEventListener("click", () => {
setKeys(!keysAreOn);
remember("keys", keysAreOn ? "on" : "off");
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
else if (event.key === "r" && random()) location.href = random();
});
