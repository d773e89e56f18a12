/** The comments of a video: in the order of their ids, each once, none after its delete, in a bounded number. */

import type { List } from "./parts.js";

/** Deleted ids remembered, against pages that were read before the delete. */
const GONE_MAX = 2_000;

export function createList(): List {
  const gone = new Set<string>();

  /** Where the id stands, or would: most are the newest, so it is looked for from there. */
  function at(id: string): number {
    let at = list.rows.length;
    while (at && list.rows[at - 1]!.commentId >= id) at--;
    return at;
  }

  const isAt = (at: number, id: string) => list.rows[at]?.commentId == id;

  const list: List = {
    rows: [],
    gaps: [],
    older: null,
    trim: null,
    add: (comments) =>
      comments.filter((comment) => {
        const id = comment.commentId;
        const place = at(id);
        return !gone.has(id) && !isAt(place, id) && list.rows.splice(place, 0, comment);
      }),
    remove(id) {
      const place = at(id);
      gone.add(id);
      if (gone.size > GONE_MAX) gone.delete(gone.values().next().value!);
      return isAt(place, id) && list.rows.splice(place, 1).length > 0;
    },
    clear() {
      list.rows = [];
      list.gaps = [];
      list.trim = null;
    },
  };
  return list;
}
