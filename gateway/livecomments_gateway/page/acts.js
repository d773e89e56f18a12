/** What one can do about a comment, and about the people one has muted. */

import { openMenu } from "./menu.js";
import { mutedPeople } from "./row.js";

const REASONS = {
  spam: "Spam or a scam", abuse: "Hate or harassment", sexual: "Sexual content", danger: "Somebody is in danger",
  other: "Something else",
};
const PEOPLE_MAX = 200; // muted; whoever was before so many others is seen again
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function actOn(row, comment, page) {
  const { author, commentId, createdAt } = comment;
  const name = document.createElement("bdi");
  name.textContent = author.displayName;
  const at = new Date(createdAt);
  const acts = author.id === page.userId()
    ? [["Delete", () => remove(commentId, page), "Delete?"]]
    : [["Mute", () => mute(author, true, page)], ["Report…", () => askReason(row, comment, page)]];
  acts.push(...(page.desk?.actsOn(comment) ?? []));
  const body = row.querySelector(".body");
  const whole = document.createElement("span");
  if (body.scrollHeight > body.clientHeight) whole.textContent = comment.message;
  whole.dir = "auto";
  openMenu(row.querySelector(".more"), [name, Number.isNaN(at.getTime()) ? "" : ` · ${moment.format(at)}`, whole], acts);
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

function askReason(row, comment, page) {
  if (!page.userId()) return page.composer.askName("Choose a name first: a report counts once a person.", true);
  openMenu(row.querySelector(".more"), ["What is wrong with it?"],
    Object.entries(REASONS).map(([reason, label]) => [label, () => report(row, comment, reason, page)]));
}

/** What became of it is said where one looks: in the menu. */
async function report(row, comment, reason, page) {
  const more = row.querySelector(".more");
  const { author } = comment;
  try {
    await page.video.report(comment.commentId, reason);
    if (row.isConnected) {
      openMenu(more, ["Reported. The moderators see it, and not by whom."],
        [[`Mute ${author.displayName} too`, () => mute(author, true, page)], ["Close", () => {}]]);
    }
  } catch (problem) {
    if (problem.status === 401) page.composer.askName(problem.message);
    else if (row.isConnected) {
      const again = problem.isFinal ? [] : [["Try again", () => report(row, comment, reason, page)]];
      openMenu(more, [`Not reported: ${problem.message}`], [...again, ["Close", () => {}]]);
    } else page.composer.say(problem.message);
  }
}

function remove(commentId, { video, composer }) {
  video.delete(commentId).catch((problem) => {
    if (problem.status === 401) composer.askName(problem.message);
    else composer.say(problem.message);
  });
}
