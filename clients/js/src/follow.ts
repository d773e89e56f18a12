/**
 * Following a video's stream, and being back soon, once only, when it breaks. Whether it is there is judged by what came,
 * never by what a socket says of itself. Loaded while the first page is under way.
 */

import { backoffMs, bearer, commentsPath, readPage } from "./api.js";
import { fetchStream } from "./fetch-stream.js";
import type { Env, Following, Link, LinkEvents, Page } from "./parts.js";
import { Problem, asProblem, parsed } from "./problem.js";
import type { VideoOptions } from "./types.js";

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
/** What a resume gives at most before the service tells a gap; its own bound. */
const MISSED_MAX = 1_000;
/** An announced end that is over sooner is not spoken of. */
const QUIET_MS_MAX = 5_000;

/** `first` is the page that was asked for before this was there. */
export function createFollowing(
  env: Env, videoId: string, o: VideoOptions, maxComments: number, on: LinkEvents, link: Link,
  first?: Promise<Page & { url: URL }>,
): Following {
  const { clock, around } = env;
  const { say } = link;
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
    if (code == "ended") return link.close({ is: code });
    if (!isQuiet) on.tell("problem", problem);
    if (status == 401 && !wasRefused) {
      wasRefused = isRefused = env.shared.needToken = true;
      return begin();
    }
    if (code == "invalid_cursor" && !wasLost) {
      wasLost = true;
      link.url = null;
      return begin();
    }
    if (problem.isFinal) return link.close({ is: "failed", cause: problem });
    const ms = Math.max(backoffMs(env, attempt++), Math.min(RETRY_MS_MAX, Math.max(retryMs, problem.retryAfterMs)));
    if (!isQuiet || ms > QUIET_MS_MAX) {
      say(around.isOnline() ? { is: "reconnecting", attempt, at: clock.now() + ms, cause: problem } : { is: "offline" });
    }
    timer(ms, begin);
  }

  /** An attempt. What a stream's announced end began goes on under the old state. */
  function begin(): void {
    rest();
    unlisten ??= around.listen(surround);
    const mine = turn;
    if (/idle|paused|ended|failed/.test(link.state.is)) say({ is: "connecting" });
    const attempted = async () => {
      if (env.shared.needToken) {
        const asked = env.late("tokenOf", env)(isRefused ? token : undefined);
        isRefused = false;
        token = await asked;
      }
      if (!link.url && o.history !== 0 && !o.from) {
        const asked = first ?? readPage(env, videoId, link.newest, token);
        first = undefined;
        const page = await asked;
        if (mine == turn && !link.url) link.install(page);
      } else if (!link.url) {
        link.url = new URL(`${env.base}${commentsPath(videoId)}/stream`);
        link.cursor = o.from ?? "";
      }
      if (mine == turn) listen();
    };
    attempted().catch((thrown) => mine == turn && fail(asProblem(thrown)));
  }

  function listen(): void {
    const mine = turn;
    const asked = link.url!.searchParams;
    let code = "no_connection";
    retryMs = 0;
    if (link.cursor) asked.set("after", link.cursor);
    asked.set("missed", String(Math.min(MISSED_MAX, maxComments)));
    timer(OPEN_MS_MAX, () => fail(new Problem(code)));
    const own = <A extends unknown[]>(act: (...args: A) => void) => (...args: A) => {
      if (mine == turn) act(...args);
    };
    drop = (env.transport ?? fetchStream).open({ url: link.url!.href, headers: bearer(token), fetch: env.fetch, clock }, {
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

  function stop(): void {
    rest();
    cancelHide();
    unlisten?.();
    unlisten = null;
  }

  return {
    open() {
      attempt = 0;
      begin();
      if (around.isHidden()) surround("");
    },
    close: stop,
    renew() {
      if (/idle|paused/.test(link.state.is)) return;
      say({ is: "connecting" });
      begin();
    },
  };
}
