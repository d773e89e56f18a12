/** What one can do about a comment, and about the people one has muted. */

import { openMenu } from "./menu.js";
import { mutedPeople, setMuted } from "./mute.js";

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function actOn(row, comment, page) {
  const { author, commentId, createdAt } = comment;
  const name = document.createElement("bdi");
  name.textContent = author.displayName;
  const at = new Date(createdAt);
  const acts = author.id === page.userId()
    ? [["Delete", () => remove(commentId, page), "Delete?"]]
    : [["Mute", () => mute(author, true, page)]];
  openMenu(row.querySelector(".more"), [name, Number.isNaN(at.getTime()) ? "" : ` · ${moment.format(at)}`], acts);
}

export function showMuted(button, page) {
  const acts = mutedPeople().map(([id, displayName]) =>
    [`Show ${displayName}`, () => mute({ id, displayName }, false, page)]);
  openMenu(button, ["Muted in this browser"], acts);
}

function mute(author, isMuted, page) {
  setMuted(author, isMuted);
  page.showPeople();
}

function remove(commentId, { video, composer }) {
  video.delete(commentId).catch((problem) => {
    if (problem.status === 401) composer.askName(problem.message);
    else composer.say(problem.message);
  });
}
