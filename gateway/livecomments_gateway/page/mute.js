/** Whose comments this browser does not show: kept here alone, told to nobody. */

const KEY = "livecomments.muted";
const PEOPLE_MAX = 200; // whoever was muted before so many others is seen again

let people = new Map(); // id -> name

function read() {
  try {
    people = new Map(JSON.parse(localStorage.getItem(KEY) ?? "[]"));
  } catch {
    // forbidden, or not ours: what is in memory holds
  }
}

export const isMuted = (userId) => people.has(userId);
export const mutedPeople = () => [...people];

export function setMuted({ id, displayName }, muted) {
  people.delete(id);
  if (muted) people.set(id, displayName);
  people = new Map([...people].slice(-PEOPLE_MAX));
  try {
    localStorage.setItem(KEY, JSON.stringify([...people]));
  } catch {
    // until the page is left
  }
}

/** Calls `act` when another tab has changed it. */
export function onMuted(act) {
  addEventListener("storage", ({ key }) => key === KEY && (read(), act()));
}

read();
