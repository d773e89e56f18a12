/**
 * A video as the app sees it: one snapshot, changed at most once a frame, and events in the order in which things came.
 *
 *     link      the stream, and where it stands
 *     list      the comments, gaps and deletes
 *     rest      loaded when it is needed: posting, deleting, reading back
 */

import type { Env, Page } from "./api.js";
import { createLink, type Link } from "./link.js";
import { createList, type List } from "./list.js";
import type { Posting } from "./posting.js";
import type { Comment, Events, Snapshot, Video, VideoOptions } from "./types.js";

const COMMENTS_MAX = 1_000;
/** Events that wait for a frame; more, and they are told at once. */
const WAITING_MAX = 2_000;
/** From the last subscriber to the end of the stream: React's StrictMode and a change of route take less. */
const LINGER_MS = 1_000;

/** What the rest works on. */
export interface Shown {
  readonly env: Env;
  readonly id: string;
  readonly list: List;
  readonly link: Link;
  /** Nothing comes by a stream any more: over, or not begun. */
  isOver(): boolean;
  /** Returns how many were not there yet. */
  news(comments: readonly Comment[], origin: "live" | "history"): number;
  remove(ids: readonly string[], isLive?: boolean): void;
  touch(): void;
}

/** Under which comments on their way survive a reload. */
export const draftsKey = (id: string) => `livecomments.pending.${id}`;

