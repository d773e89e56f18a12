/** What the client gives and takes. Durations and moments are milliseconds; moments are of `performance.now()`. */

import type { Problem } from "./problem.js";

/** A comment as the service tells it. Within a video, ids compare as text in the order of the comments. */
export interface Comment {
  readonly commentId: string;
  readonly videoId: string;
  readonly message: string;
  /** `roles`: what the author was then: `own`, `moderate`, and what may be added. Absent of most. */
  readonly author: { readonly id: string; readonly displayName: string; readonly roles?: readonly string[] };
  /** RFC 3339, of the server's clock: to show, never to order by. */
  readonly createdAt: string;
  readonly videoTimeMs?: number;
}

/** Comments after `from` up to and with `to` were not delivered; `fill` reads them. */
export interface Gap {
  readonly from: string;
  readonly to: string;
  /** A stable word; `trimmed`: dropped here, because older comments are being read. */
  readonly reason: string;
}

/** What is set of the video. Members may be added. */
export interface VideoSettings {
  readonly videoId: string;
  readonly state: string;
  readonly title: string;
  readonly whoMayComment: string;
  readonly slowModeS: number;
  readonly maxCommentsPerS: number;
  /** The comment that stands above the others; it may be older than those kept, or deleted. */
  readonly pinnedCommentId?: string;
}

/**
 * What is so. `live`: something came within 2.5 heartbeats. `stale`: the service itself hears nothing new. `paused`: the
 * page is hidden. `reconnecting`: the next attempt is made `at`. `ended`: the video is over, and all of it was told.
 */
export type State =
  | { readonly is: "idle" | "connecting" | "live" | "paused" | "offline" | "ended" | "closed" }
  | { readonly is: "stale"; readonly behindMs: number }
  | { readonly is: "reconnecting"; readonly attempt: number; readonly at: number; readonly cause: Problem }
  | { readonly is: "failed"; readonly cause: Problem };

/**
 * An own comment on its way. `unknown`: no answer yet, tried again with the same key. `waiting`: sent by itself at
 * `until`, because of `code`. `sent`: durable, and in `comments` as soon as the stream has got there.
 */
export type Pending = { readonly key: string; readonly message: string } & (
  | { readonly is: "sending" }
  | { readonly is: "unknown"; readonly attempt: number }
  | { readonly is: "waiting"; readonly until: number; readonly code: string }
  | { readonly is: "sent"; readonly commentId: string }
  | { readonly is: "rejected"; readonly problem: Problem });

/** Immutable, and the same reference until something has changed. */
export interface Snapshot {
  readonly state: State;
  /** Ids ascend strictly. Between two of them everything was delivered, or lies in one of `gaps`. */
  readonly comments: readonly Comment[];
  readonly pending: readonly Pending[];
  readonly gaps: readonly Gap[];
  readonly hasOlder: boolean;
  /** Null until the service has said. */
  readonly settings: VideoSettings | null;
  readonly viewers: number | null;
}

export interface Events {
  comments: { readonly news: readonly Comment[]; readonly origin: "live" | "history" };
  delete: readonly string[];
  gap: Gap;
  state: State;
  problem: Problem;
}

export interface VideoOptions {
  /** Comments to begin with, 0 to 100; 50 by default. */
  history?: number | undefined;
  /** Begin behind this comment, which the app has, instead of with history. */
  from?: string | undefined;
  /** Comments kept; 1,000 by default. */
  maxComments?: number | undefined;
  /** A hidden page lets its stream go after so long; 20,000 by default. */
  hiddenAfterMs?: number | false | undefined;
  /** Closes the video. */
  signal?: AbortSignal | undefined;
}

export type Reason = "spam" | "abuse" | "sexual" | "danger" | "other";

