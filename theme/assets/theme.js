// Runs before the page is drawn, so that a chosen mode does not flash.
(function () {
  try {
    const mode = localStorage.getItem("neuroscope-mode");
    if (mode === "dark" || mode === "light") document.documentElement.dataset.mode = mode;
  } catch {
    // storage may be forbidden; the system's mode holds then
  }
})();
