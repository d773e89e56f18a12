/** A service, and who speaks to it. */

import { keptIn } from "./kept.js";
import type { Env, Rest } from "./parts.js";
import { page, platformStore, systemClock } from "./platform.js";
import { asProblem } from "./problem.js";
import type { ClientOptions, CommentsClient, Store, Video } from "./types.js";
import { createVideo } from "./video.js";

const storeOf = (name: "localStorage" | "sessionStorage", given?: Store | null) =>
  given === undefined ? platformStore(name) : given;

/** What only those need who write or read back: a part of its own, loaded behind the first comments. */
const rest = (): Promise<Rest> => import("./rest.js").catch((thrown) => Promise.reject(asProblem(thrown)));

export function createCommentsClient(o: ClientOptions): CommentsClient {
  const control = new AbortController();
  const videos = new Map<string, Video>();
  const late = ((act, of: any) => async (...given: any[]) => ((await rest())[act] as any)(of, ...given)) as Env["late"];
  const env: Env = {
    base: new URL(o.baseUrl, globalThis.document?.baseURI).href.replace(/\/*([?#].*)?$/, ""),
    fetch: o.fetch ?? ((...asked) => fetch(...asked)),
    clock: o.clock ?? systemClock,
    random: o.random ?? Math.random,
    around: o.surroundings ?? page,
    transport: o.transport,
    drafts: storeOf("sessionStorage", o.drafts),
    kept: o.getToken ? null : keptIn(storeOf("localStorage", o.guest?.storage)),
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
      videos.set(id, video);
      if (control.signal.aborted) video.close();
      return video;
    },
    close() {
      control.abort();
      for (const video of [...videos.values()]) video.close();
    },
  };
}
