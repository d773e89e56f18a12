/**
 * A video as the app sees it: one snapshot, changed at most once a frame, and events in the order in which things came.
 *
 *     link      the stream, and where it stands
 *     list      the comments, gaps and deletes
 *     posting   own comments on their way
 */

import { commentsPath, pause, backoffMs, readPage, request, type Env, type Page } from "./api.js";
import { createLink } from "./link.js";
import { createList } from "./list.js";
import { createPosting } from "./posting.js";
import { Problem, asProblem } from "./problem.js";
import type { Comment, Events, Gap, Snapshot, Video, VideoOptions, VideoSettings } from "./types.js";

const COMMENTS_MAX = 1_000;
/** Events that wait for a frame; more, and they are told at once. */
const WAITING_MAX = 2_000;
/** An own comment that the stream brings before its answer waits for that, this long. */
const OWN_MS_MAX = 2_000;
/** From the last subscriber to the end of the stream: React's StrictMode and a change of route take less. */
const LINGER_MS = 1_000;
const PAGE_MAX = 100;
const DELETE_TRIES_MAX = 4;
const HISTORY = 50;

const OVER = ["idle", "ended", "failed", "closed"];

type Act<K extends keyof Events = keyof Events> = (event: Events[K]) => void;

/** `left` is called when nobody uses the video any more, `used` when somebody does again. */
export function createVideo(client: Env, id: string, o: VideoOptions, used: () => void, left: () => void): Video {
  const control = new AbortController();
  const env = { ...client, signal: control.signal };
  const { clock } = env;
  const max = Math.max(1, o.maxComments ?? COMMENTS_MAX);
  const list = createList(max);
  list.older = o.from ?? null;
  const subscribers = new Set<() => void>();
  const acts: Record<keyof Events, Set<Act<any>>> =
    { comments: new Set(), delete: new Set(), gap: new Set(), state: new Set(), problem: new Set() };
  let waiting: [keyof Events, unknown][] = [];
  let cancelFrame: (() => void) | null = null;
  let cancelLinger = () => {};
  const held = new Map<string, [Comment, () => void]>(); // own comments that wait for their answers
  let uses = 0;
  let settings: VideoSettings | null = null;
  let viewers: number | null = null;
  let isConnected = false;

  const link = createLink(env, id, o, max, {
    state(state) {
      tell("state", state);
      if (state.is == "live") posting.wake();
      if (OVER.includes(state.is)) posting.told("~"); // no stream will tell any more
    },
    problem: (problem) => tell("problem", problem),
    page: replace,
    event: hear,
  });
  const posting = createPosting(env, id, touch,
    () => link.state.is == "offline", () => (OVER.includes(link.state.is) ? "~" : link.cursor));
  let snapshot: Snapshot = build();

  function build(): Snapshot {
    return {
      state: link.state, comments: [...list.rows], pending: posting.pending(), gaps: list.gaps,
      hasOlder: list.older != null, settings, viewers,
    };
  }

  function touch(): void {
    cancelFrame ??= clock.frame(flush);
    if (waiting.length > WAITING_MAX) flush();
  }

  function tell<K extends keyof Events>(kind: K, event: Events[K]): void {
    waiting.push([kind, event]);
    touch();
  }

  function call<T extends unknown[]>(act: (...args: T) => void, ...args: T): void {
    try {
      act(...args);
    } catch (thrown) {
      queueMicrotask(() => { throw thrown; }); // the app's own; the others are called all the same
    }
  }

  function flush(): void {
    for (const [id, [comment]] of held) if (!posting.awaits(comment)) release(id);
    cancelFrame?.();
    cancelFrame = null;
    const torn = list.trim(link.cursor);
    if (torn) waiting.push(["gap", torn]);
    const { comments, pending } = snapshot;
    const next = build();
    snapshot = {
      ...next,
      comments: same(comments, next.comments),
      pending: same(pending, next.pending),
    };
    const told = waiting;
    waiting = [];
    for (const [kind, event] of merged(told)) for (const act of [...acts[kind]]) call(act, event);
    for (const act of [...subscribers]) call(act);
  }

  function news(comments: readonly Comment[], origin: "live" | "history"): number {
    const added = list.add(comments);
    if (added.length) tell("comments", { news: added, origin });
    return added.length;
  }

  /** Out of a page only what was shown is told; the stream's own are told all, since the app may show more than is kept. */
  function remove(ids: readonly string[], isLive = false): void {
    for (const id of ids) {
      held.get(id)?.[1]();
      held.delete(id);
    }
    const shown = ids.filter((id) => list.remove(id));
    if (isLive || shown.length) tell("delete", isLive ? ids : shown);
  }

  function replace(page: Page, cursor: string): void {
    letGo();
    list.clear();
    list.older = page.nextCursor;
    remove(page.deletes ?? []);
    news([...page.comments].reverse(), "history");
    posting.told(cursor);
    touch();
  }

  function hear(kind: string, told: any): void {
    if (kind == "comment" && told.commentId) {
      if (posting.awaits(told)) hold(told);
      else news([told], "live");
    } else if (kind == "delete") remove([told.commentId], true);
    else if (kind == "gap") {
      list.gap(told);
      tell("gap", told);
    } else if (kind == "video") settings = told;
    else if (kind != "heartbeat") return;
    else viewers = told.viewers ?? viewers;
    posting.told(link.cursor);
    if (kind != "heartbeat" || viewers != snapshot.viewers) touch();
  }

  /** Until the answer has come that says which pending comment this is. */
  function hold(comment: Comment): void {
    const { commentId } = comment;
    const cancel = clock.after(OWN_MS_MAX, () => release(commentId));
    held.set(commentId, [comment, cancel]);
  }

  function release(commentId: string): void {
    const [comment, cancel] = held.get(commentId) ?? [];
    cancel?.();
    if (held.delete(commentId)) news([comment!], "live");
  }

  function letGo(): void {
    for (const [, cancel] of held.values()) cancel();
    held.clear();
  }

  function open(): void {
    cancelLinger();
    used();
    if (link.state.is != "idle") return;
    posting.restore();
    link.open();
  }

  function use(): () => void {
    uses++;
    open();
    let isUsed = true;
    return () => {
      if (!isUsed) return;
      isUsed = false;
      if (--uses == 0) cancelLinger = clock.after(LINGER_MS, idle);
    };
  }

  function idle(): void {
    if (uses || link.state.is == "closed") return;
    link.close();
    left();
  }

  async function loadOlder(count = HISTORY): Promise<number> {
    const cursor = list.older;
    if (cursor == null || link.state.is == "closed") return 0;
    const page = await readPage(env, id, { pageSize: Math.min(PAGE_MAX, Math.max(1, count)), sort: "desc", cursor });
    if (list.older != cursor) return 0; // the list begins elsewhere by now
    list.keepsOldest = true;
    list.older = page.nextCursor;
    remove(page.deletes ?? []);
    touch();
    return news([...page.comments].reverse(), "history");
  }

  async function fill({ from, to }: Gap): Promise<void> {
    // It may have been filled or moved meanwhile: then what comes for it is not the whole of what is missing.
    const isOpen = () => list.gaps.some((gap) => gap.from == from && gap.to == to);
    while (isOpen()) {
      const page = await readPage(env, id, { pageSize: PAGE_MAX, sort: "asc", cursor: from });
      if (!isOpen()) return;
      remove(page.deletes ?? []);
      news(page.comments.filter(({ commentId }) => commentId <= to), "history");
      const { nextCursor } = page;
      const next = nextCursor && nextCursor > from && nextCursor < to ? nextCursor : to;
      list.filled(from, to, next);
      from = next;
      touch();
    }
  }

  async function takeDown(commentId: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await request(env, `${commentsPath(id)}/${encodeURIComponent(commentId)}`, "", { method: "DELETE" });
        break;
      } catch (thrown) {
        const problem = asProblem(thrown);
        if (problem.code == "comment_not_found" || problem.code == "comment_deleted") break;
        if (problem.isFinal || tries >= DELETE_TRIES_MAX) throw problem;
        await pause(env, Math.max(problem.retryAfterMs, backoffMs(env, tries)));
      }
    }
    remove([commentId], true);
  }

  function close(): void {
    if (link.state.is == "closed") return;
    cancelLinger();
    letGo();
    control.abort();
    posting.close();
    link.close({ is: "closed" });
    flush();
    subscribers.clear();
    for (const set of Object.values(acts)) set.clear();
    o.signal?.removeEventListener("abort", close);
    left();
  }

  function subscribed<T>(set: Set<T>, act: T, signal?: AbortSignal): () => void {
    if (link.state.is == "closed" || signal?.aborted) return () => {};
    const own = set.has(act) ? ((...args: []) => (act as () => void)(...args)) as T : act;
    set.add(own);
    const unuse = use();
    const end = () => {
      set.delete(own);
      unuse();
      signal?.removeEventListener("abort", end);
    };
    signal?.addEventListener("abort", end);
    return end;
  }

  const video: Video = {
    getSnapshot: () => snapshot,
    subscribe: (act) => subscribed(subscribers, act),
    on: (kind, act, { signal } = {}) => subscribed(acts[kind], act, signal),
    post: (message, { videoTimeMs, key } = {}) => posting.post(message, videoTimeMs, key),
    retry: posting.retry,
    discard: posting.discard,
    delete: takeDown,
    loadOlder,
    fill,
    reload: link.reload,
    connect() {
      isConnected ||= Boolean(use());
    },
    close,
    [Symbol.asyncIterator]: () => iterate(video, max),
  };
  if (o.signal?.aborted) close();
  o.signal?.addEventListener("abort", close);
  return video;
}

