/**
 * One stream for all tabs of a site: one leads, by a Web Lock, and tells the others by BroadcastChannel. Whoever leads
 * next goes on from its own cursor, so nothing is missed; what a tab missed while it joined comes out of the leader's
 * memory, or else the tab reads it by a stream of its own.
 */

import { fetchStream } from "./fetch-stream.js";
import { Problem } from "./problem.js";
import type { Transport } from "./types.js";

/** Events that each tab remembers, for whoever joins. */
const RING_MAX = 500;
/** A leader that does not answer in this time is frozen: its lock is taken away. */
const ANSWER_MS_MAX = 4_000;

type Told = [kind: string, id: string, data: string];
/**
 * `e`: what came together. `h`: I am at `h`, what did I miss? `a`: the answer to tab `to`; null: too much for a memory. `l`: I
 * lead from now on. `x`: my stream has ended.
 */
type Note = { e?: Told[]; h?: string; by?: number; a?: Told[] | null; to?: number; l?: 1; x?: 1 };

/** A transport for `createCommentsClient`. Where the browser has no locks, each tab has its own stream. */
export function sharedStream(inner: Transport = fetchStream): Transport {
  return {
    open(request, sink) {
      const locks = globalThis.navigator?.locks;
      if (!locks || !globalThis.BroadcastChannel) return inner.open(request, sink);
      const url = new URL(request.url);
      const name = url.origin + url.pathname;
      const channel = new BroadcastChannel(name);
      const by = Math.random();
      const waiting = new AbortController();
      const ring: Told[] = [];
      let cursor = url.searchParams.get("after") ?? "";
      let base = cursor; // what the ring begins behind
      let isLeading = false;
      let isFollowing = false; // from the answer on; what is told before is in the answer
      let isOver = false;
      let close = () => {};
      let release = () => {};

      const send = (note: Note) => channel.postMessage(note);
      const greet = () => send({ h: cursor, by });
      const news: Told[] = [];
      /** Once for all that came together: a message to other tabs goes by way of the browser's own process. */
      const pass = () => isOver || send({ e: news.splice(0) });

      function hear(told: Told): void {
        if (told[1] > cursor) {
          cursor = told[1];
          ring.push(told);
          if (ring.length > RING_MAX) base = ring.shift()![1];
        }
        sink.event(...told); // who listens passes over what is not new
      }

      /** A stream of our own from where we are: for all if we lead, else until we have caught up. */
      function stream(): void {
        close();
        if (cursor) url.searchParams.set("after", cursor);
        close = inner.open({ ...request, url: url.href }, {
          ...sink,
          event(...told) {
            if (isLeading) news.push(told) > 1 || queueMicrotask(pass);
            else if (told[0] == "heartbeat") greet();
            hear(told);
          },
          end(problem) {
            if (isLeading) send({ x: 1 });
            end(problem);
          },
        });
      }

      function lead(): Promise<void> | undefined {
        if (isOver) return;
        late();
        isLeading = true;
        send({ l: 1 });
        stream();
        return new Promise((resolve) => (release = resolve));
      }

      function over(): void {
        isOver = true;
        late();
        waiting.abort();
        close();
        release();
        channel.close();
      }

      function end(problem: Problem = new Problem("cut", "The leading tab ended")): void {
        if (isOver) return;
        over();
        sink.end(problem);
      }

      channel.onmessage = ({ data: { e, h, by: asks, a, to, l, x } }: MessageEvent<Note>) => {
        if (isOver) return;
        if (isLeading) {
          if (asks) send({ to: asks, a: h! < base ? null : ring.filter(([, id]) => id > h!) });
        } else if (l) {
          isFollowing = false;
          greet();
        } else if (x) end();
        else if (e && isFollowing) {
          sink.alive();
          e.forEach(hear);
        }
        else if (to == by) {
          late();
          isFollowing = Boolean(a);
          if (!a) return stream();
          close();
          sink.opened();
          sink.alive();
          a.forEach(hear);
        }
      };
      const lost = () => end(); // the lock was taken away, or there is none
      const late = request.clock.after(ANSWER_MS_MAX, () => locks.request(name, { steal: true }, lead).catch(lost));
      locks.request(name, { signal: waiting.signal }, lead).catch(lost);
      greet();
      return over;
    },
  };
}
