/**
 * Own comments on their way: one after the other, each under a key of its own, until the service has said what became of
 * it. The same key on every attempt is what makes that one comment.
 */

import { ask, backoffMs, commentsPath, within } from "./api.js";
import { createDrafts, type Draft } from "./drafts.js";
import type { Env, Posting, Shown } from "./parts.js";
import { Problem, asProblem } from "./problem.js";
import { asSpeaker, tokensOf } from "./tokens.js";
import type { Comment, Pending, Video } from "./types.js";

/** A key is recognised for some 16,000 comments; after so long the user decides, who sees what is there. */
const RETRY_MS_MAX = 90_000;
const PENDING_MAX = 100;
/** 124 bits. */
const KEY_CHARS = 24;
/** Refusals that pass by themselves: nothing was written, and the same will be taken later. */
const WAITS = ["slow_mode", "user_limit", "video_limit"];
/** An own comment that the stream brings before its answer waits for that, this long. */
const OWN_MS_MAX = 2_000;
const ACT_TRIES_MAX = 4;

type Status = Pending extends infer P ? (P extends Pending ? Omit<P, "key" | "message"> : never) : never;

interface Entry {
  shown: Pending;
  videoTimeMs: number | undefined;
  /** When it may have been written first, by the clock that never jumps; null: it cannot have been. */
  since: number | null;
  /** How far the stream had told before that; undefined: it was never tried. */
  after: string | null | undefined;
  /** Who spoke when it was tried first; by itself it is sent as nobody else. `retry` is the user's own word. */
  by: string | undefined;
  resolve: (comment: Comment) => void;
  reject: (problem: Problem) => void;
}

const asGiven = ({ code, message, status, retryAfterMs }: Problem): ConstructorParameters<typeof Problem> =>
  [code, message, status, retryAfterMs];

/** The one of a video; made with what a reload has interrupted. */
function postingOf(shown: Shown): Promise<Posting> {
  const made = (shown.making ??= createPosting(shown).then((posting) => (shown.posting = posting)));
  made.catch(() => delete shown.making);
  return made;
}

export async function begin(shown: Shown): Promise<void> {
  const posting = await postingOf(shown);
  if (shown.link.state.is == "live") posting.wake();
}

export const post = async (shown: Shown, ...given: Parameters<Video["post"]>) => (await postingOf(shown)).post(...given);
export const retry = async (shown: Shown, key: string) => (await postingOf(shown)).retry(key);

