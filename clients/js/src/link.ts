/**
 * One video's connection: reading the newest page, following the stream from exactly there, and being back soon, once
 * only, when it breaks. Whether it is there is judged by what came, never by what a socket says of itself.
 */

import { backoffMs, bearer, commentsPath, readPage, type Env, type Page } from "./api.js";
import { Problem, asProblem, parsed } from "./problem.js";
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
const PAGE_MAX = 100;
/** What a resume gives at most before the service tells a gap; its own bound. */
const MISSED_MAX = 1_000;
/** An announced end that is over sooner is not spoken of. */
const QUIET_MS_MAX = 5_000;

export interface LinkEvents {
  state(state: State): void;
  problem(problem: Problem): void;
  /** The newest page, in place of everything; complete up to `cursor`. */
  page(page: Page, cursor: string): void;
  /** An event behind everything told before. */
  event(kind: string, told: any): void;
}

export interface Link {
  state: State;
  /** Everything up to here was told; "" before anything was. */
  cursor: string;
  open(): void;
  /** To `state`, for good unless that is idle. */
  close(state: State): void;
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
  let openedAt = 0; // 0: it is not
  let seenAt = 0, seenWallAt = 0;
  let everyMs = EVERY_MS;
  let retryMs = 0;
  let token: string | null = null;
  let wasRefused = false; // 401, and another token was asked for
  let isRefused = false; // and is still to be asked for
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
    if (openedAt && clock.now() - openedAt > HEALTHY_MS) attempt = 0;
    openedAt = 0;
  }

  function timer(ms: number, act: () => void): void {
    cancelTimer();
    cancelTimer = clock.after(ms, act);
  }

  function fail(problem: Problem, isQuiet = false): void {
    rest();
    const { code, status } = problem;
    if (code == "ended") return close({ is: code });
    if (!isQuiet) on.problem(problem);
    if (status == 401 && !wasRefused) {
      wasRefused = isRefused = env.reads.needToken = true;
      return begin();
    }
    if (code == "invalid_cursor" && !wasLost) {
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
    if (/idle|paused|ended|failed/.test(link.state.is)) say({ is: "connecting" });
    const attempted = async () => {
      if (!url && history > 0 && !o.from) {
        const page = await newest();
        if (mine == turn) install(page);
      } else if (!url) {
        url = new URL(`${env.base}${commentsPath(videoId)}/stream`);
        link.cursor = o.from ?? "";
      }
      if (mine == turn && env.reads.needToken) {
        const tokens = await env.tokens();
        const asked = isRefused ? tokens.refused(token) : tokens.get();
        isRefused = false;
        token = await asked;
      }
      if (mine == turn) listen();
    };
    attempted().catch((thrown) => mine == turn && fail(asProblem(thrown)));
  }

  const newest = () => readPage(env, videoId, `sort=desc&pageSize=${Math.min(history || HISTORY, PAGE_MAX)}`);

  function install(page: Page & { url: URL }): void {
    url = page.url;
    link.cursor = url.searchParams.get("after") ?? "";
    on.page(page, link.cursor);
  }

  function listen(): void {
    const mine = turn;
    const asked = url!.searchParams;
    let code = "no_connection";
    retryMs = 0;
    if (link.cursor) asked.set("after", link.cursor);
    asked.set("missed", String(Math.min(MISSED_MAX, maxComments)));
    timer(OPEN_MS_MAX, () => fail(new Problem(code)));
    const own = <A extends unknown[]>(act: (...args: A) => void) => (...args: A) => {
      if (mine == turn) act(...args);
    };
    drop = env.transport.open({ url: url!.href, headers: bearer(token), fetch: env.fetch, clock }, {
      opened: () => void (code = "held_back"),
      alive: own(alive),
      retry: own((ms: number) => void (retryMs = ms)),
      event: own(hear),
      end: own((problem = new Problem("cut")) => fail(problem)),
    });
  }

  function alive(): void {
    seenAt = clock.now();
    seenWallAt = clock.wallNow();
    if (openedAt) return;
    openedAt = seenAt || 1;
    wasRefused = wasLost = false;
    tick();
    say({ is: "live" });
  }

  function hear(kind: string, id: string, data: string): void {
    const told = parsed(data);
    if (kind == "bye") return fail(new Problem(told.reason == "ended" ? told.reason : kind), true);
    if (kind == "stale") say({ is: kind, behindMs: +told.behindMs });
    else if (link.state.is == "stale") say({ is: "live" });
    if (told.everyMs > 0) everyMs = Math.min(EVERY_MS_MAX, Math.max(EVERY_MS_MIN, +told.everyMs));
    const isNew = !id || id > link.cursor;
    if (!isNew && kind != "heartbeat" && kind != "video") return;
    if (id && isNew) link.cursor = id;
    on.event(kind, told);
  }

  /** How long nothing has come; a clock that was set and a machine that slept look alike, so both are made sure of. */
  const silentMs = () => Math.max(clock.now() - seenAt, Math.abs(clock.wallNow() - seenWallAt));

  function tick(): void {
    const ms = Math.min(TICK_MS, everyMs / 3);
    if (silentMs() > SILENCE_MAX * everyMs - ms) fail(new Problem("silent"));
    else timer(ms, tick);
  }

  function surround(kind: string): void {
    if (kind == "pagehide") return pause(); // an open stream keeps a page out of the back/forward cache
    if (kind == "offline") return link.state.is == "paused" ? undefined : fail(new Problem(kind));
    cancelHide();
    if (around.isHidden()) {
      const ms = o.hiddenAfterMs ?? HIDDEN_AFTER_MS;
      if (ms !== false) cancelHide = clock.after(ms, pause);
    } else if (openedAt ? silentMs() > SILENCE_ON_WAKE_MAX * everyMs : link.state.is != "connecting") {
      attempt = 0;
      if (openedAt) say({ is: "connecting" });
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
    close,
    open() {
      attempt = 0;
      unlisten ??= around.listen(surround);
      begin();
      if (around.isHidden()) surround("");
    },
    async reload() {
      const page = await newest();
      const { is } = link.state;
      if (is == "closed") return;
      rest();
      install(page);
      if (/idle|paused/.test(is)) return;
      unlisten ??= around.listen(surround);
      say({ is: "connecting" });
      begin();
    },
  };
  return link;
}
