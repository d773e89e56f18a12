/**
 * One video's connection: reading the newest page, following the stream from exactly there, and being back soon, once
 * only, when it breaks. Whether it is there is judged by what came, never by what a socket says of itself.
 */

import { backoffMs, bearer, commentsPath, readPage, type Env, type Page } from "./api.js";
import { Problem, asProblem } from "./problem.js";
import type { State, VideoOptions } from "./types.js";

/** A stream that has brought no byte by then is given up: a dead pooled connection, six tabs, a proxy that holds back. */
const OPEN_MS_MAX = 8_000;
/** Between heartbeats, until the service says otherwise. */
const EVERY_MS = 15_000;
const EVERY_MS_MIN = 1_000;
const EVERY_MS_MAX = 120_000;
/** So many heartbeats without a byte, and the connection is dead, whatever it says. */
const SILENCE_MAX = 2.5;
const SILENCE_ON_WAKE_MAX = 1.5;
const TICK_MS = 5_000;
/** A connection that has lived so long was healthy: the next break starts with a short wait again. */
const HEALTHY_MS = 10_000;
const HIDDEN_AFTER_MS = 20_000;
/** What a server may ask for between two connections. */
const RETRY_MS_MAX = 60_000;
const HISTORY = 50;
/** What a resume gives at most before the service tells a gap; its own bound. */
const MISSED_MAX = 1_000;
/** An announced end that is over sooner is not spoken of. */
const QUIET_MS_MAX = 5_000;
/** What an attempt leaves behind at once; the others say what was so until it has succeeded. */
const FRESH = ["idle", "paused", "ended", "failed"];

export interface LinkEvents {
  state(state: State): void;
  problem(problem: Problem): void;
  /** The newest page, in place of everything; complete up to `cursor`. */
  page(page: Page, cursor: string): void;
  /** An event behind everything told before. */
  event(kind: string, told: Record<string, unknown>): void;
}

export interface Link {
  state: State;
  /** Everything up to here was told; "" before anything was. */
  cursor: string;
  open(): void;
  /** To idle, or to `state` for good. */
  close(state?: State): void;
  reload(): Promise<void>;
}

