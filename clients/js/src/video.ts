/**
 * A video as the app sees it: one snapshot, changed at most once a frame, and events in the order in which things came.
 *
 *     link      the stream, and where it stands
 *     list      the comments, gaps and deletes
 *     rest      loaded when it is needed: posting, deleting, reading back
 */

import { createLink } from "./link.js";
import { createList } from "./list.js";
import type { Env, Link, Shown } from "./parts.js";
import type { Comment, Events, Gap, Snapshot, Video, VideoOptions } from "./types.js";

const COMMENTS_MAX = 1_000;
/** Events that wait for a frame; more, and they are told at once. */
const WAITING_MAX = 2_000;
/** From the last subscriber to the end of the stream: React's StrictMode and a change of route take less. */
const LINGER_MS = 1_000;

/** `used` is called with whether somebody uses the video. */
export function createVideo(client: Env, id: string, o: VideoOptions, used: (isUsed: boolean) => void): Video {
  const control = new AbortController();
  const env = { ...client, signal: control.signal };
  const { clock, late } = env;
  const max = Math.max(1, o.maxComments ?? COMMENTS_MAX);
  const list = createList();
  const acts = new Set<[kind: string, act: (event: any) => void]>();
  let waiting: [kind: string, event: any][] = [];
  let waits = 0;
  let isChanged = false; // the rows
  let cancelFrame: (() => void) | null = null;
  let cancelLinger = () => {};
  let isConnected = false;
  let snapshot: Snapshot = {
    state: { is: "idle" }, comments: [], pending: [], gaps: [], hasOlder: false, settings: null, viewers: null,
  };
  let { settings, viewers } = snapshot;
  list.older = o.from ?? null;

  const link: Link = createLink(env, id, o, max, {
    tell(kind, event) {
      tell(kind, event);
      // To be there when somebody writes, and for what a reload has interrupted; but behind the first comments.
      if (event.is && event.is != "connecting" && (shown.posting || env.getToken || env.kept?.read())) quietly(begin());
    },
    page(page) {
      shown.posting?.settle(true);
      list.clear();
      isChanged = true; // also where nothing comes in place of it
      list.older = page.nextCursor;
      remove(page.deletes ?? []);
      news(page.comments.reverse(), "history");
      touch();
    },
    event(kind, told) {
      const { posting } = shown;
      if (kind == "comment" && told.commentId) posting?.hold(told) || news([told], "live");
      else if (kind == "delete") remove([told.commentId], true);
      else if (kind == "gap") {
        list.gaps = [...list.gaps, told];
        tell(kind, told);
      } else if (kind == "video") settings = told;
      else if (kind != "heartbeat") return;
      else viewers = told.viewers ?? viewers;
      if (kind != "heartbeat" || viewers != snapshot.viewers || posting?.pending()[0]) touch();
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

  /** Drops the oldest, unless somebody reads them; returns what gap that made. */
  function trim(): Gap | undefined {
    const over = list.rows.length - max;
    if (over <= 0) return;
    if (list.trim) return list.trim(link.cursor, max);
    list.rows.splice(0, over);
    const first = (list.older = list.rows[0]!.commentId);
    list.gaps = list.gaps.filter(({ to }) => to > first);
  }

  function flush(): void {
    const { posting } = shown;
    posting?.settle();
    cancelFrame?.();
    cancelFrame = null;
    const torn = trim();
    if (torn) waiting.push(["gap", torn]);
    snapshot = {
      state: link.state, comments: isChanged ? [...list.rows] : snapshot.comments, pending: posting?.pending() ?? snapshot.pending,
      gaps: list.gaps, hasOlder: list.older != null, settings, viewers,
    };
    if (link.state.is == "idle") used(snapshot.pending.length > 0);
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
    const gone = ids.filter(list.remove);
    if (gone.length) isChanged = true;
    if (isLive || gone.length) tell("delete", isLive ? ids : gone);
  }

  const shown: Shown = { env, id, list, link, max, news, remove, touch };
  const begin = late("begin", shown);

  /** `pending` tells of it, too: nobody has to listen to what it rejects with. */
  function quietly<T>(told: Promise<T>): Promise<T> {
    told.catch(() => {});
    return told;
  }

  function open(): void {
    cancelLinger();
    used(true);
    if (link.state.is == "idle") link.open();
  }

  function unused(): void {
    if (acts.size || isConnected || link.state.is == "closed") return;
    link.close({ is: "idle" });
  }

  function close(): void {
    if (link.state.is == "closed") return;
    cancelLinger();
    control.abort();
    shown.posting?.close();
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
    post: (...given) => quietly(late("post", shown)(...given)),
    retry: (key) => quietly(late("retry", shown)(key)),
    discard: (key) => shown.posting?.discard(key),
    delete: late("takeDown", shown),
    report: late("report", shown),
    loadOlder: late("readOlder", shown),
    follow: () => void (list.trim = null),
    fill: late("fill", shown),
    reload: late("reload", shown),
    connect() {
      if (link.state.is == "closed") return;
      isConnected = true;
      open();
    },
    close,
    async *[Symbol.asyncIterator]() {
      yield* await late("iterate", shown)(video);
    },
  };
  o.signal?.addEventListener("abort", close);
  return video;
}
