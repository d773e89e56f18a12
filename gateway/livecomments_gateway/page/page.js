/**
 * The page of one video, by the client of clients/js: one stream for all tabs of a browser, pages where there is no room
 * for a stream, and everything that a break costs.
 *
 *     composer.js  writing
 *     film.js      the video, which is a clip of ours
 *     acts.js      what can be done about a comment, in menus (menu.js); loaded when it is asked for
 *     mute.js      whom one does not want to see
 *     row.js       what one comment looks like
 *     client.js    the rest: what clients/js makes
 */

import { auto, createCommentsClient, createView, sharedStream } from "./client.js";
import { Composer } from "./composer.js";
import { showFilm } from "./film.js";
import { isMuted, mutedPeople, onMuted } from "./mute.js";
import { buildPendingRow, buildRow, leave } from "./row.js";

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
const client = createCommentsClient({ baseUrl: ".", transport: sharedStream(auto()) });
const video = client.video(videoId, { history: HISTORY, maxComments: ROWS_MAX });
const title = part("video");
const film = showFilm(part("film"), part("play"));
const composer = new Composer(client, video, showPeople);
const written = new WeakMap(); // row -> comment
const userId = () => client.session.get()?.userId ?? null;
const whole = { video, composer, showPeople, userId };
let tabbable = null; // the one row's button that Tab reaches; arrows go on from there

const view = createView(video, {
  scroller, rows, pending,
  row: (comment) => {
    const row = buildRow(comment);
    written.set(row, comment);
    mark(row);
    return row;
  },
  pendingRow: (own) => buildPendingRow(own, client.session.get(), {
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
  pill.dataset.state = badge.dataset.state = state.is;
  pill.textContent = state.cause?.code === "no_connection" ? NO_CONNECTION : STATES[state.is];
  badge.textContent = /live|ended/.test(state.is) ? STATES[state.is] : "";
  title.textContent = settings?.title || videoId;
  document.title = `${title.textContent}: live comments`;
  film.show(state.is === "ended");
  jump.hidden = isStuck;
  const count = unread > NEW_SHOWN_MAX ? `${NEW_SHOWN_MAX}+` : unread;
  jump.textContent = unread === 0 ? "Newest comments" : unread === 1 ? "1 new comment" : `${count} new comments`;
  edge.textContent = /idle|connecting/.test(state.is) && !comments.length ? "" : hasOlder ? "Loading older comments"
    : comments.length + snapshot.pending.length ? "Start of the conversation"
      : "No comments yet. Yours could be the first.";
  const newest = rows.lastElementChild?.querySelector(".more");
  if (newest && newest !== tabbable) {
    if (tabbable) tabbable.tabIndex = -1;
    tabbable = newest;
    newest.tabIndex = 0;
  }
  composer.show(snapshot);
}

/** Whether it is one's own, and whether it is shown. */
function mark(row) {
  const { id } = written.get(row)?.author ?? {};
  row.classList.toggle("own", id === userId());
  row.classList.toggle("muted", isMuted(id));
}

function showPeople() {
  for (const row of rows.children) mark(row);
  const { length } = mutedPeople();
  muted.hidden = !length;
  muted.textContent = `${length} muted`;
}

/** Menus are loaded when one is asked for: `act(menus)`. */
async function open(act) {
  try {
    act(await import("./acts.js"));
  } catch {
    composer.say("The menu cannot be loaded just now. Try again in a moment.");
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
onMuted(showPeople);

jump.addEventListener("click", () => view.stick());
// Read aloud: what is one's own, and what those say who lead the conversation. A flood is not.
video.on("comments", ({ news, origin }) => {
  const heard = origin === "live" && news.findLast(({ author }) => author.id === userId() || author.roles?.length);
  if (heard) said.textContent = `${heard.author.displayName}: ${heard.message}`;
});
video.on("state", (state) => state.is === "failed" && composer.say(state.cause.message));
