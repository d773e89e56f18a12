/** The clip that stands for a player: it moves where that is wanted and seen, and can be stopped. */

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export function showFilm(film, button) {
  let isWanted = !calm.matches;
  let isOver = false;

  function play() {
    const plays = isWanted && !isOver && !document.hidden;
    button.dataset.state = isWanted ? "playing" : "paused";
    button.ariaLabel = button.title = isWanted ? "Pause the video" : "Play the video";
    button.hidden = isOver;
    if (!plays) film.pause();
    else if (film.paused) film.play().catch(() => {}); // not allowed now: the first picture stays
  }

  button.addEventListener("click", () => {
    isWanted = !isWanted;
    play();
  });
  calm.addEventListener("change", () => {
    isWanted = !calm.matches;
    play();
  });
  document.addEventListener("visibilitychange", play);
  play();
  return {
    /** Over: it stands still. */
    show(isEnded) {
      if (isEnded === isOver) return;
      isOver = isEnded;
      play();
    },
  };
}
