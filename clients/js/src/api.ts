/** Requests to the service: how long they may take, and whether what came back is an answer of ours. */

import type { Env, Page } from "./parts.js";
import { Problem, asProblem, parsed, problemOf } from "./problem.js";

/** What a request is made with. */
export type Asking = Pick<Env, "base" | "fetch" | "clock" | "signal">;

/** A request, or a token callback, that takes longer has failed. */
export const REQUEST_MS_MAX = 10_000;
const BACKOFF_MS = 1_000;
const BACKOFF_MS_MAX = 30_000;

/** Anything up to the doubled step, so that a crowd that left together does not come back together. */
export const backoffMs = (env: Env, attempt: number): number =>
  env.random() * Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** attempt);

/**
 * What `work` gives, or a problem: its own, or `code` when it takes longer than `ms`, or `closed`. The signal that `work`
 * is given is aborted as soon as nobody waits for it any more.
 */
export const within = <T>(
  { clock, signal }: Pick<Env, "clock" | "signal">, ms: number, code: string, work: (signal: AbortSignal) => Promise<T>,
): Promise<T> => new Promise((resolve, reject) => {
  const control = new AbortController();
  const end = () => {
    cancel();
    signal.removeEventListener("abort", closed);
    control.abort();
  };
  const give = (code: string) => {
    reject(new Problem(code));
    end();
  };
  const closed = () => give("closed");
  const cancel = clock.after(ms, () => give(code));
  signal.addEventListener("abort", closed);
  if (signal.aborted) closed();
  work(control.signal).then(resolve, (thrown) => reject(asProblem(thrown))).finally(end);
});

/**
 * What stands before each path. Given may be a path of the page's own site; a server that draws the page has no address
 * to put before it, and asks for nothing.
 */
export const baseOf = (url: string, page = globalThis.document?.baseURI) =>
  (!page && url.startsWith("/") ? url : new URL(url, page).href).replace(/\/*([?#].*)?$/, "");

/** The headers that say who asks. */
export const bearer = (token?: string | null): Record<string, string> =>
  token ? { Authorization: `Bearer ${token}` } : {};

/**
 * Asks once. `has` is a member that the answer must have, "" where it is a 204: a proxy may answer 200 for us. Rejects with a Problem.
 */
export const ask = <T>(
  env: Asking, path: string, has: string, token?: string | null, init?: RequestInit,
): Promise<[T, Response]> => within(env, REQUEST_MS_MAX, "timeout", async (signal) => {
  const response = await env.fetch(env.base + path, {
    ...init, headers: { ...init?.headers, ...bearer(token) }, signal,
  });
  const answer = response.ok && parsed(await response.text());
  if (has ? !answer[has] : response.status != 204) throw await problemOf(response);
  return [answer, response];
});

export const commentsPath = (videoId: string) => `/comments/${encodeURIComponent(videoId)}`;

/** A page, and where the stream goes on behind it: relative to where the page came from. */
export async function readPage(
  env: Env, videoId: string, query: string, token?: string | null,
): Promise<Page & { url: URL }> {
  const path = commentsPath(videoId);
  const [page, response] = await ask<Page>(env, `${path}?include=deletes&${query}`, "streamUrl", token);
  return { ...page, url: new URL(page.streamUrl, response.url || env.base + path) };
}