/** `used` is called with whether somebody uses the video. */
export function createVideo(client: Env, id: string, o: VideoOptions, used: (isUsed: boolean) => void): Video {
  const control = new AbortController();
  const env = { ...client, signal: control.signal };
  const { clock } = env;
  const max = Math.max(1, o.maxComments ?? COMMENTS_MAX);
  const list = createList(max);
  const acts = new Set<[kind: string, act: (event: any) => void]>();
  let waiting: [kind: string, event: any][] = [];
  let waits = 0;
  let isChanged = false; // the rows
  let cancelFrame: (() => void) | null = null;
  let cancelLinger = () => {};
  let isConnected = false;
  let loading: Promise<Posting> | undefined;
  let posting: Posting | undefined;
  let snapshot: Snapshot = {
    state: { is: "idle" }, comments: [], pending: [], gaps: [], hasOlder: false, settings: null, viewers: null,
  };
  let { settings, viewers } = snapshot;

  const isOver = () => /idle|ended|failed|closed/.test(link.state.is);
  list.older = o.from ?? null;

  const link = createLink(env, id, o, max, {
    state(state) {
      tell("state", state);
      if (state.is == "live") {
        posting?.wake();
        if (env.getToken || env.kept?.read()) write().catch(() => {}); // to be there when somebody writes
      }
      if (isOver()) posting?.told("~"); // no stream will tell any more
    },
    problem: (problem) => tell("problem", problem),
    page(page: Page, cursor: string) {
      posting?.letGo();
      list.clear();
      list.older = page.nextCursor;
      remove(page.deletes ?? []);
      news(page.comments.reverse(), "history");
      posting?.told(cursor);
      touch();
    },
    event(kind, told) {
      if (kind == "comment" && told.commentId) posting?.hold(told) || news([told], "live");
      else if (kind == "delete") remove([told.commentId], true);
      else if (kind == "gap") {
        list.gaps = [...list.gaps, told];
        tell(kind, told);
      } else if (kind == "video") settings = told;
      else if (kind != "heartbeat") return;
      else viewers = told.viewers ?? viewers;
      posting?.told(link.cursor);
      if (kind != "heartbeat" || viewers != snapshot.viewers) touch();
    },
  });

  function touch(): void {
    if (!control.signal.aborted) cancelFrame ??= clock.frame(flush);
    if (waits > WAITING_MAX) flush();
  }

  function tell(kind: keyof Events, event: any): void {
    waits += event.news?.length ?? 1;
    const last = waiting.at(-1);
    if (last?.[0] == kind && event.news && last[1].origin == event.origin) last[1].news.push(...event.news);
    else waiting.push([kind, event]);
    touch();
  }

  function flush(): void {
    posting?.settle();
    cancelFrame?.();
    cancelFrame = null;
    const torn = list.trim(link.cursor);
    if (torn) waiting.push(["gap", torn]);
    snapshot = {
      state: link.state, comments: isChanged ? [...list.rows] : snapshot.comments, pending: posting?.pending() ?? snapshot.pending,
      gaps: list.gaps, hasOlder: list.older != null, settings, viewers,
    };
    const told = [...waiting, ["", 0] as const];
    isChanged = false;
    waiting = [];
    waits = 0;
    for (const [kind, event] of told) {
      for (const [of, act] of [...acts]) {
        try {
          if (of == kind) act(event);
        } catch (thrown) {
          queueMicrotask(() => { throw thrown; }); // the app's own; the others are called all the same
        }
      }
    }
  }

  function news(comments: readonly Comment[], origin: "live" | "history"): number {
    const added = list.add(comments);
    if (added.length) {
      isChanged = true;
      tell("comments", { news: added, origin });
    }
    return added.length;
  }

  /** Out of a page only what was shown is told; the stream's own are told all, since the app may show more than is kept. */
  function remove(ids: readonly string[], isLive = false): void {
    posting?.forget(ids);
    const shown = ids.filter(list.remove);
    if (shown.length) isChanged = true;
    if (isLive || shown.length) tell("delete", isLive ? ids : shown);
  }

  const shown: Shown = { env, id, list, link, isOver, news, remove, touch };

  /** Own comments; what a reload has interrupted is taken up first. */
  const write = () => (loading ??= env.rest().then(({ createPosting }) => createPosting(shown)).then(
    (made) => (posting = made),
    (problem) => {
      loading = undefined;
      throw problem;
    },
  ));

  function own(act: (posting: Posting) => Promise<Comment>): Promise<Comment> {
    const told = write().then(act);
    told.catch(() => {}); // `pending` tells, too: nobody has to listen here
    return told;
  }

  function open(): void {
    cancelLinger();
    used(true);
    if (link.state.is != "idle") return;
    try {
      if (env.drafts?.getItem(draftsKey(id))) write().catch(() => {});
    } catch {
      // forbidden: nothing was kept
    }
    link.open();
  }

  function unused(): void {
    if (acts.size || isConnected || link.state.is == "closed") return;
    link.close({ is: "idle" });
    used(false);
  }

  function close(): void {
    if (link.state.is == "closed") return;
    cancelLinger();
    control.abort();
    posting?.close();
    link.close({ is: "closed" });
    flush();
    acts.clear();
    o.signal?.removeEventListener("abort", close);
    used(false);
  }

  const video: Video = {
    getSnapshot: () => snapshot,
    subscribe: (act) => video.on("" as "state", act),
    on(kind, act, { signal } = {}) {
      if (link.state.is == "closed" || signal?.aborted) return () => {};
      const own: [string, typeof act] = [kind, act];
      const end = () => {
        signal?.removeEventListener("abort", end);
        if (acts.delete(own) && !acts.size && !isConnected) cancelLinger = clock.after(LINGER_MS, unused);
      };
      acts.add(own);
      signal?.addEventListener("abort", end);
      open();
      return end;
    },
    post: (message, o) => own((posting) => posting.post(message, o)),
    retry: (key) => own((posting) => posting.retry(key)),
    discard: (key) => posting?.discard(key),
    delete: async (commentId) => (await env.rest()).takeDown(shown, commentId),
    loadOlder: async (count) => (await env.rest()).readOlder(shown, count),
    follow: () => void (list.keepsOldest = false),
    fill: async (gap) => (await env.rest()).fill(shown, gap),
    reload: link.reload,
    connect() {
      if (link.state.is == "closed") return;
      isConnected = true;
      open();
    },
    close,
    async *[Symbol.asyncIterator]() {
      yield* (await env.rest()).iterate(video, max);
    },
  };
  if (o.signal?.aborted) close();
  o.signal?.addEventListener("abort", close);
  return video;
}

