/** The page of one video. What is not needed at once is loaded when it is. */

import { auto, createCommentsClient, createView, sharedStream } from "./client.js";
import { Composer } from "./composer.js";
import { showFilm } from "./film.js";
import { buildPendingRow, buildRow, leave, mutedPeople, readMuted } from "./row.js";

const STATES = {
  idle: "Connecting", connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", stale: "Delayed",
  ended: "Ended", failed: "Unavailable", offline: "Offline", paused: "Paused", closed: "Closed",
};
const NO_CONNECTION = "No connection free: close a tab";
const HISTORY = 30;
const ROWS_MAX = 500;
const NEW_SHOWN_MAX = 999;

const part = (id) => document.getElementById(id);
const [pill, badge, edge, jump, scroller, rows, pending, muted, said] =
  ["connection", "badge", "edge", "jump", "scroller", "rows", "pending", "muted", "said"].map(part);
const touch = matchMedia("(hover: none)");

const videoId = new URLSearchParams(location.search).get("video") || "demo";
// Who came with a token of the site; anybody else is a guest.
const hasToken = history.state?.token || location.hash.startsWith("#token=");
const member = hasToken ? (await import("./member.js")).takeMember() : null;
const client = createCommentsClient({
  baseUrl: ".", transport: sharedStream(auto()),
  ...(member && { getToken: (why) => (why === "refused" ? null : member.token) }),
});
const video = client.video(videoId, { history: HISTORY, maxComments: ROWS_MAX });
const title = part("video");
const film = showFilm(part("film"), part("play"));
const composer = new Composer(client, video, showPeople, member);
const written = new WeakMap(); // row -> comment
const known = () => member ?? client.session.get();
const userId = () => known()?.userId ?? null;
const whole = { video, videoId, composer, showPeople, userId };
let shown; // the state
let endedTitle; // of a video that nobody tells of any more
let pinned; // the id of the comment that is
let tabbable = null; // the one row's button that Tab reaches; arrows go on from there

const view = createView(video, {
  scroller, rows, pending,
  row: (comment) => {
    const row = buildRow(comment);
    written.set(row, comment);
    mark(row);
    return row;
  },
  pendingRow: (own) => buildPendingRow(own, known(), {
    ...(own.problem?.isFinal ? {} : { "Try again": () => video.retry(own.key).catch(() => {}) }),
    Discard: () => video.discard(own.key),
  }),
  changed: show,
  arrived: (row) => row.classList.add("arriving"),
  left: (row) => leave(row),
  problem: ({ message }) => composer.say(message),
});

function show({ snapshot, isStuck, isTorn, unread }) {
  const { state, comments, hasOlder, settings } = snapshot;
  if (state !== shown) {
    shown = state;
    pill.dataset.state = badge.dataset.state = state.is;
    pill.textContent = state.cause?.code === "no_connection" ? NO_CONNECTION : STATES[state.is];
    badge.textContent = /live|ended/.test(state.is) ? STATES[state.is] : "";
    if (state.is === "ended" && !settings) readTitle();
    film.show(state.is === "ended");
  }
  showTitle(settings?.title);
  if (jump.hidden !== isStuck) jump.hidden = isStuck;
  const count = unread > NEW_SHOWN_MAX ? `${NEW_SHOWN_MAX}+` : unread;
  set(jump, unread === 0 ? "Newest comments" : unread === 1 ? "1 new comment" : `${count} new comments`);
  set(edge, /idle|connecting/.test(state.is) && !comments.length ? "" : hasOlder ? "Loading older comments"
    : comments.length + snapshot.pending.length ? "Start of the conversation"
      : "No comments yet. Yours could be the first.");
  const newest = rows.lastElementChild?.querySelector(".more");
  if (newest && newest !== tabbable) {
    if (tabbable) tabbable.tabIndex = -1;
    tabbable = newest;
    newest.tabIndex = 0;
  }
  const id = settings?.pinnedCommentId;
  if (id !== pinned) import("./pin.js").then(({ showPin }) => showPin(whole, (pinned = id)), () => {}); // with the next change
  composer.show(snapshot);
}

/** Asked for in every frame of a flood: what is the same is not written, so that nothing is laid out for it. */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showTitle(told) {
  const text = told || endedTitle || videoId;
  if (title.textContent === text) return;
  title.textContent = text;
  document.title = `${text}: live comments`;
}

/** Nothing is told any more of a video that was over before one came. */
async function readTitle() {
  if (endedTitle !== undefined) return;
  endedTitle = "";
  const answer = await fetch(`videos/${encodeURIComponent(videoId)}`).catch(() => null);
  if (answer?.ok) endedTitle = (await answer.json()).title;
  if (endedTitle) showTitle();
}

/** Whether it is one's own, and whether it is shown. */
function mark(row) {
  const { id } = written.get(row)?.author ?? {};
  row.classList.toggle("own", id === userId());
  row.classList.toggle("muted", mutedPeople.has(id));
}

function showPeople() {
  for (const row of rows.children) mark(row);
  muted.hidden = !mutedPeople.size;
  muted.textContent = `${mutedPeople.size} muted`;
}

/** Menus are loaded when one is asked for: `act(menus)`. */
async function open(act) {
  try {
    act(await import("./acts.js"));
  } catch {
    composer.say("That cannot be loaded just now. Try again.");
  }
}

rows.addEventListener("click", ({ target }) => {
  const isWanted = target.closest(".more") || (touch.matches && getSelection().isCollapsed);
  const row = target.closest(".row");
  if (isWanted && row) open(({ actOn }) => actOn(row, written.get(row), whole));
});
rows.addEventListener("keydown", (event) => {
  const to = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
  if (!to || !event.target.matches(".more")) return;
  let row = event.target.closest(".row")[to];
  while (row?.matches(".muted")) row = row[to];
  row?.querySelector(".more").focus();
  event.preventDefault();
});
muted.addEventListener("click", () => open(({ showMuted }) => showMuted(muted, whole)));
addEventListener("storage", () => {
  readMuted(); // another tab's are this one's too
  showPeople();
});
if (touch.matches) import("./keyboard.js").catch(() => {}); // nothing is lost without it
if (member?.roles.length) {
  import("./moderate.js").then(({ Desk }) => (whole.desk = new Desk(whole, member)),
    () => composer.say("That cannot be loaded just now. Reload the page."));
}

jump.addEventListener("click", () => view.stick());
// Read aloud: what is one's own, and what those say who lead the conversation. A flood is not.
video.on("comments", ({ news, origin }) => {
  const heard = origin === "live" && news.findLast(({ author }) => author.id === userId() || author.roles?.length);
  if (heard) said.textContent = `${heard.author.displayName}: ${heard.message}`;
});
video.on("state", (state) => state.is === "failed" && composer.say(state.cause.message));
