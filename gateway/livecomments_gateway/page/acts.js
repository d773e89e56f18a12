/** What one can do about a comment, and about the people one has muted. */

import { openMenu } from "./menu.js";
import { mutedPeople } from "./row.js";

const PEOPLE_MAX = 200; // muted; whoever was before so many others is seen again
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function actOn(row, comment, page) {
  const { author, commentId, createdAt } = comment;
  const name = document.createElement("bdi");
  name.textContent = author.displayName;
  const at = new Date(createdAt);
  const acts = author.id === page.userId()
    ? [["Delete", () => remove(commentId, page), "Delete?"]]
    : [["Mute", () => mute(author, true, page)]];
  acts.push(...(page.desk?.actsOn(comment) ?? []));
  openMenu(row.querySelector(".more"), [name, Number.isNaN(at.getTime()) ? "" : ` · ${moment.format(at)}`], acts);
}

export function showMuted(button, page) {
  const acts = [...mutedPeople].map(([id, displayName]) =>
    [`Show ${displayName}`, () => mute({ id, displayName }, false, page)]);
  openMenu(button, ["Muted in this browser"], acts);
}

function mute({ id, displayName }, isMuted, page) {
  mutedPeople.delete(id);
  if (isMuted) mutedPeople.set(id, displayName);
  for (const [first] of mutedPeople) if (mutedPeople.size > PEOPLE_MAX) mutedPeople.delete(first);
  try {
    localStorage.setItem("livecomments.muted", JSON.stringify([...mutedPeople]));
  } catch {
    // forbidden: until the page is left
  }
  page.showPeople();
}

function remove(commentId, { video, composer }) {
  video.delete(commentId).catch((problem) => {
    if (problem.status === 401) composer.askName(problem.message);
    else composer.say(problem.message);
  });
}
