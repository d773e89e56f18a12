/** The comments of a video: in the order of their ids, each once, none after its delete, in a bounded number. */

import type { Comment, Gap } from "./types.js";

/** Deleted ids remembered, against pages that were read before the delete. */
const GONE_MAX = 2_000;

export interface List {
  rows: Comment[];
  gaps: Gap[];
  /** What lies before the rows is read by this cursor; null: nothing does. */
  older: string | null;
  /** The newest make room instead of the oldest, because somebody reads older ones. */
  keepsOldest: boolean;
  has(id: string): boolean;
  /** Puts in what is not there yet, and returns that. */
  add(comments: readonly Comment[]): Comment[];
  /** Returns whether it was shown. */
  remove(id: string): boolean;
  gap(gap: Gap): void;
  /** The gap of these ends is closed up to `now`. */
  filled(from: string, to: string, now: string): void;
  clear(): void;
  /** Drops what is too many; `cursor` is how far the video was told. Returns a gap that this has made. */
  trim(cursor: string): Gap | undefined;
}

export function createList(max: number): List {
  const shown = new Set<string>();
  const gone = new Set<string>();

  function at(id: string): number {
    const { rows } = list;
    let low = 0;
    let high = rows.length;
    if (high && rows[high - 1]!.commentId < id) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle]!.commentId < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  const drop = (dropped: Comment[]) => dropped.forEach((row) => shown.delete(row.commentId));

  const list: List = {
    rows: [],
    gaps: [],
    older: null,
    keepsOldest: false,
    has: (id) => shown.has(id),
    add: (comments) =>
      comments.filter((comment) => {
        const id = comment.commentId;
        if (shown.has(id) || gone.has(id)) return false;
        shown.add(id);
        list.rows.splice(at(id), 0, comment);
        return true;
      }),
    remove(id) {
      gone.add(id);
      if (gone.size > GONE_MAX) gone.delete(gone.values().next().value!);
      if (!shown.delete(id)) return false;
      list.rows.splice(at(id), 1);
      return true;
    },
    gap(gap) {
      list.gaps = [...list.gaps, gap];
    },
    filled(from, to, now) {
      list.gaps = list.gaps.flatMap((gap) =>
        gap.from != from || gap.to != to ? gap : now < to ? { ...gap, from: now } : [],
      );
    },
    clear() {
      shown.clear();
      list.rows = [];
      list.gaps = [];
      list.keepsOldest = false;
    },
    trim(cursor) {
      const over = list.rows.length - max;
      if (over <= 0) return;
      if (list.keepsOldest) {
        drop(list.rows.splice(max));
        const from = list.rows[max - 1]!.commentId;
        const torn = { from, to: cursor, reason: "trimmed" };
        const wasTorn = list.gaps.some((gap) => gap.reason == torn.reason && gap.from == from);
        list.gaps = [...list.gaps.filter((gap) => gap.to <= from), torn];
        return wasTorn ? undefined : torn;
      }
      drop(list.rows.splice(0, over));
      list.older = list.rows[0]!.commentId;
      list.gaps = list.gaps.filter((gap) => gap.to > list.older!);
    },
  };
  return list;
}