/** One video. Its stream opens with the first subscriber and closes a second after the last. */
export interface Video extends AsyncIterable<Comment> {
  getSnapshot(): Snapshot;
  /** Calls `act` after a change, at most once a frame; returns what ends that. */
  subscribe(act: () => void): () => void;
  on<K extends keyof Events>(kind: K, act: (event: Events[K]) => void, o?: { signal?: AbortSignal | undefined }): () => void;
  /** Resolves with the durable comment, rejects with a `Problem`. Comments of one video keep their order. */
  post(message: string, o?: { videoTimeMs?: number | undefined; key?: string | undefined }): Promise<Comment>;
  /** Sends a rejected comment again, under its key. */
  retry(key: string): Promise<Comment>;
  /** Forgets an own comment; one that is on its way may be written all the same. */
  discard(key: string): void;
  delete(commentId: string): Promise<void>;
  /** Tells the moderators, once; a second report of the same person changes nothing. */
  report(commentId: string, reason: Reason): Promise<void>;
  /** Reads `count` (1 to 100) older comments and says how many came. When full, the newest make room. */
  loadOlder(count?: number): Promise<number>;
  /** Whoever read older comments is back at the newest: when full, the oldest make room again. */
  follow(): void;
  /** Reads what a gap holds. */
  fill(gap: Gap): Promise<void>;
  /** Shows the newest comments afresh, also after `ended` and `failed`. */
  reload(): Promise<void>;
  connect(): void;
  close(): void;
}

/** What one minute of a video had, by the log's clock. */
export interface Minute {
  /** RFC 3339: when it begins. */
  readonly minute: string;
  /** What was written; a delete takes nothing back. */
  readonly comments: number;
  /** Different authors among them. */
  readonly writers: number;
}

/** The last hour of a video, some five seconds old. */
export interface Counts {
  readonly videoId: string;
  /** The first minute that is told of. */
  readonly since: string;
  /** Ascending; those without comments are left out. */
  readonly minutes: readonly Minute[];
}

export type CountsOptions = Pick<ClientOptions, "baseUrl" | "fetch" | "clock"> & {
  /** Ends the request. */
  signal?: AbortSignal | undefined;
};

/** A guest. */
export interface Session {
  readonly sessionToken: string;
  readonly userId: string;
  readonly displayName: string;
}

export interface Sessions {
  get(): Session | null;
  open(displayName: string): Promise<Session>;
  /** Another name for the same guest. */
  rename(displayName: string): Promise<Session>;
  end(): Promise<void>;
}

export interface CommentsClient {
  /** The same object for the same id, as long as it is in use; cheap, and opens nothing by itself. */
  video(id: string, o?: VideoOptions): Video;
  readonly session: Sessions;
  close(): void;
}

export interface ClientOptions {
  /** Where the service is, with its path prefix; may be relative to the page. */
  baseUrl: string;
  /**
   * The user's token; null: none. `refused`: the last one was, `renew`: half of its life is over. Bounded to 10 s.
   */
  getToken?: ((why: "first" | "refused" | "renew") => string | null | Promise<string | null>) | undefined;
  /** Instead of `getToken`, sessions of guests; kept in localStorage, or where `storage` says. */
  guest?: { storage?: Store | null | undefined } | undefined;
  transport?: Transport | undefined;
  /** Where comments on their way survive a reload: sessionStorage. */
  drafts?: Store | null | undefined;
  fetch?: typeof fetch | undefined;
  clock?: Clock | undefined;
  random?: (() => number) | undefined;
  surroundings?: Surroundings | undefined;
}

/** The part of `Storage` that is used; each call may throw. */
export type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export interface Clock {
  /** Of a clock that never jumps, but may stand still while the machine sleeps. */
  now(): number;
  /** Of the device's clock, which may be wrong and may jump: only ever compared with itself. */
  wallNow(): number;
  after(ms: number, act: () => void): () => void;
  /** With the next frame, or within 250 ms when none is drawn. */
  frame(act: () => void): () => void;
}

/** What is known of the page or app around. */
export interface Surroundings {
  isHidden(): boolean;
  isOnline(): boolean;
  /** Calls `act` with visibilitychange, pagehide, pageshow, online or offline; returns what ends that. */
  listen(act: (kind: string) => void): () => void;
}

/** Where bytes come from. */
export interface Transport {
  /**
   * Opens a stream and returns what closes it. After that, and after `end`, nothing of `sink` is called.
   */
  open(request: StreamRequest, sink: StreamSink): () => void;
}

export interface StreamRequest {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
}

export interface StreamSink {
  /** Headers of a stream came. */
  opened(): void;
  /** Bytes came, and maybe an event with them. */
  alive(): void;
  /** `data` as text; `id` may be empty. */
  event(kind: string, id: string, data: string): void;
  retry(ms: number): void;
  /** No problem: the server has ended it. Code `ended`: and there will be nothing more. */
  end(problem?: Problem): void;
}
