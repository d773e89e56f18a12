/** A service, and who speaks to it. */

import { REQUEST_MS_MAX, baseOf, within } from "./api.js";
import { keptIn } from "./kept.js";
import type { Env, Rest } from "./parts.js";
import { page, platformStore, systemClock } from "./platform.js";
import type { ClientOptions, CommentsClient, Store, Video } from "./types.js";
import { createVideo } from "./video.js";

const storeOf = (name: "localStorage" | "sessionStorage", given?: Store | null) =>
  given === undefined ? platformStore(name) : given;

/** Videos that nobody uses are remembered so long: a server that draws pages asks for each of its videos, and uses none. */
const UNUSED_MAX = 100;

export function createCommentsClient(o: ClientOptions): CommentsClient {
  const control = new AbortController();
  const videos = new Map<string, Video>();
  let loading: Promise<Rest> | null = null;
  /** What only those need who write or read back: a part of its own, loaded behind the first comments. */
  const rest = () => (loading ??= within<Rest>(env, REQUEST_MS_MAX, "timeout", () => import("./rest.js")).catch((problem) => {
    loading = null;
    throw problem;
  }));
  const late = ((act, of: any) => async (...given: any[]) => ((await rest())[act] as any)(of, ...given)) as Env["late"];
  const base = baseOf(o.baseUrl);
  const env: Env = {
    base,
    fetch: o.fetch ?? ((...asked) => fetch(...asked)),
    clock: o.clock ?? systemClock,
    random: o.random ?? Math.random,
    around: o.surroundings ?? page,
    transport: o.transport,
    drafts: storeOf("sessionStorage", o.drafts),
    kept: o.getToken ? null : keptIn(storeOf("localStorage", o.guest?.storage), base),
    getToken: o.getToken,
    shared: {},
    signal: control.signal,
    late,
  };
  return {
    session: {
      get: () => env.kept && env.kept.read(),
      open: late("openSession", env),
      rename: late("renameSession", env),
      end: late("endSession", env),
    },
    video(id, options = {}) {
      const known = videos.get(id);
      if (known) return known;
      const video = createVideo(env, id, options, (isUsed) => {
        if (isUsed) videos.set(id, video);
        else if (videos.get(id) == video) videos.delete(id);
      });
      for (const [each, { getSnapshot }] of videos) {
        if (videos.size >= UNUSED_MAX && getSnapshot().state.is == "idle") videos.delete(each);
      }
      videos.set(id, video);
      if (control.signal.aborted || options.signal?.aborted) video.close();
      return video;
    },
    close() {
      control.abort();
      for (const video of [...videos.values()]) video.close();
    },
  };
}
