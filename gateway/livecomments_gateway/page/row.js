/** One comment as a row. Everything people wrote goes in as text, never as markup. */

const template = document.getElementById("row").content.firstElementChild;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const graphemes = new Intl.Segmenter();
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const LEAVE_MS = 180;
const LONG = 200; // may be cut by the stylesheet
const LINES = 6;
const ROLES = [["own", "Host"], ["moderate", "Mod"]]; // the first that the author has is shown
const STATUS = {
  sending: "Sending", unknown: "Still sending", waiting: "Goes out by itself", sent: "Sent", rejected: "Not sent",
};

/** Whose comments this browser does not show, id -> name: kept here alone, told to nobody. Written by acts.js. */
export const mutedPeople = new Map();

export function readMuted() {
  mutedPeople.clear();
  try {
    for (const [id, name] of JSON.parse(localStorage.getItem("livecomments.muted"))) mutedPeople.set(id, name);
  } catch {
    // nobody, or forbidden
  }
}

readMuted();

/** A hue for an author: the same everywhere, from the id alone. Lightness is the stylesheet's, for contrast. */
function hueOf(authorId) {
  let hash = 0x811c9dc5; // FNV-1a, then murmur3's finish: without it neighbouring ids get two colours between them
  for (let i = 0; i < authorId.length; i++) hash = Math.imul(hash ^ authorId.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % 360;
}

function initialOf(name) {
  const [first] = graphemes.segment(name.trim());
  return first ? first.segment.toLocaleUpperCase() : "·";
}

export function buildRow({ author, message, createdAt }) {
  const row = template.cloneNode(true);
  const [avatar, name, badge, text, time] = row.querySelectorAll(".avatar, .name, .role, .text, time");
  row.style.setProperty("--hue", hueOf(author.id));
  row.dataset.author = author.id;
  avatar.textContent = initialOf(author.displayName);
  name.textContent = name.title = author.displayName;
  const role = Array.isArray(author.roles) && ROLES.find(([each]) => author.roles.includes(each));
  if (role) {
    [row.dataset.role, badge.textContent] = role;
    badge.hidden = false;
  }
  text.textContent = message;
  row.classList.toggle("long", message.length > LONG || message.split("\n").length > LINES);
  const at = new Date(createdAt);
  if (!Number.isNaN(at.getTime())) {
    time.dateTime = createdAt;
    time.textContent = clock.format(at);
  }
  return row;
}

function addAct(row, label, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = label;
  button.addEventListener("click", () => act(button));
  row.querySelector(".acts").append(button);
}

/** A comment on its way: what has become of it, and what can be done about it: `acts` are label -> function. */
export function buildPendingRow(pending, session, acts) {
  const author = { id: session?.userId ?? "", displayName: session?.displayName ?? "" };
  const row = buildRow({ author, message: pending.message });
  row.querySelector(".more").remove();
  row.dataset.state = pending.is === "rejected" ? "unsent" : "sending";
  row.querySelector("time").textContent = STATUS[pending.is];
  if (pending.is === "rejected") {
    const why = row.querySelector(".why");
    why.hidden = false;
    why.textContent = pending.problem.message;
    for (const [label, act] of Object.entries(acts)) addAct(row, label, act);
  }
  return row;
}

/** A deleted comment's row goes, with no jump of what is below it. */
export function leave(row) {
  if (calm.matches) return row.remove();
  row.inert = true;
  row.classList.add("leaving");
  const keyframes = { height: [`${row.offsetHeight}px`, "0px"], opacity: [1, 0] };
  row.animate(keyframes, { duration: LEAVE_MS, easing: "ease-out" }).finished.finally(() => row.remove());
}
