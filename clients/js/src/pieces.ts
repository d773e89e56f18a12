/**
 * The log's pieces, each asked for where the last has ended (`GET /streams/{videoId}`): the reading half of Durable
 * Streams, whose answers caches may share. What is set of the video is asked for once, and then told by the log.
 */

import { Problem, asProblem, parsed, problemOf } from "./problem.js";
import type { StreamRequest, StreamSink } from "./types.js";

/** Before the next question where the last brought nothing, so that nobody's broken cache is asked without end. */
const EMPTY_MS = 1_000;
/** Longer than the service leaves a question open, which is some 21 s; and for those that it answers at once. */
const WAIT_MS_MAX = 30_000;
const REQUEST_MS_MAX = 10_000;
/** Between two looks at what is set of the video, in questions, until it is known. */
const VIDEO_ROUNDS = 10;
/** Of 500 entries. So far behind, and the rest is told as a gap: what a stream's resume gives at most. */
const PIECES_MAX = 2;
const PAGE_MAX = 100;

/** `everyMs` between two questions where everything was told; 0: the service waits for what comes. */
export function openPieces({ url, headers, fetch, clock }: StreamRequest, sink: StreamSink, everyMs: number): () => void {
  const address = new URL(url);
  const { pathname } = address;
  const control = new AbortController();
  const { signal } = control;
  let offset = address.searchParams.get("after") || "now";
  let cursor: string | null = ""; // to wait with; none: there is more
  let pieces = 0; // since everything was told
  let rounds = 0;
  let video: any = {}; // what was told of it
  let isKnown = false;
  let isOver = false;
  let cancel = () => {};

  function close(): void {
    isOver = true;
    cancel();
    control.abort();
  }

  function end(thrown: unknown): void {
    if (isOver) return;
    close();
    sink.end(asProblem(thrown));
  }

  async function get(room: string, query = ""): Promise<[told: any, response: Response]> {
    address.pathname = pathname.replace(/comments(\/[^/]*)\/stream$/, `${room}$1`);
    address.search = query;
    const response = await fetch(address.href, { headers, signal });
    if (response.status == 410) throw new Problem("invalid_cursor"); // begun anew, by a page
    if (!response.ok) throw await problemOf(response);
    return [parsed(await response.text()), response];
  }

  const tell = (kind: string, id: string, data: unknown) => isOver || sink.event(kind, id, JSON.stringify(data));

  const isEnded = () => video.state == "ended";
  const isWaiting = () => cursor && !everyMs && !isEnded();

  function tellVideo(...told: object[]): void {
    Object.assign(video, ...told);
    if (isKnown) tell("video", "", video);
  }

  /** Beside the log, which tells what has changed since; where it is not answered nothing is said. */
  async function readVideo(): Promise<void> {
    const [told] = await get("videos");
    isKnown = told.state;
    if (isKnown) tellVideo(told, { ...video });
  }

  /** Too far behind: a gap, and the newest page. */
  async function leap(): Promise<void> {
    const [page] = await get("comments", `include=deletes&pageSize=${PAGE_MAX}&sort=desc`);
    const { comments, nextCursor, deletes, streamUrl } = page;
    if (!streamUrl) throw new Problem("not_ours");
    if (nextCursor > offset) tell("gap", nextCursor, { from: offset, to: nextCursor, reason: "missed" });
    for (const commentId of deletes ?? []) tell("delete", "", { commentId });
    for (const each of comments.reverse()) tell("comment", each.commentId, each);
    offset = new URL(streamUrl, address).searchParams.get("after")!;
    pieces = 0;
  }

  /** What is asked for once the video has ended holds all of it. Returns in how many ms to ask on. */
  async function read(): Promise<number> {
    if (pieces == PIECES_MAX) await leap();
    const isLast = isEnded();
    const wait = isWaiting() ? `cursor=${cursor}&live=long-poll&` : "";
    const [told, { status, headers: head }] = await get("streams", `${wait}offset=${offset}`);
    const messages = status == 204 ? [] : told;
    const next = head.get("Stream-Next-Offset");
    if (!next || !messages.map) throw new Problem("not_ours");
    if (isOver) return 0;
    sink.opened();
    sink.alive();
    for (const { type, ...told } of messages) {
      if (type == "video") tellVideo(told);
      else tell(type, type == "comment" ? told.commentId : "", told);
    }
    const isWhole = head.get("Stream-Up-To-Date");
    if (isWhole && isLast) throw new Problem("ended");
    const ms = next > offset ? (isWhole ? everyMs : 0) : EMPTY_MS;
    cursor = isWhole ? head.get("Stream-Cursor") : "";
    pieces = isWhole ? 0 : pieces + 1;
    offset = next;
    tell("heartbeat", offset, {});
    return ms;
  }

  function go(): void {
    if (!isKnown && rounds++ % VIDEO_ROUNDS == 0) readVideo().catch(() => {});
    cancel = clock.after(isWaiting() ? WAIT_MS_MAX : REQUEST_MS_MAX, () => end(new Problem("timeout")));
    read().then((ms) => {
      cancel();
      if (!isOver) cancel = clock.after(ms, go);
    }, end);
  }

  go();
  return close;
}
