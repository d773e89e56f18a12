/** Everything between a client and the service that can go wrong, by a seed. `isKind`: nothing does any more. */

import type { TestClock } from "../clock.js";
import { idOf, type Service, type Viewer } from "./service.js";

/** Whoever waits for the log is answered by then. */
const SILENCE_MS = 20_000;

export type Random = () => number;

/** Mulberry32: small, and the same everywhere. */
export function seeded(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const HTML = { "Content-Type": "text/html" };
const PROBLEM = { "Content-Type": "application/problem+json" };
const STREAM = { "Content-Type": "text/event-stream; charset=utf-8" };
const LOGIN = "<!doctype html><title>Log in to the Wi-Fi</title>";

const problem = (status: number, code: string, headers = {}) =>
  new Response(JSON.stringify({ code, detail: code }), { status, headers: { ...PROBLEM, ...headers } });

export class Network {
  isKind = false;
  isDown = false;
  /** Streams whose client has not let them go. */
  open = new Set<object>();
  counts = new Map<string, number>();
  lastByteAt = 0;
  /** How often something goes wrong. */
  trouble: number;
  token = "good";
  userId = "me";

  constructor(readonly service: Service, readonly clock: TestClock, readonly random: Random) {
    this.trouble = random() * 0.6;
  }

  fetch = (async (url: string, init: RequestInit = {}) => {
    const at = new URL(url);
    const signal = init.signal!;
    const method = init.method ?? "GET";
    await this.#travel(signal);
    if (this.isDown) throw new TypeError("fetch failed");
    const fault = this.#fault(FAULTS);
    if (fault == "lost before") throw new TypeError("fetch failed");
    if (fault == "hangs") return this.#never(signal);
    if (fault == "502") return new Response("<h1>Bad gateway</h1>", { status: 502, headers: HTML });
    if (fault == "portal") return new Response(LOGIN, { status: 200, headers: HTML });
    if (fault == "login") return Object.defineProperty(new Response(LOGIN, { headers: HTML }), "url", { value: "http://l/" });
    if (fault == "403 of a proxy") return new Response("Forbidden", { status: 403, headers: HTML });
    if (fault == "another's JSON") return Response.json({ ok: true });
    if (fault == "503") return problem(503, "overloaded", { "Retry-After": "2" });
    if (fault == "204" && !at.pathname.endsWith("stream")) return new Response(null, { status: 204 });
    if (at.pathname.endsWith("/stream")) return this.#stream(at, signal);
    const answer = at.pathname.includes("/streams/") ? await this.#piece(at, signal) : this.#answer(method, at, init);
    await (fault == "late" ? this.#wait(12_000 * this.random(), signal) : this.#travel(signal));
    if (fault == "lost after") throw new TypeError("terminated");
    if (fault == "half" && answer.status != 204) return new Response(half(await answer.text()), answer);
    if (method == "GET") this.lastByteAt = this.clock.time;
    return answer;
  }) as typeof fetch;

  #answer(method: string, at: URL, init: RequestInit): Response {
    const headers = init.headers as Record<string, string>;
    if (at.pathname.startsWith("/api/sessions")) {
      const session = { sessionToken: this.token, userId: this.userId, expiresAt: new Date(this.clock.wall + 2.6e9) };
      return Response.json(session, { status: 201 });
    }
    if (at.pathname.startsWith("/api/videos/")) return Response.json(this.service.video());
    if (method == "GET") return Response.json(this.service.page(at.searchParams));
    if (headers.Authorization != `Bearer ${this.token}`) return problem(401, "invalid_token");
    if (method == "DELETE") {
      this.service.delete(at.pathname.split("/").at(-1)!);
      return new Response(null, { status: 204 });
    }
    const refusal = this.#fault(["slow_mode", "video_limit"]);
    if (refusal) return problem(429, refusal, { "Retry-After": "3" });
    const { message } = JSON.parse(String(init.body));
    if (message.includes("bad")) return problem(403, "message_refused");
    return Response.json(this.service.write(this.userId, message, headers["Idempotency-Key"]), { status: 201 });
  }

  /** What is there; with `live`, what comes. */
  async #piece({ searchParams: query }: URL, signal: AbortSignal): Promise<Response> {
    const { service, clock } = this;
    const offset = query.get("offset") == "now" ? service.head : query.get("offset")!;
    const isLive = query.get("live") == "long-poll";
    const until = clock.time + SILENCE_MS;
    for (;;) {
      const { messages, next, isWhole, openMs } = service.piece(offset);
      if (offset < service.begin) return problem(410, "offset_gone");
      if (messages.length || (isLive ? clock.time >= until : openMs == null)) {
        const headers = {
          "Stream-Next-Offset": next, "Stream-Cursor": String(Math.floor(clock.time)),
          ...(isWhole ? { "Stream-Up-To-Date": "true" } : {}),
        };
        return messages.length || !isLive ? Response.json(messages, { headers }) : new Response(null, { status: 204, headers });
      }
      await this.#wait(openMs ?? until - clock.time, signal, service.waiting);
    }
  }

  #stream(at: URL, signal: AbortSignal): Response {
    const fault = this.#fault(STREAM_FAULTS);
    if (this.service.isOver && at.searchParams.get("after") == this.service.head) return new Response(null, { status: 204 });
    if (fault == "only retry") return new Response(":\nretry: 900\n", { headers: STREAM });
    let left = fault == "cut" || fault == "ends" ? Math.floor(this.random() * 3_000) : Infinity;
    if (fault == "silent") left = Math.floor(this.random() * 3_000);
    if (fault == "held back") left = 0;
    const encoder = new TextEncoder();
    let control!: ReadableStreamDefaultController<Uint8Array>;
    let isOver = false;
    const body = new ReadableStream<Uint8Array>({ start: (c) => void (control = c) });
    const over = (act: () => void) => {
      if (isOver) return;
      isOver = true;
      this.service.viewers.delete(viewer);
      this.open.delete(viewer);
      act();
    };
    const viewer: Viewer = {
      cursor: "",
      push: (text) => {
        const twice = fault == "doubles" && this.random() < 0.3 ? text + text : text;
        let bytes = encoder.encode(twice);
        if (bytes.length > left) bytes = bytes.slice(0, left);
        left -= bytes.length;
        while (bytes.length && !isOver) {
          const size = this.random() < 0.5 ? bytes.length : 1 + Math.floor(this.random() * bytes.length);
          control.enqueue(bytes.slice(0, size));
          bytes = bytes.slice(size);
          this.lastByteAt = this.clock.time;
        }
        if (left <= 0 && fault == "cut") over(() => control.error(new TypeError("terminated")));
        else if (left <= 0 && fault == "ends") over(() => control.close());
      },
      end: () => over(() => left > 0 && control.close()),
    };
    this.open.add(viewer);
    signal.addEventListener("abort", () => over(() => control.error(signal.reason)));
    const after = Number(at.searchParams.get("after"));
    this.service.join(viewer, idOf(fault == "repeats" ? Math.max(0, after - 20) : after));
    return new Response(body, { headers: STREAM });
  }

  /** The network goes away under what is open, with an error or in silence. */
  sever(isLoud: boolean): void {
    for (const viewer of [...this.service.viewers]) {
      this.service.viewers.delete(viewer);
      if (isLoud) viewer.end();
    }
  }

  #fault(kinds: readonly string[]): string | null {
    if (this.isKind || this.random() > this.trouble) return null;
    const kind = kinds[Math.floor(this.random() * kinds.length)]!;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    return kind;
  }

  #travel = (signal: AbortSignal) => this.#wait(this.isKind ? 20 : this.random() ** 4 * 2_000, signal);

  /** `early`: what may end the wait sooner. */
  #wait(ms: number, signal: AbortSignal, early = new Set<() => void>()): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (act: () => void) => () => {
        cancel();
        early.delete(done);
        signal.removeEventListener("abort", stop);
        act();
      };
      const stop = end(() => reject(signal.reason));
      const done = end(resolve);
      const cancel = this.clock.at(ms, done);
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop);
      early.add(done);
    });
  }

  #never = (signal: AbortSignal) =>
    new Promise<Response>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

const half = (text: string) => text.slice(0, text.length / 2);

const FAULTS = ["lost before", "lost after", "hangs", "502", "portal", "login", "403 of a proxy", "503", "204", "late",
  "late", "half", "another's JSON"] as const;
const STREAM_FAULTS = ["cut", "ends", "silent", "held back", "doubles", "repeats", "only retry"] as const;
