// What scrolls sideways can be scrolled by keyboard too.
function reachable() {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .cell_output .output")) {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", "scrolls sideways");
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
    }
  }
}

// Names that the theme and ipywidgets leave out.
function named() {
  for (const caption of document.querySelectorAll(".caption[role=heading]:not([aria-level])")) caption.ariaLevel = "2";
  for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
    // A slider without a label of its own goes with the number beside it, which has one.
    const slider = handle.closest(".widget-slider");
    const names = [slider, slider?.previousElementSibling].map((each) => each?.querySelector(".widget-label")?.textContent);
    const name = names.find((each) => each?.trim());
    if (name) handle.ariaLabel = name;
  }
}

// In a narrow window the two lists are behind labels, which the theme gives to mice and fingers only.
function opened() {
  const texts = { __navigation: "list of pages", __toc: "on this page" };
  for (const label of document.querySelectorAll(".nav-overlay-icon, .toc-overlay-icon")) {
    label.tabIndex = 0;
    label.setAttribute("role", "button");
    label.ariaLabel = texts[label.htmlFor];
    label.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      label.click();
    });
  }
}

addEventListener("load", () => {
  reachable();
  named();
  opened();
  // Widgets come later, from the state that is in the page.
  new MutationObserver(named).observe(document.body, { childList: true, subtree: true });
});
addEventListener("resize", reachable);
