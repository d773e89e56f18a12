/**
 * The page of one video: its newest comments, then the stream from exactly there.
 *
 *     gateway.js   requests, sessions, when to try again
 *     stream.js    the live end, by client.js: what clients/js makes
 *     list.js      order, scrolling, bounds; row.js draws one comment
 *     composer.js  writing
 */

import { Composer } from "./composer.js";
import { deleteComment, readPage, readSession, retrying } from "./gateway.js";
import { CommentList } from "./list.js";
import { VideoStream } from "./stream.js";

const STATES = {
  connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", stale: "Delayed", ended: "Ended",
  failed: "Unavailable", offline: "Offline", paused: "Paused",
};
const DELETE_TRIES_MAX = 4;

const videoId = new URLSearchParams(location.search).get("video") || "demo";
const [pill, badge, heading, again] =
  ["connection", "badge", "video", "again"].map((id) => document.getElementById(id));

const list = new CommentList({ older: loadOlder, torn: load, delete: deleteOwn });
const composer = new Composer(videoId, list);
const stream = new VideoStream(videoId, {
  comment: (comment) => list.add(comment),
  delete: (commentId) => list.remove(commentId),
  gap: () => list.tear(),
  lost: load,
  state: showState,
});
let loading = false;
let loadingOlder = false;

async function load() {
  if (loading) return;
  loading = true;
  stream.close();
  try {
    const page = await retrying(() => readPage(videoId), Infinity, () => showState("reconnecting"));
    list.replace(page.comments, page.nextCursor);
    stream.follow(page.streamUrl);
  } catch (error) {
    showState("failed");
    composer.say(error.message);
  } finally {
    loading = false;
  }
}

async function loadOlder(cursor) {
  if (loadingOlder) return;
  loadingOlder = true;
  try {
    const page = await retrying(() => readPage(videoId, cursor));
    list.addOlder(cursor, page.comments, page.nextCursor);
  } catch (error) {
    composer.say(error.message);
  } finally {
    loadingOlder = false;
  }
}

async function deleteOwn(commentId, button) {
  button.disabled = true;
  try {
    await retrying(() => deleteComment(videoId, commentId, readSession()?.sessionToken), DELETE_TRIES_MAX);
    list.remove(commentId);
  } catch (error) {
    button.disabled = false;
    if (error.status === 404 || error.status === 410) list.remove(commentId);
    else if (error.status === 401) composer.askName(error.message);
    else composer.say(error.message);
  }
}

function showState(state) {
  pill.dataset.state = badge.dataset.state = state;
  pill.textContent = STATES[state];
  badge.textContent = state === "ended" ? "Ended" : state === "failed" ? "" : "Live";
  if (state === "ended") composer.end();
}

document.title = `${videoId}: live comments`;
heading.textContent = videoId;
again.href = location.href;
load();
