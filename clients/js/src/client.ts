/** A service, and who speaks to it. */

import type { Env, Tokens } from "./api.js";
import { fetchStream } from "./fetch-stream.js";
import { keptIn } from "./kept.js";
import { page, platformStore, systemClock } from "./platform.js";
import { asProblem } from "./problem.js";
import type { ClientOptions, CommentsClient, Store, Video } from "./types.js";
import { createVideo } from "./video.js";

const storeOf = (name: "localStorage" | "sessionStorage", given?: Store | null) =>
  given === undefined ? platformStore(name) : given;

export function createCommentsClient(o: ClientOptions): CommentsClient {
  const url = new URL(o.baseUrl, globalThis.document?.baseURI);
  const control = new AbortController();
  const videos = new Map<string, Video>();
  let tokens: Tokens | undefined;
  const env: Env = {
    base: url.origin + url.pathname.replace(/\/+$/, ""),
    fetch: o.fetch ?? ((...asked) => fetch(...asked)),
    clock: o.clock ?? systemClock,
    random: o.random ?? Math.random,
    around: o.surroundings ?? page,
    transport: o.transport ?? fetchStream,
    drafts: storeOf("sessionStorage", o.drafts),
    kept: o.getToken ? null : keptIn(storeOf("localStorage", o.guest?.storage)),
    getToken: o.getToken,
    reads: {},
    signal: control.signal,
    rest: () => import("./rest.js").catch((thrown) => Promise.reject(asProblem(thrown))),
    tokens: () => env.rest().then(({ createTokens }) => (tokens ??= createTokens(env))),
  };
  return {
    session: {
      get: () => env.kept && env.kept.read(),
      open: (name) => env.tokens().then(({ sessions }) => sessions.open(name)),
      rename: (name) => env.tokens().then(({ sessions }) => sessions.rename(name)),
      end: () => env.tokens().then(({ sessions }) => sessions.end()),
    },
    video(id, options = {}) {
      const known = videos.get(id);
      if (known) return known;
      const video = createVideo(env, id, options, (isUsed) => {
        if (isUsed) videos.set(id, video);
        else if (videos.get(id) == video) videos.delete(id);
      });
      if (control.signal.aborted) video.close();
      else videos.set(id, video);
      return video;
    },
    close() {
      control.abort();
      for (const video of [...videos.values()]) video.close();
    },
  };
}
