/** Who speaks: the app's own tokens, or a guest's session. What is measured of a token is its age, never a date. */

import { REQUEST_MS_MAX, ask, within } from "./api.js";
import type { Kept, KeptSession } from "./kept.js";
import type { Env, Tokens } from "./parts.js";
import { Problem, asProblem, parsed } from "./problem.js";
import type { ClientOptions, Session } from "./types.js";

/** Half a life is at least this, whatever two clocks that disagree make of it, and at most that. */
const HALF_MS_MIN = 60_000;
const HALF_MS_MAX = 15 * 24 * 3_600_000;

const clamp = (ms: number) => Math.min(HALF_MS_MAX, Math.max(HALF_MS_MIN, ms || 0));

const none = () => Promise.reject(new Problem("not_a_session", "The app brings its own tokens", 403));

/** Who speaks, by what the app has given. */
export const tokensOf = (env: Env): Tokens =>
  (env.shared.tokens ??= env.getToken ? appTokens(env, env.getToken) : guestTokens(env, env.kept!));

/** The token of now, or another than the one that was refused. */
export const tokenOf = async (env: Env, refused?: string | null) =>
  refused === undefined ? tokensOf(env).get() : tokensOf(env).refused(refused);

export const openSession = async (env: Env, name: string) => tokensOf(env).sessions.open(name);
export const renameSession = async (env: Env, name: string) => tokensOf(env).sessions.rename(name);
export const endSession = async (env: Env) => tokensOf(env).sessions.end();

/**
 * Does `act` as who speaks, and once more with another token where that one is refused. `isRead`: without one, as long as
 * the service takes that. Rejects with a Problem.
 */
export async function asSpeaker<T>(env: Env, act: (token: string | null) => Promise<T>, isRead = false): Promise<T> {
  const { shared } = env;
  const token = isRead && !shared.needToken ? null : await tokenOf(env);
  try {
    return await act(token);
  } catch (thrown) {
    if (asProblem(thrown).status != 401) throw thrown;
    if (isRead) shared.needToken = true;
    const other = await tokenOf(env, token);
    if (!other) throw thrown;
    return act(other);
  }
}

/** The claims of a JWT, as far as it is one. */
function claimsOf(token: string | null): { sub?: string; iat?: number; exp?: number } {
  try {
    return parsed(atob(token!.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
  } catch {
    return {};
  }
}

/** Tokens of the app. Asked for when a request needs one; many that wait at once ask once. */
function appTokens(env: Env, getToken: NonNullable<ClientOptions["getToken"]>): Tokens {
  let token: string | null = null;
  let isFirst = true;
  let takenAt = 0;
  let asking: Promise<string | null> | null = null;

  const ask = (why: "first" | "refused" | "renew") =>
    (asking ??= within(env, REQUEST_MS_MAX, "no_token", async () => getToken(isFirst ? "first" : why))
      .then(
        (given) => {
          takenAt = env.clock.now();
          isFirst = false;
          return (token = given);
        },
        (thrown) => {
          throw new Problem("no_token", `getToken: ${thrown?.message ?? thrown}`);
        },
      )
      .finally(() => (asking = null)));

  return {
    async get() {
      if (isFirst) return ask("first");
      const { iat, exp } = claimsOf(token);
      const isOld = exp! > iat! && env.clock.now() - takenAt > (exp! - iat!) * 500;
      return isOld ? ask("renew").catch(() => token) : token; // the old one is good until it is refused
    },
    refused: async (old) => (old == token || asking ? ask("refused") : token),
    userId: () => claimsOf(token).sub,
    sessions: { open: none, rename: none, end: none },
  };
}

/** Sessions of guests. */
function guestTokens(env: Env, kept: Kept): Tokens {
  let renewing: Promise<unknown> | null = null;

  function keep(session: KeptSession | null): void {
    kept.memory = session && JSON.stringify(session);
    try {
      if (kept.memory) kept.storage?.setItem(kept.name, kept.memory);
      else kept.storage?.removeItem(kept.name);
    } catch {
      // full or forbidden: memory has it
    }
  }

  async function take(path: string, displayName: string, bearer: string, body?: object): Promise<Session> {
    const [told, response] = await ask<Session & { expiresAt: string }>(env, path, "sessionToken", bearer, {
      method: "POST",
      ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
    });
    const wallNow = env.clock.wallNow();
    const lifeMs = Date.parse(told.expiresAt) - (Date.parse(response.headers.get("Date")!) || wallNow);
    const session: KeptSession = { ...told, displayName, takenAt: wallNow, halfMs: clamp(lifeMs / 2) };
    keep(session);
    return session;
  }

  const renew = ({ sessionToken }: KeptSession, displayName: string, body?: object) =>
    take("/sessions/current", displayName, sessionToken, body);

  const token = () => kept.read()?.sessionToken ?? null;
  return {
    async get() {
      const session = kept.read();
      if (session && !(Math.abs(env.clock.wallNow() - session.takenAt) < session.halfMs)) {
        // The old token is good until it is refused; the next request tries again.
        await (renewing ??= renew(session, session.displayName).catch(() => {}).finally(() => (renewing = null)));
      }
      return token();
    },
    async refused(old) {
      if (old && old == token()) keep(null);
      return token();
    },
    userId: () => kept.read()?.userId,
    sessions: {
      open: (displayName: string) => take("/sessions", displayName, "", { displayName }),
      async rename(displayName: string) {
        const session = kept.read();
        if (!session) throw new Problem("missing_token", "No session to rename", 401);
        return renew(session, displayName, { displayName });
      },
      async end() {
        const session = kept.read();
        keep(null);
        if (session) await ask(env, "/sessions/current", "", session.sessionToken, { method: "DELETE" });
      },
    },
  };
}
