(function () {
const { documentElement: html } = document;
try {
const mode = localStorage.getItem("neuroscope-mode");
if (mode === "dark" || mode === "light") html.dataset.mode = mode;
} catch {
}
if (location.protocol !== "file:") return;
html.dataset.file = "";
document.addEventListener("DOMContentLoaded", () => {
const notice = document.createElement("p");
notice.className = "notice";
notice.textContent = "Opened as a file: browsers do not run this page's scripts, so search, tabs and plots are missing. Open it from a web server, such as `neuroscope serve`, to see them.";
document.querySelector("main").prepend(notice);
});
})();
