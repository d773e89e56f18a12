/**
 * Where the keyboard lies over the page instead of making it smaller (Safari on iOS), the page is as high as what is seen:
 * the box one writes in stays above the keyboard, and the video above the comments.
 */

const seen = window.visualViewport;

function fit() {
  if (seen.scale > 1) return; // somebody looks closer: that is no keyboard
  const isCovered = innerHeight - seen.height > 1;
  document.body.style.height = isCovered ? `${seen.height}px` : "";
  if (isCovered) scrollTo(0, 0); // the browser has pushed the page up to show the box
}

seen?.addEventListener("resize", fit);
