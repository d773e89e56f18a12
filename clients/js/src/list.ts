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
  /** Puts in what is not there yet, and returns that. */
  add(comments: readonly Comment[]): Comment[];
  /** Returns whether it was shown. */
  remove(id: string): boolean;
  clear(): void;
  /** Drops what is too many; `cursor` is how far the video was told. Returns a gap that this has made. */
  trim(cursor: string): Gap | undefined;
}

export function createList(max: number): List {
  const shown = new Set<string>();
  const gone = new Set<string>();

  /** Where the id stands, or would. */
  function at(id: string): number {
    const { rows } = list;
    let high = rows.length;
    let low = high && rows[high - 1]!.commentId < id ? high : 0;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle]!.commentId < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  const drop = (dropped: Comment[]) => dropped.forEach(({ commentId }) => shown.delete(commentId));

  const list: List = {
    rows: [],
    gaps: [],
    older: null,
    keepsOldest: false,
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
      return shown.delete(id) && list.rows.splice(at(id), 1).length > 0;
    },
    clear() {
      shown.clear();
      list.rows = [];
      list.gaps = [];
      list.keepsOldest = false;
    },
    trim(cursor) {
      const { rows, gaps } = list;
      const over = rows.length - max;
      if (over <= 0) return;
      if (list.keepsOldest) {
        drop(rows.splice(max));
        const from = rows[max - 1]!.commentId;
        const torn = { from, to: cursor, reason: "trimmed" };
        list.gaps = [...gaps.filter((gap) => gap.to <= from), torn];
        return gaps.some((gap) => gap.reason == torn.reason && gap.from == from) ? undefined : torn;
      }
      drop(rows.splice(0, over));
      const first = (list.older = rows[0]!.commentId);
      list.gaps = gaps.filter((gap) => gap.to > first);
    },
  };
  return list;
}
