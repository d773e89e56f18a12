/**
 * The page of one video, by the client of clients/js: one stream for all tabs of a browser, pages where there is no room
 * for a stream, and everything that a break costs.
 *
 *     composer.js  writing
 *     film.js      the video, which is a clip of ours
 *     row.js       what one comment looks like
 *     client.js    the rest: what clients/js makes
 */

import { auto, createCommentsClient, createView, sharedStream } from "./client.js";
import { Composer } from "./composer.js";
import { showFilm } from "./film.js";
import { buildPendingRow, buildRow, confirmed, leave, markOwn } from "./row.js";

const STATES = {
  idle: "Connecting", connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", stale: "Delayed",
  ended: "Ended", failed: "Unavailable", offline: "Offline", paused: "Paused", closed: "Closed",
};
const NO_CONNECTION = "No connection free: close a tab";
const HISTORY = 30;
const ROWS_MAX = 500;
const NEW_SHOWN_MAX = 999;

const part = (id) => document.getElementById(id);
const [pill, badge, edge, jump, scroller, rows, pending] =
  ["connection", "badge", "edge", "jump", "scroller", "rows", "pending"].map(part);

const videoId = new URLSearchParams(location.search).get("video") || "demo";
const client = createCommentsClient({ baseUrl: ".", transport: sharedStream(auto()) });
const video = client.video(videoId, { history: HISTORY, maxComments: ROWS_MAX });
const title = part("video");
const film = showFilm(part("film"), part("play"));
const composer = new Composer(client, video, showSession);
const userId = () => client.session.get()?.userId ?? null;

const view = createView(video, {
  scroller, rows, pending,
  row: (comment) => {
    const row = buildRow(comment);
    markOwn(row, userId(), confirmDelete);
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
  composer.show(snapshot);
}

function showSession() {
  for (const row of rows.children) markOwn(row, userId(), confirmDelete);
}

/** The first click asks, the second does. */
function confirmDelete(button, commentId) {
  if (!confirmed(button)) return;
  button.disabled = true;
  video.delete(commentId).catch((problem) => {
    button.disabled = false;
    if (problem.status === 401) composer.askName(problem.message);
    else composer.say(problem.message);
  });
}

jump.addEventListener("click", () => view.stick());
video.on("state", (state) => state.is === "failed" && composer.say(state.cause.message));
