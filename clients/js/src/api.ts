/** Requests to the service: who asks, how long that may take, and whether what came back is an answer of ours. */

import { Problem, asProblem, problemOf } from "./problem.js";
import type { Clock, Comment, Store, Surroundings, Transport } from "./types.js";

/** A request, or a token callback, that takes longer has failed. */
export const REQUEST_MS_MAX = 10_000;
const BACKOFF_MS = 1_000;
export const BACKOFF_MS_MAX = 30_000;

/** Tokens, as requests need them. */
export interface Tokens {
  /** The token of now, renewed if it is time; null: none. */
  get(): Promise<string | null>;
  /** `token` was not accepted: is there another? */
  refused(token: string | null): Promise<string | null>;
  /** The id of who speaks, as far as it is known. */
  userId(): string | undefined;
  /** Set once a read was answered with 401: reads then carry the token, too. */
  forReads?: boolean;
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
  readonly tokens: Tokens;
  /** Ends what is under way. */
  readonly signal: AbortSignal;
}

export interface Request {
  method?: string;
  body?: unknown;
  key?: string;
  /** The newest position that was seen before the first attempt under this key: a later one is told from a new one. */
  after?: string | null;
  /** A bearer, instead of whoever speaks now. */
  bearer?: string;
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
export function within<T>(
  { clock, signal }: Env, ms: number, work: Promise<T>, code: string, act = () => {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    const give = (code: string) => {
      end();
      reject(new Problem(code, "Given up"));
      act();
    };
    const closed = () => give("closed");
    const cancel = clock.after(ms, () => give(code));
    const end = () => {
      cancel();
      signal.removeEventListener("abort", closed);
    };
    signal.addEventListener("abort", closed);
    if (signal.aborted) closed();
    work.then(resolve, reject).finally(end);
  });
}

const never = new Promise<never>(() => {});

/** Waits; less when everything ends. */
export const pause = (env: Env, ms: number): Promise<void> => within(env, ms, never, "").catch(() => {});

/** The headers that say who asks. */
export const bearer = (token: string | null): Record<string, string> =>
  token ? { Authorization: `Bearer ${token}` } : {};

async function once(env: Env, url: string, o: Request, token: string | null): Promise<[unknown, Response]> {
  const control = new AbortController();
  const headers = bearer(token);
  if (o.key) headers["Idempotency-Key"] = o.key;
  if (o.after) headers["Idempotency-After"] = o.after;
  if (o.body) headers["Content-Type"] = "application/json";
  const work = async (): Promise<[unknown, Response]> => {
    const response = await env.fetch(url, {
      method: o.method ?? "GET",
      headers,
      body: o.body ? JSON.stringify(o.body) : null,
      signal: control.signal,
    });
    if (!response.ok) throw await problemOf(response);
    if (response.status == 204) return [null, response];
    const answer: unknown = await response.json().catch(() => {
      throw new Problem("not_ours", "Answered with something that is no JSON", response.status);
    });
    return [answer, response];
  };
  return within(env, REQUEST_MS_MAX, work(), "timeout", () => control.abort()).catch((thrown) => {
    throw asProblem(thrown);
  });
}

/**
 * Asks, and once more with another token if this one is refused. `has` is a member that the answer must have: a proxy
 * may answer 200 for us. Rejects with a Problem.
 */
export async function request<T>(env: Env, path: string, has: string, o: Request = {}): Promise<[T, Response]> {
  const url = env.base + path;
  let token = o.bearer ?? (o.method || env.tokens.forReads ? await env.tokens.get() : null);
  for (let again = !o.bearer; ; again = false) {
    try {
      const [answer, response] = await once(env, url, o, token);
      if (has && !(answer as Record<string, unknown> | null)?.[has]) {
        throw new Problem("not_ours", `Answered without ${has}`, response.status);
      }
      return [answer as T, response];
    } catch (problem) {
      if (!again || (problem as Problem).status != 401) throw problem;
      if (!o.method) env.tokens.forReads = true;
      token = await env.tokens.refused(token);
      if (!token) throw problem;
    }
  }
}

export const commentsPath = (videoId: string) => `/comments/${encodeURIComponent(videoId)}`;

/** A page, and where the stream goes on behind it: relative to where the page came from. */
export async function readPage(
  env: Env, videoId: string, query: Record<string, string | number>,
): Promise<Page & { url: URL }> {
  const path = commentsPath(videoId);
  const asked = new URLSearchParams({ include: "deletes" });
  for (const [name, value] of Object.entries(query)) asked.set(name, String(value));
  const [page, response] = await request<Page>(env, `${path}?${asked}`, "streamUrl");
  return { ...page, url: new URL(page.streamUrl, response.url || env.base + path) };
}
