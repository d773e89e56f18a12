/** Comments and writers a minute, for a sparkline. Its own entry: who follows a video does not load it. */

import { ask, baseOf } from "./api.js";
import { systemClock } from "./platform.js";
import type { Counts, CountsOptions } from "./types.js";

/**
 * The last hour of a video. It needs no token, and asks once: browsers and caches keep an answer for five seconds, so
 * ask as often as you draw. Rejects with a Problem: `counts_not_kept` where the service does not count, `overloaded`
 * while it is still reading the counts.
 */
export async function counts(videoId: string, o: CountsOptions): Promise<Counts> {
  const { signal = new AbortController().signal, clock = systemClock } = o;
  const asking = { base: baseOf(o.baseUrl), fetch: o.fetch ?? ((...asked) => fetch(...asked)), clock, signal };
  return (await ask<Counts>(asking, `/videos/${encodeURIComponent(videoId)}/counts`, "minutes"))[0];
}

export { Problem } from "./problem.js";
export type { Counts, CountsOptions, Minute } from "./types.js";
