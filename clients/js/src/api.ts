/** Requests to the service: who asks, how long that may take, and whether what came back is an answer of ours. */

import type { Kept } from "./kept.js";
import { Problem, asProblem, problemOf } from "./problem.js";
import type { Clock, Comment, Sessions, Store, Surroundings, Transport, ClientOptions } from "./types.js";

/** A request, or a token callback, that takes longer has failed. */
export const REQUEST_MS_MAX = 10_000;
const BACKOFF_MS = 1_000;
const BACKOFF_MS_MAX = 30_000;

/** Who speaks. */
export interface Tokens {
  /** The token of now, renewed if it is time; null: none. */
  get(): Promise<string | null>;
  /** `token` was not accepted: is there another? */
  refused(token: string | null): Promise<string | null>;
  /** The id of who speaks, as far as it is known. */
  userId(): string | undefined;
  readonly sessions: Omit<Sessions, "get">;
}

/** What a client's parts share. */
export interface Env {
  readonly base: string;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  readonly random: () => number;
  readonly around: Surroundings;
  readonly transport: Transport;
  readonly drafts: Store | null;
  /** The guest's session; null: the app brings its own tokens. */
  readonly kept: Kept | null;
  readonly getToken: ClientOptions["getToken"];
  /** Set once a read was answered with 401: reads then carry the token, too. */
  readonly reads: { needToken?: boolean };
  /** The part that is loaded when somebody writes, or reads back. */
  rest(): Promise<typeof import("./rest.js")>;
  tokens(): Promise<Tokens>;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

/** What pages of history answer. */
export interface Page {
  comments: Comment[];
  nextCursor: string | null;
  streamUrl: string;
  /** Ids deleted in the page's range, where the service tells them. */
  deletes?: string[];
}

/** Anything up to the doubled step, so that a crowd that left together does not come back together. */
export const backoffMs = (env: Env, attempt: number): number =>
  env.random() * Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** attempt);

/** `work`, or a problem when it takes longer than `ms`, or when the signal ends it. `act` is called in both cases. */
export const within = <T>(
  { clock, signal }: Env, ms: number, work: Promise<T>, code: string, act = () => {},
): Promise<T> => new Promise((resolve, reject) => {
  const end = () => {
    cancel();
    signal.removeEventListener("abort", closed);
  };
  const give = (code: string) => {
    end();
    reject(new Problem(code));
    act();
  };
  const closed = () => give("closed");
  const cancel = clock.after(ms, () => give(code));
  signal.addEventListener("abort", closed);
  if (signal.aborted) closed();
  work.then(resolve, reject).finally(end);
});

/** The headers that say who asks. */
export const bearer = (token: string | null): Record<string, string> =>
  token ? { Authorization: `Bearer ${token}` } : {};

/**
 * Asks, and once more with another token if this one is refused. `has` is a member that the answer must have: a proxy
 * may answer 200 for us. `own` is a bearer instead of whoever speaks now. Rejects with a Problem.
 */
export async function request<T>(
  env: Env, path: string, has: string, init: RequestInit = {}, own?: string,
): Promise<[T, Response]> {
  let token = own ?? (init.method || env.reads.needToken ? await (await env.tokens()).get() : null);
  for (let again = own == null; ; again = false) {
    const control = new AbortController();
    const work = async (): Promise<[T, Response]> => {
      const response = await env.fetch(env.base + path, {
        ...init, headers: { ...init.headers, ...bearer(token) }, signal: control.signal,
      });
      if (!response.ok) throw await problemOf(response);
      const answer = has && await response.json().catch(() => {});
      if (has && !answer?.[has]) throw new Problem("not_ours", `No ${has}`, response.status);
      return [answer, response];
    };
    try {
      return await within(env, REQUEST_MS_MAX, work(), "timeout", () => control.abort());
    } catch (thrown) {
      const problem = asProblem(thrown);
      if (!again || problem.status != 401) throw problem;
      if (!init.method) env.reads.needToken = true;
      token = await (await env.tokens()).refused(token);
      if (!token) throw problem;
    }
  }
}

export const commentsPath = (videoId: string) => `/comments/${encodeURIComponent(videoId)}`;

/** A page, and where the stream goes on behind it: relative to where the page came from. */
export async function readPage(env: Env, videoId: string, query: string): Promise<Page & { url: URL }> {
  const path = commentsPath(videoId);
  const [page, response] = await request<Page>(env, `${path}?include=deletes&${query}`, "streamUrl");
  return { ...page, url: new URL(page.streamUrl, response.url || env.base + path) };
}
