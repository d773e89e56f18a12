/** The platform's clock, and the page around. */

import type { Clock, Store, Surroundings } from "./types.js";

/** Frames are not drawn while a page is hidden; then, and where there are none, this soon. */
const FRAME_MS_MAX = 250;
const NO_FRAME_MS = 16;
/** A longer timeout fires at once. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;
const KINDS = ["visibilitychange", "pagehide", "pageshow", "online", "offline"];

const platform: Partial<typeof globalThis> = globalThis;

export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after(ms, act) {
    const timer = setTimeout(act, Math.min(ms, TIMEOUT_MS_MAX));
    return () => clearTimeout(timer);
  },
  frame(act) {
    const run = () => {
      cancel();
      act();
    };
    const drawn = platform.requestAnimationFrame?.(run);
    const late = systemClock.after(drawn ? FRAME_MS_MAX : NO_FRAME_MS, run);
    const cancel = () => {
      late();
      if (drawn) cancelAnimationFrame(drawn);
    };
    return cancel;
  },
};

export const page: Surroundings = {
  isHidden: () => platform.document?.hidden ?? false,
  isOnline: () => platform.navigator?.onLine ?? true,
  listen(act) {
    const control = new AbortController();
    for (const kind of KINDS) {
      platform.addEventListener?.(kind, () => act(kind), { signal: control.signal });
    }
    return () => control.abort();
  },
};

/** The platform's storage; where it may not even be touched, none. */
export function platformStore(name: "localStorage" | "sessionStorage"): Store | null {
  try {
    return platform.document ? globalThis[name] : null; // Node has them too, and warns
  } catch {
    return null;
  }
}
