/** A clock that goes only when told to, and tells what still waits on it. */

import type { Clock } from "../src/index.js";

/** Lets everything that is ready run: promises, pieces of bodies. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export const FRAME_MS = 16;

/** A timer that sets itself anew at once would never let the time pass. */
const RUNS_MAX = 100_000;

type Timer = { at: number; act: () => void };

export class TestClock {
  time = 0;
  wall = 1_800_000_000_000;
  #timers = new Set<Timer>();

  at(ms: number, act: () => void): () => void {
    const timer = { at: this.time + Math.max(0, ms), act };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Runs what is due in the next `ms`, in order, and lets its consequences settle in between. */
  async pass(ms: number, look = () => {}): Promise<void> {
    const end = this.time + ms;
    let left = RUNS_MAX;
    await settled();
    for (;;) {
      let next: Timer | null = null;
      for (const timer of this.#timers) if (timer.at <= end && (!next || timer.at < next.at)) next = timer;
      if (!next) break;
      if (--left < 0) throw new Error(`Timers without end at ${this.time}`);
      this.#timers.delete(next);
      this.#go(next.at);
      next.act();
      await settled();
      look();
    }
    this.#go(end);
  }

  #go(to: number): void {
    this.wall += to - this.time;
    this.time = to;
  }

  /** The view a client has. `open` is how many of its timers wait. */
  client(): Clock & { open(): number } {
    let open = 0;
    const after = (ms: number, act: () => void) => {
      open++;
      let isOpen = true;
      const close = () => {
        if (isOpen) open--;
        isOpen = false;
      };
      const cancel = this.at(ms, () => {
        close();
        act();
      });
      return () => {
        close();
        cancel();
      };
    };
    return {
      open: () => open,
      now: () => this.time,
      wallNow: () => this.wall,
      after,
      frame: (act) => after(FRAME_MS, act),
    };
  }
}
