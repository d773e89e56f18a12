/** The platform's clock, and the page around. */

import type { Clock, Surroundings } from "./types.js";

/** Frames are not drawn while a page is hidden; then, and where there are none, this soon. */
const FRAME_MS_MAX = 250;
/** A longer timeout fires at once. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

function after(ms: number, act: () => void): () => void {
  const timer = setTimeout(act, Math.min(ms, TIMEOUT_MS_MAX));
  return () => clearTimeout(timer);
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after,
  frame(act) {
    const drawn = globalThis.requestAnimationFrame?.(() => run());
    const late = after(drawn ? FRAME_MS_MAX : 16, () => run());
    const cancel = () => {
      late();
      if (drawn) cancelAnimationFrame(drawn);
    };
    const run = () => {
      cancel();
      act();
    };
    return cancel;
  },
};

export const page: Surroundings = {
  isHidden: () => globalThis.document?.hidden ?? false,
  isOnline: () => globalThis.navigator?.onLine ?? true,
  listen(act) {
    const kinds = ["visibilitychange", "pagehide", "pageshow", "online", "offline"];
    const heard = (event: { type: string }) => act(event.type);
    for (const kind of kinds) globalThis.addEventListener?.(kind, heard);
    return () => {
      for (const kind of kinds) globalThis.removeEventListener?.(kind, heard);
    };
  },
};
