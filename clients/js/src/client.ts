/** A service, and who speaks to it. */

import type { Env, Tokens } from "./api.js";
import { fetchStream } from "./fetch-stream.js";
import { page, systemClock } from "./platform.js";
import { Problem } from "./problem.js";
import { appTokens, guestSessions } from "./tokens.js";
import type { ClientOptions, CommentsClient, Sessions, Store, Video } from "./types.js";
import { createVideo } from "./video.js";

/** The platform's storage; where it may not even be touched, none. */
function platformStore(name: "localStorage" | "sessionStorage"): Store | null {
  try {
    return globalThis.document ? globalThis[name] : null; // Node has them too, and warns
  } catch {
    return null;
  }
}

const noTokens: Tokens = { get: async () => null, refused: async () => null, userId: () => undefined };
const none = () => Promise.reject(new Problem("not_a_session", "The app brings its own tokens", 403));
const noSessions: Sessions = { get: () => null, open: none, rename: none, end: none };

export function createCommentsClient(o: ClientOptions): CommentsClient {
  const url = new URL(o.baseUrl, globalThis.document?.baseURI);
  const control = new AbortController();
  const env: Env & { tokens: Tokens } = {
    base: url.origin + url.pathname.replace(/\/+$/, ""),
    fetch: o.fetch ?? ((...asked) => fetch(...asked)),
    clock: o.clock ?? systemClock,
    random: o.random ?? Math.random,
    around: o.surroundings ?? page,
    transport: o.transport ?? fetchStream,
    drafts: o.drafts === undefined ? platformStore("sessionStorage") : o.drafts,
    tokens: noTokens,
    signal: control.signal,
  };
  let session = noSessions;
  if (o.getToken) env.tokens = appTokens(env, o.getToken);
  else {
    const { storage = platformStore("localStorage") } = o.guest ?? {};
    const guests = guestSessions(env, storage);
    env.tokens = guests;
    session = guests.sessions;
  }
  const videos = new Map<string, Video>();
  return {
    session,
    video(id, options = {}) {
      const known = videos.get(id);
      if (known) return known;
      const video = createVideo(env, id, options,
        () => videos.set(id, video),
        () => videos.get(id) == video && videos.delete(id));
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