export function createLink(env: Env, videoId: string, o: VideoOptions, maxComments: number, on: LinkEvents): Link {
  const { clock, around } = env;
  const history = o.history ?? HISTORY;
  let url: URL | null = null;
  let turn = 0; // of attempts: what an earlier one still says is not heard
  let drop = () => {}; // the stream of now
  let cancelTimer = () => {};
  let cancelHide = () => {};
  let unlisten: (() => void) | null = null;
  let attempt = 0;
  let openedAt: number | null = null;
  let seenAt = 0, seenWallAt = 0;
  let everyMs = EVERY_MS;
  let retryMs = 0;
  let wasRefused = false; // 401, and the token was asked for
  let wasLost = false; // the position could not be followed, and a page was read instead

  function say(state: State): void {
    const old = link.state;
    link.state = state;
    if (old.is != state.is || "cause" in state || "behindMs" in state) on.state(state);
  }

  /** Nothing under way any more, no timer either. */
  function rest(): void {
    turn++;
    drop();
    drop = () => {};
    cancelTimer();
    if (openedAt != null && clock.now() - openedAt > HEALTHY_MS) attempt = 0;
    openedAt = null;
  }

  function timer(ms: number, act: () => void): void {
    cancelTimer();
    cancelTimer = clock.after(ms, act);
  }

  function fail(problem: Problem, isQuiet = false): void {
    rest();
    if (problem.code == "ended") return close({ is: "ended" });
    if (!isQuiet) on.problem(problem);
    if (problem.status == 401 && !wasRefused) {
      wasRefused = env.tokens.forReads = true;
      return begin();
    }
    if (problem.code == "invalid_cursor" && !wasLost) {
      wasLost = true;
      url = null;
      return begin();
    }
    if (problem.isFinal) return close({ is: "failed", cause: problem });
    const ms = Math.max(backoffMs(env, attempt++), Math.min(RETRY_MS_MAX, Math.max(retryMs, problem.retryAfterMs)));
    if (!isQuiet || ms > QUIET_MS_MAX) {
      say(around.isOnline() ? { is: "reconnecting", attempt, at: clock.now() + ms, cause: problem } : { is: "offline" });
    }
    timer(ms, begin);
  }

  /** An attempt. What a stream's announced end began goes on under the old state. */
  function begin(): void {
    rest();
    const mine = turn;
    const isMine = () => mine == turn;
    if (FRESH.includes(link.state.is)) say({ is: "connecting" });
    const attempted = async () => {
      if (!url) {
        if (history > 0 && !o.from) {
          const page = await readPage(env, videoId, { pageSize: Math.min(history, 100), sort: "desc" });
          if (!isMine()) return;
          install(page);
        } else {
          url = new URL(`${env.base}${commentsPath(videoId)}/stream`);
          link.cursor = o.from ?? "";
        }
      }
      const headers = bearer(env.tokens.forReads ? await env.tokens.get() : null);
      if (isMine()) listen(headers, isMine);
    };
    attempted().catch((thrown) => isMine() && fail(asProblem(thrown)));
  }

  function install(page: Page & { url: URL }): void {
    url = page.url;
    link.cursor = url.searchParams.get("after") ?? "";
    on.page(page, link.cursor);
  }

  function listen(headers: Record<string, string>, isMine: () => boolean): void {
    let wasOpened = false;
    retryMs = 0;
    if (link.cursor) url!.searchParams.set("after", link.cursor);
    url!.searchParams.set("missed", String(Math.min(MISSED_MAX, maxComments)));
    timer(OPEN_MS_MAX, () => fail(wasOpened
      ? new Problem("held_back", "A stream was opened and brought nothing: something on the way holds it back")
      : new Problem("no_connection", "No answer in 8 s: an unreachable service, or too many tabs without HTTP/2")));
    const mine = <A extends unknown[]>(act: (...args: A) => void) => (...args: A) => {
      if (isMine()) act(...args);
    };
    drop = env.transport.open({ url: url!.href, headers, fetch: env.fetch, clock }, {
      opened: mine(() => { wasOpened = true; }),
      alive: mine(alive),
      retry: mine((ms: number) => { retryMs = ms; }),
      event: mine((kind: string, id: string, data: string) => {
        const told = parsed(data);
        if (kind == "bye") fail(new Problem(told.reason == "ended" ? "ended" : "bye", "The service ends the stream"), true);
        else hear(kind, id, told);
      }),
      end: mine((problem?: Problem) => fail(problem ?? new Problem("cut", "The stream ended"))),
    });
  }

  function alive(): void {
    seenAt = clock.now();
    seenWallAt = clock.wallNow();
    if (openedAt == null) {
      openedAt = seenAt;
      wasRefused = wasLost = false;
      timer(tickMs(), tick);
      say({ is: "live" });
    }
  }

  function hear(kind: string, id: string, told: Record<string, unknown>): void {
    if (kind == "stale") say({ is: "stale", behindMs: Number(told.behindMs) });
    else if (link.state.is == "stale") say({ is: "live" });
    if (Number(told.everyMs) > 0) everyMs = Math.min(EVERY_MS_MAX, Math.max(EVERY_MS_MIN, Number(told.everyMs)));
    const isNew = !id || id > link.cursor;
    if (!isNew && kind != "heartbeat" && kind != "video") return;
    if (id && isNew && kind != "begin") link.cursor = id;
    on.event(kind, told);
  }

  /** How long nothing has come; a clock that was set and a machine that slept look alike, so both are made sure of. */
  const silentMs = () => Math.max(clock.now() - seenAt, Math.abs(clock.wallNow() - seenWallAt));

  const tickMs = () => Math.min(TICK_MS, everyMs / 3);

  function tick(): void {
    if (silentMs() > SILENCE_MAX * everyMs - tickMs()) fail(new Problem("silent", "Nothing came for 2.5 heartbeats"));
    else timer(tickMs(), tick);
  }

  function surround(kind: string): void {
    if (kind == "pagehide") return pause(); // an open stream keeps a page out of the back/forward cache
    if (kind == "offline") return link.state.is == "paused" ? undefined : fail(new Problem("offline", "The device has no network"));
    cancelHide();
    if (around.isHidden()) {
      const ms = o.hiddenAfterMs ?? HIDDEN_AFTER_MS;
      if (ms !== false) cancelHide = clock.after(ms, pause);
    } else if (openedAt == null ? link.state.is != "connecting" : silentMs() > SILENCE_ON_WAKE_MAX * everyMs) {
      attempt = 0;
      if (openedAt != null) say({ is: "connecting" });
      begin();
    }
  }

  function pause(): void {
    rest();
    say({ is: "paused" });
  }

  function close(state: State): void {
    rest();
    cancelHide();
    unlisten?.();
    unlisten = null;
    say(state);
  }

  const link: Link = {
    state: { is: "idle" },
    cursor: "",
    open() {
      if (unlisten) return;
      if (link.state.is != "idle") return;
      attempt = 0;
      unlisten = around.listen(surround);
      begin();
      if (around.isHidden()) surround("visibilitychange");
    },
    close: (state = { is: "idle" }) => close(state),
    async reload() {
      const page = await readPage(env, videoId, { pageSize: Math.min(history || HISTORY, 100), sort: "desc" });
      const { is } = link.state;
      if (is == "closed") return;
      rest();
      install(page);
      if (is == "idle" || is == "paused") return;
      unlisten ??= around.listen(surround);
      say({ is: "connecting" });
      begin();
    },
  };
  return link;
}

function parsed(data: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(data || "{}"));
  } catch {
    return {}; // an event of another kind than we know
  }
}
