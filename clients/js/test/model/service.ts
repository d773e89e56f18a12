/** What the service does, in memory: a log, pages, streams, posts that a key makes one. No faults of its own. */

import type { TestClock } from "../clock.js";

export const HEARTBEAT_MS = 15_000;
const PASS_MS = 50;

export const idOf = (position: number) => String(position).padStart(16, "0");

type Entry = { id: string; comment?: Comment; deletes?: string };
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
  isOver = false;
  slowModeS = 0;
  /** A resume further behind than this is answered with a gap. */
  missedMax = Infinity;
  #isPassing = false;

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
    this.#append({ id, comment });
    return comment;
  }

  delete(id: string): void {
    this.gone.add(id);
    this.#append({ id: idOf(this.log.length + 1), deletes: id });
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

  #append(entry: Entry): void {
    this.log.push(entry);
    if (this.#isPassing) return;
    this.#isPassing = true;
    this.clock.at(PASS_MS, () => {
      this.#isPassing = false;
      for (const viewer of [...this.viewers]) this.#pass(viewer);
    });
  }

  #pass(viewer: Viewer): void {
    for (const { id, comment, deletes } of this.log) {
      if (id <= viewer.cursor) continue;
      if (comment && !this.gone.has(id)) this.tell(viewer, "comment", id, comment);
      else if (comment) viewer.cursor = id;
      else this.tell(viewer, "delete", id, { commentId: deletes });
    }
  }
}
