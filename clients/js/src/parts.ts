/** What the client's parts know of each other: shapes only, so that none of them imports another for it. */

import type { Kept } from "./kept.js";
import type {
  Reason,
  ClientOptions, Clock, Comment, Events, Gap, Pending, Session, Sessions, State, Store, Surroundings, Transport, Video,
} from "./types.js";

/** What a client's parts share. */
export interface Env {
  readonly base: string;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  readonly random: () => number;
  readonly around: Surroundings;
  readonly transport: Transport | undefined;
  readonly drafts: Store | null;
  /** The guest's session; null: the app brings its own tokens. */
  readonly kept: Kept | null;
  readonly getToken: ClientOptions["getToken"];
  /** Of all videos of the client. `needToken`: a read was answered with 401, so reads carry the token, too. */
  readonly shared: { needToken?: boolean; tokens?: Tokens };
  /** Ends what is under way. */
  readonly signal: AbortSignal;
  late: Late;
}

/** What is loaded when somebody writes, or reads back: `rest.ts`. */
export interface Rest {
  tokenOf(env: Env, refused?: string | null): Promise<string | null>;
  openSession(env: Env, displayName: string): Promise<Session>;
  renameSession(env: Env, displayName: string): Promise<Session>;
  endSession(env: Env): Promise<void>;
  begin(shown: Shown): Promise<void>;
  post(shown: Shown, ...given: Parameters<Video["post"]>): Promise<Comment>;
  retry(shown: Shown, key: string): Promise<Comment>;
  takeDown(shown: Shown, commentId: string): Promise<void>;
  report(shown: Shown, commentId: string, reason: Reason): Promise<void>;
  readOlder(shown: Shown, count?: number): Promise<number>;
  fill(shown: Shown, gap: Gap): Promise<void>;
  reload(shown: Shown): Promise<void>;
  iterate(shown: Shown, video: Video): Promise<AsyncGenerator<Comment>>;
}

/** A call of the rest for `of`, which loads it where it is not there yet. Rejects with a Problem where that fails. */
export type Late = <K extends keyof Rest>(act: K, of: Parameters<Rest[K]>[0]) =>
  Rest[K] extends (of: any, ...given: infer Given) => infer Told ? (...given: Given) => Told : never;

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

/** What pages of history answer. */
export interface Page {
  comments: Comment[];
  nextCursor: string | null;
  streamUrl: string;
  /** Ids deleted in the page's range, where the service tells them. */
  deletes?: string[];
}

/** The connection of a video. */
export interface Link {
  state: State;
  /** Everything up to here was told; "" before anything was. */
  cursor: string;
  /** Of the stream; null: not known yet. */
  url: URL | null;
  /** What asks for the newest page. */
  readonly newest: string;
  say(state: State): void;
  /** Shows `page` in place of everything; what follows goes on behind it. */
  install(page: Page & { url: URL }): void;
  open(): void;
  /** To `state`, for good unless that is idle. */
  close(state: State): void;
  /** Goes on behind `page`, in place of everything. */
  renew(page: Page & { url: URL }): void;
}

export interface LinkEvents {
  tell(kind: "state" | "problem", told: any): void;
  /** The newest page, in place of everything. */
  page(page: Page): void;
  /** An event behind everything told before. */
  event(kind: string, told: any): void;
}

/** The part of a link that follows the stream. */
export interface Following {
  open(): void;
  close(): void;
  /** There is a new page: from behind that. */
  renew(): void;
}

export interface List {
  rows: Comment[];
  gaps: Gap[];
  /** What lies before the rows is read by this cursor; null: nothing does. */
  older: string | null;
  /** Puts in what is not there yet, and returns that. */
  add(comments: readonly Comment[]): Comment[];
  /** Returns whether it was shown. */
  remove(id: string): boolean;
  clear(): void;
  /**
   * Drops what is too many; `cursor` is how far the video was told. Returns a gap that this has made. Null: the oldest
   * go; somebody who reads older comments lets the newest make room instead.
   */
  trim: ((cursor: string, max: number) => Gap | undefined) | null;
}

/** Own comments on their way. */
export interface Posting extends Pick<Video, "post" | "retry" | "discard"> {
  /** The same reference until it has changed. */
  pending(): readonly Pending[];
  /** Try now: the service was reached. */
  wake(): void;
  /** Keeps a comment of the stream that may be one whose answer has not come; false: it is none. */
  hold(comment: Comment): boolean;
  /** Before each change: lets go of what the list has, and shows what was kept and need not be any more; all, if `isAll`. */
  settle(isAll?: boolean): void;
  close(): void;
}

/** What the rest works on. */
export interface Shown {
  readonly env: Env;
  readonly id: string;
  readonly list: List;
  readonly link: Link;
  readonly max: number;
  posting?: Posting;
  /** The posting, while it is being made. */
  making?: Promise<Posting>;
  /** Returns how many were not there yet. */
  news(comments: readonly Comment[], origin: Events["comments"]["origin"]): number;
  remove(ids: readonly string[], isLive?: boolean): void;
  touch(): void;
}
