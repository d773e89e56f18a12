/** The gateway as this page needs it: sessions, pages of history, appending, deleting; and when to try again. */

const SESSION_KEY = "livecomments.session";
const NAME_KEY = "livecomments.name";
const REQUEST_TIMEOUT_MS = 10_000;
const BACKOFF_MS = 1_000;
const BACKOFF_MS_MAX = 30_000;
const PAGE_SIZE = 30;

/** The gateway has said no; nothing was written. The text says what to do. */
export class RequestRejected extends Error {
  constructor(text, status) {
    super(text);
    this.status = status;
  }
}

/** No answer, or one that leaves open whether it was done. The same request may be made again. */
export class GatewayUnavailable extends Error {
  constructor(text, retryAfterS = 0) {
    super(text);
    this.retryAfterMs = 1_000 * retryAfterS;
  }
}

/** Full jitter: anything up to the doubled step, so that a crowd that left together does not come back together. */
export function backoffMs(attempt) {
  return Math.random() * Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** attempt);
}

/** Does `work`, again while the gateway is unavailable, at most `triesMax` times. `onWait` hears of each wait. */
export async function retrying(work, triesMax = Infinity, onWait = () => {}) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof GatewayUnavailable) || attempt + 1 >= triesMax) throw error;
      onWait(error);
      await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs + backoffMs(attempt)));
    }
  }
}

async function request(path, { method = "GET", token, key, body } = {}) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (key) headers["Idempotency-Key"] = key;
  if (body) headers["Content-Type"] = "application/json";
  let response, answer;
  try {
    response = await fetch(path, {
      method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    answer = await response.text();
    if (response.ok) return answer ? JSON.parse(answer) : null;
  } catch {
    throw new GatewayUnavailable("The server cannot be reached.");
  }
  let problem = {};
  try {
    problem = JSON.parse(answer);
  } catch { /* a proxy's own error page */ }
  const text = problem.detail || problem.title || `The server answered ${response.status}.`;
  if (response.status >= 500 || (response.status === 429 && method === "GET")) {
    throw new GatewayUnavailable(text, Number(response.headers.get("Retry-After")) || 0);
  }
  throw new RequestRejected(text, response.status);
}

const commentsPath = (videoId) => `/comments/${encodeURIComponent(videoId)}`;

/** One page, newest first: `{comments, nextCursor, streamUrl}`. */
export async function readPage(videoId, cursor = null) {
  const query = new URLSearchParams({ pageSize: PAGE_SIZE, sort: "desc" });
  if (cursor) query.set("cursor", cursor);
  const path = `${commentsPath(videoId)}?${query}`;
  const page = await request(path);
  return { ...page, streamUrl: new URL(page.streamUrl, new URL(path, location.href)).href };
}

export function appendComment(videoId, message, key, token) {
  return request(commentsPath(videoId), { method: "POST", token, key, body: { message } });
}

export function deleteComment(videoId, commentId, token) {
  return request(`${commentsPath(videoId)}/${encodeURIComponent(commentId)}`, { method: "DELETE", token });
}

// localStorage can be forbidden (then every access throws); the page still works, for as long as it is open.
const memory = new Map();

function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return memory.get(key) ?? null;
  }
}

function keep(key, value) {
  memory.set(key, value);
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch { /* kept in memory */ }
}

/** The session of this browser, `{sessionToken, userId, expiresAt, displayName}`, or null. */
export function readSession() {
  try {
    const session = JSON.parse(recall(SESSION_KEY));
    return session && !(Date.parse(session.expiresAt) <= Date.now()) ? session : null;
  } catch {
    return null;
  }
}

export async function openSession(displayName) {
  const session = await request("/sessions", { method: "POST", body: { displayName } });
  keep(SESSION_KEY, JSON.stringify({ ...session, displayName }));
  keep(NAME_KEY, displayName);
}

export const dropSession = () => keep(SESSION_KEY, null);

/** The name used last, so that it need not be typed again when a session has ended. */
export const lastName = () => recall(NAME_KEY) ?? "";