/** Comments as they come live. A reader that is `max` behind is told so: nothing is left out in silence. */
async function* iterate(video: Video, max: number): AsyncGenerator<Comment> {
  let queue: Comment[] = [];
  let wake = () => {};
  let failure: Problem | null = null;
  let isOver = false;
  const ends = [
    video.on("comments", ({ news, origin }) => {
      if (origin == "live") queue.push(...news);
      if (queue.length > max) failure = new Problem("reader_slow", `More than ${max} comments wait to be taken`);
      wake();
    }),
    video.on("state", (state) => {
      isOver = state.is == "closed" || state.is == "ended";
      if (state.is == "failed") failure = state.cause;
      wake();
    }),
  ];
  try {
    for (;;) {
      const taken = queue;
      queue = [];
      yield* taken;
      if (failure) throw failure;
      if (isOver && !queue.length) return;
      if (!queue.length) await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    for (const end of ends) end();
  }
}

/** Neighbours of one kind as one event. */
function merged(told: [keyof Events, any][]): [keyof Events, any][] {
  const all: [keyof Events, any][] = [];
  for (const [kind, event] of told) {
    const last = all.at(-1);
    if (last?.[0] == kind && kind == "comments" && last[1].origin == event.origin) {
      last[1] = { news: [...last[1].news, ...event.news], origin: event.origin };
    } else all.push([kind, event]);
  }
  return all;
}

/** `old`, if it holds the same. */
const same = <T>(old: readonly T[], next: readonly T[]): readonly T[] =>
  old.length == next.length && old.every((each, at) => each == next[at]) ? old : next;
