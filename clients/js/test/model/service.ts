/** What the service does, in memory: a log, pages, streams, pieces, posts that a key makes one. No faults of its own. */

import type { TestClock } from "../clock.js";

export const HEARTBEAT_MS = 15_000;
const PASS_MS = 50;
/** Of time in the log: what comes in it is in one piece. */
const WINDOW_MS = 200;
const PIECE_MAX = 20;

export const idOf = (position: number) => String(position).padStart(16, "0");

type Entry = { id: string; at: number; comment?: Comment; deletes?: string; video?: object };
type Comment = { commentId: string; videoId: string; message: string; author: { id: string; displayName: string };
  createdAt: string };

/** One open stream: `push` takes bytes of whole events. */
export interface Viewer {
  cursor: string;
  push(text: string): void;
  end(): void;
}

export class Service {
  log: Entry[] = [];
  gone = new Set<string>();
  byKey = new Map<string, Comment>();
  viewers = new Set<Viewer>();
  /** What waits for the log to grow. */
  waiting = new Set<() => void>();
  /** The log has nothing of before any more. */
  begin = "";
  /** A resume further behind than this is answered with a gap. */
  missedMax = Infinity;
  #isPassing = false;
  #isOver = false;
  #slowModeS = 0;

  constructor(readonly clock: TestClock) {
    const beat = () => {
      for (const viewer of [...this.viewers]) this.tell(viewer, "heartbeat", viewer.cursor, { everyMs: HEARTBEAT_MS });
      clock.at(HEARTBEAT_MS, beat);
    };
    clock.at(HEARTBEAT_MS, beat);
  }

  get head(): string {
    return idOf(this.log.length);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  set isOver(isOver: boolean) {
    this.#isOver = isOver;
    this.#append({ video: { state: isOver ? "ended" : "live" } });
  }

  get slowModeS(): number {
    return this.#slowModeS;
  }

  set slowModeS(slowModeS: number) {
    this.#slowModeS = slowModeS;
    const { state, ...set } = this.video() as { state: string };
    this.#append({ video: set });
  }

  comments(): Comment[] {
    return this.log.flatMap(({ comment }) => (comment && !this.gone.has(comment.commentId) ? [comment] : []));
  }

  write(author: string, message: string, key?: string): Comment {
    const known = key && this.byKey.get(key);
    if (known) return known;
    const id = idOf(this.log.length + 1);
    const comment = { commentId: id, videoId: "v", message, author: { id: author, displayName: author },
      createdAt: "2026-01-01T00:00:00.000Z" };
    if (key) this.byKey.set(key, comment);
    this.#append({ comment });
    return comment;
  }

  delete(id: string): void {
    this.gone.add(id);
    this.#append({ deletes: id });
  }

  /** What is set of the video. */
  video(): object {
    return { videoId: "v", state: this.isOver ? "ended" : "live", title: "", whoMayComment: "everyone",
      slowModeS: this.slowModeS, maxCommentsPerS: 0 };
  }

  page(query: URLSearchParams): object {
    const size = Number(query.get("pageSize"));
    const cursor = query.get("cursor");
    const isUp = query.get("sort") == "asc";
    const all = this.comments().filter(({ commentId }) => !cursor || (isUp ? commentId > cursor : commentId < cursor));
    const comments = isUp ? all.slice(0, size) : all.slice(-size).reverse();
    const deletes = this.log.flatMap((entry) => entry.deletes ?? []);
    const nextCursor = all.length > comments.length ? comments.at(-1)!.commentId : null;
    return { comments, nextCursor, deletes, streamUrl: `v/stream?after=${(isUp && nextCursor) || this.head}` };
  }

  /** What is in the log behind `offset`, as far as windows are over, and in how many ms the next is; null: none is open. */
  piece(offset: string): { messages: object[]; next: string; isWhole: boolean; openMs: number | null } {
    const entries = this.log.filter(({ id }) => id > offset);
    const isOpen = ({ at }: Entry) => Math.floor(at / WINDOW_MS) == Math.floor(this.clock.time / WINDOW_MS);
    const piece = entries.filter((entry) => !isOpen(entry)).slice(0, PIECE_MAX);
    const messages = piece.map(({ comment, deletes, video }): object | null =>
      deletes ? { type: "delete", commentId: deletes }
      : video ? { type: "video", videoId: "v", ...video }
      : this.gone.has(comment!.commentId) ? null : { type: "comment", ...comment }).filter((each) => each != null);
    const openMs = entries.some(isOpen) ? WINDOW_MS - (this.clock.time % WINDOW_MS) : null;
    return { messages, next: piece.at(-1)?.id ?? offset, isWhole: piece.length == entries.length, openMs };
  }

  /** Begins a stream behind `after`. */
  join(viewer: Viewer, after: string): void {
    viewer.cursor = after;
    viewer.push(`:\nevent: begin\nid: ${after}\nretry: 1500\n\n`);
    const missed = this.log.filter(({ id }) => id > after);
    if (missed.length > this.missedMax) {
      const to = missed[missed.length - this.missedMax - 1]!.id;
      this.tell(viewer, "gap", to, { from: after, to, reason: "missed" });
    }
    this.viewers.add(viewer);
    this.#pass(viewer);
    if (this.isOver) this.bye(viewer, "ended");
    else this.tell(viewer, "heartbeat", viewer.cursor, { everyMs: HEARTBEAT_MS });
  }

  bye(viewer: Viewer, reason: string): void {
    viewer.push(`event: bye\nretry: 700\ndata: {"reason":"${reason}"}\n\n`);
    viewer.end();
    this.viewers.delete(viewer);
  }

  tell(viewer: Viewer, kind: string, id: string, data: object): void {
    viewer.cursor = id;
    viewer.push(`event: ${kind}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  #append(entry: Omit<Entry, "id" | "at">): void {
    this.log.push({ ...entry, id: idOf(this.log.length + 1), at: this.clock.time });
    for (const wake of [...this.waiting]) wake();
    if (this.#isPassing) return;
    this.#isPassing = true;
    this.clock.at(PASS_MS, () => {
      this.#isPassing = false;
      for (const viewer of [...this.viewers]) this.#pass(viewer);
    });
  }

  #pass(viewer: Viewer): void {
    for (const { id, comment, deletes, video } of this.log) {
      if (id <= viewer.cursor) continue;
      if (video) this.tell(viewer, "video", id, this.video());
      else if (comment && !this.gone.has(id)) this.tell(viewer, "comment", id, comment);
      else if (comment) viewer.cursor = id;
      else this.tell(viewer, "delete", id, { commentId: deletes });
    }
  }
}