/** Takes up what a reload has interrupted. */
async function createPosting(video: Shown): Promise<Posting> {
  const { env, id, link } = video;
  const tokens = tokensOf(env);
  const { clock } = env;
  const drafts = createDrafts(env, id);
  const held = new Map<string, [Comment, cancel: () => void]>();
  let entries: Entry[] = [];
  let pending: Pending[] = [];
  let isRunning = false;
  let wakeUp = () => {};

  const isClosed = () => link.state.is == "closed";
  /** How far the list is whole; no stream tells anything any more where there is none. */
  const cursor = () => (/idle|ended|failed|closed/.test(link.state.is) ? "~" : link.cursor);

  function save(): void {
    drafts.save(entries.flatMap(({ shown, videoTimeMs, since, after, by = tokens.userId() }): Draft[] =>
      shown.is == "sent" ? [] : [{
        key: shown.key, message: shown.message, videoTimeMs,
        by, after, at: since == null ? null : clock.wallNow() - (clock.now() - since),
        refused: shown.is == "rejected" ? asGiven(shown.problem) : undefined,
      }]));
  }

  function changed(): void {
    pending = entries.map(({ shown }) => shown);
    save();
    video.touch();
  }

  function say(entry: Entry, status: Status): void {
    const { key, message } = entry.shown;
    entry.shown = { key, message, ...status } as Pending;
    changed();
  }

  function leave(entry: Entry): void {
    entries = entries.filter((each) => each != entry);
    changed();
  }

  /** Not of `crypto.randomUUID`, which pages without TLS lack. */
  const newKey = () => Array.from({ length: KEY_CHARS }, () => Math.floor(env.random() * 36).toString(36)).join("");
  const find = (key: string) => entries.find(({ shown }) => shown.key == key);
  const next = () => entries.find(({ shown: { is } }) => is != "rejected" && is != "sent");

  function enqueue(
    message: string, key: string, videoTimeMs?: number, since: number | null = null, after?: string | null,
    by?: string, problem?: Problem,
  ): Promise<Comment> {
    const told = new Promise<Comment>((resolve, reject) => {
      if (isClosed()) return reject(new Problem("closed"));
      if (entries.length >= PENDING_MAX) return reject(new Problem("too_many_pending"));
      const shown: Pending = problem ? { key, message, is: "rejected", problem } : { key, message, is: "sending" };
      entries = [...entries, { shown, videoTimeMs, since, after, by, resolve, reject }];
      if (problem) reject(problem);
      changed();
      run();
    });
    told.catch(() => {});
    return told;
  }

  /** Until the time has come, or somebody wakes us. */
  async function wait(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = clock.after(ms, resolve);
      wakeUp = () => {
        cancel();
        resolve();
      };
    });
    wakeUp = () => {};
  }

  function refuse(entry: Entry, problem: Problem): void {
    say(entry, { is: "rejected", problem });
    entry.reject(problem);
  }

  /** What the answer to an attempt means. Returns how long to wait before the next. */
  function judge(entry: Entry, problem: Problem, attempt: number): number {
    const ms = Math.max(problem.retryAfterMs, backoffMs(env, attempt));
    if (WAITS.includes(problem.code)) {
      say(entry, { is: "waiting", until: clock.now() + ms, code: problem.code });
      return ms;
    }
    if (problem.isFinal || problem.code == "duplicate_text" || clock.now() - entry.since! > RETRY_MS_MAX) {
      refuse(entry, problem);
      return 0;
    }
    say(entry, { is: "unknown", attempt: attempt + 1 });
    return ms;
  }

  async function attempt(entry: Entry): Promise<void> {
    const { key, message } = entry.shown;
    const isIn = () => entries.includes(entry) && !isClosed();
    for (let tries = 0; isIn() && entry.shown.is != "rejected"; tries++) {
      while (isIn() && link.state.is == "offline") await wait(RETRY_MS_MAX);
      if (!isIn()) return;
      entry.since ??= clock.now();
      const { after } = entry;
      const seen = cursor();
      if (after === undefined) entry.after = seen && seen != "~" ? seen : null;
      const speaks = tokens.userId();
      entry.by ??= speaks;
      if (speaks && entry.by != speaks) return refuse(entry, new Problem("interrupted"));
      save();
      try {
        const headers: Record<string, string> = { "Content-Type": "application/json", "Idempotency-Key": key };
        if (after) headers["Idempotency-After"] = after;
        const init = { method: "POST", headers, body: JSON.stringify({ message, videoTimeMs: entry.videoTimeMs }) };
        const [comment] = await asSpeaker(env, (token) => ask<Comment>(env, commentsPath(id), "commentId", token, init));
        if (isIn()) settle(entry, comment);
        entry.resolve(comment);
        return;
      } catch (thrown) {
        if (!isIn()) return;
        const problem = thrown as Problem;
        if (after === undefined && problem.status == 429) entry.since = null, entry.after = after; // it was not written
        const ms = judge(entry, problem, tries);
        if (ms) await wait(ms);
      }
    }
  }

  function settle(entry: Entry, { commentId }: Comment): void {
    if (cursor() >= commentId) leave(entry);
    else say(entry, { is: "sent", commentId });
  }

  async function run(): Promise<void> {
    if (isRunning) return;
    isRunning = true;
    for (let entry; !isClosed() && (entry = next()); ) await attempt(entry);
    isRunning = false;
  }

  /** Of somebody else it is forgotten; what was refused or tried long ago waits for a word of the user's. */
  function takeUp(kept: Draft[]): void {
    const userId = tokens.userId();
    for (const { key, message, videoTimeMs, at, after, by, refused } of kept) {
      if (find(key) || (by && userId && by != userId)) continue;
      const ageMs = at == null ? 0 : Math.abs(clock.wallNow() - at);
      enqueue(message, key, videoTimeMs, at == null ? null : clock.now() - ageMs, after, by,
        refused ? new Problem(...refused) : ageMs > RETRY_MS_MAX ? new Problem("interrupted") : undefined);
    }
  }

  /** Whether a comment of the stream may be one whose answer has not come. */
  const awaits = ({ author, message }: Comment) =>
    author?.id == tokens.userId() &&
    entries.some(({ shown: { is, ...shown } }) =>
      (is == "sending" || is == "unknown") && shown.message.normalize().trim() == message);

  function release(commentId: string): void {
    const [comment, cancel] = held.get(commentId) ?? [];
    cancel?.();
    if (held.delete(commentId)) video.news([comment!], "live");
  }

  const posting: Posting = {
    pending: () => pending,
    post: (message, { videoTimeMs, key = newKey() } = {}) =>
      find(key) ? Promise.reject(new Problem("idempotency_conflict", "The key is in use")) :
      enqueue(message, key, videoTimeMs),
    retry(key) {
      const entry = find(key);
      if (entry?.shown.is != "rejected") return Promise.reject(new Problem("discarded", "Nothing to send again"));
      leave(entry);
      return enqueue(entry.shown.message, key, entry.videoTimeMs, null, entry.after);
    },
    discard(key) {
      const entry = find(key);
      if (!entry) return;
      leave(entry);
      entry.reject(new Problem("discarded"));
      wakeUp();
    },
    wake() {
      if (next()?.shown.is != "waiting") wakeUp();
    },
    hold(comment) {
      if (!awaits(comment)) return false;
      const { commentId } = comment;
      held.set(commentId, [comment, clock.after(OWN_MS_MAX, () => release(commentId))]);
      return true;
    },
    settle(isAll) {
      for (const [commentId, [comment]] of held) if (isAll || !awaits(comment)) release(commentId);
      for (const entry of entries) if (entry.shown.is == "sent" && entry.shown.commentId <= cursor()) leave(entry);
    },
    close() {
      for (const [, cancel] of held.values()) cancel();
      for (const entry of entries) {
        if (entry.shown.is != "sent") entry.reject(new Problem("closed"));
      }
      entries = [];
      pending = [];
      drafts.close();
      wakeUp();
    },
  };
  if (drafts.any()) await tokens.get().catch(() => {}); // to know who speaks
  await drafts.adopt(takeUp);
  return posting;
}

/** Deletes a comment. */
/** Asks again for what may be done twice; who does too much is told at once. */
async function insist(env: Env, path: string, init: RequestInit): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return void await asSpeaker(env, (token) => ask(env, path, "", token, init));
    } catch (thrown) {
      const problem = asProblem(thrown);
      if (problem.isFinal || problem.status == 429 || tries >= ACT_TRIES_MAX) throw problem;
      const ms = Math.max(problem.retryAfterMs, backoffMs(env, tries));
      await within(env, ms, "", () => new Promise(() => {})).catch(() => {});
    }
  }
}

export async function takeDown({ env, id, remove }: Shown, commentId: string): Promise<void> {
  await insist(env, `${commentsPath(id)}/${encodeURIComponent(commentId)}`, { method: "DELETE" }).catch((problem) => {
    if (problem.code != "comment_not_found" && problem.code != "comment_deleted") throw problem;
  });
  remove([commentId], true);
}

export const report = ({ env, id }: Shown, commentId: string, reason: string): Promise<void> =>
  insist(env, `/videos/${encodeURIComponent(id)}/reports/${encodeURIComponent(commentId)}`, {
    method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ reason }),
  });
