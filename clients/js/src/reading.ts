/** Reading back: older comments, gaps; and comments one after the other. */

import { readPage } from "./api.js";
import type { Env, List, Shown } from "./parts.js";
import { Problem } from "./problem.js";
import { asSpeaker } from "./tokens.js";
import type { Comment, Gap, Video } from "./types.js";

const PAGE_MAX = 100;
const OLDER = 50;

const read = (env: Env, id: string, query: string) =>
  asSpeaker(env, (token) => readPage(env, id, query, token), true);

export const reload = async ({ env, id, link }: Shown) => link.renew(await read(env, id, link.newest));

export async function readOlder({ env, id, list, link, ...video }: Shown, count = OLDER): Promise<number> {
  const cursor = list.older;
  if (cursor == null || link.state.is == "closed") return 0;
  const size = Math.min(PAGE_MAX, Math.max(1, count));
  const page = await read(env, id, `sort=desc&pageSize=${size}&cursor=${cursor}`);
  if (list.older != cursor) return 0; // the list begins elsewhere by now
  list.trim = (cursor, max) => dropNewest(list, cursor, max);
  list.older = page.nextCursor;
  video.remove(page.deletes ?? []);
  video.touch();
  return video.news(page.comments.reverse(), "history");
}

/** What is dropped at the end is a gap, which is told once. */
function dropNewest(list: List, cursor: string, max: number): Gap | undefined {
  const { rows, gaps } = list;
  rows.splice(max);
  const from = rows[max - 1]!.commentId;
  const torn = { from, to: cursor, reason: "trimmed" };
  list.gaps = [...gaps.filter((gap) => gap.to <= from), torn];
  return gaps.some((gap) => gap.reason == torn.reason && gap.from == from) ? undefined : torn;
}

export async function fill({ env, id, list, ...video }: Shown, { from, to }: Gap): Promise<void> {
  // It may have been filled or moved meanwhile: then what comes for it is not the whole of what is missing.
  const is = (gap: Gap) => gap.from == from && gap.to == to;
  while (list.gaps.some(is)) {
    const page = await read(env, id, `sort=asc&pageSize=${PAGE_MAX}&cursor=${from}`);
    if (!list.gaps.some(is)) return;
    video.remove(page.deletes ?? []);
    video.news(page.comments.filter(({ commentId }) => commentId <= to), "history");
    const { nextCursor } = page;
    const next = nextCursor && nextCursor > from && nextCursor < to ? nextCursor : to;
    list.gaps = list.gaps.flatMap((gap) => (!is(gap) ? gap : next < to ? { ...gap, from: next } : []));
    from = next;
    video.touch();
  }
}

export const iterate = async ({ max }: Shown, video: Video) => iterated(video, max);

/** Comments as they come live. A reader that is `max` behind is told so: nothing is left out in silence. */
async function* iterated(video: Video, max: number): AsyncGenerator<Comment> {
  let queue: Comment[] = [];
  let wake = () => {};
  let failure: Problem | null = null;
  let isOver = false;
  const ends = [
    video.on("comments", ({ news, origin }) => {
      if (origin == "live") queue.push(...news);
      if (queue.length > max) failure = new Problem("reader_slow", `More than ${max} comments wait to be taken`);
      wake();
    }),
    video.on("state", (state) => {
      isOver = state.is == "closed" || state.is == "ended";
      if (state.is == "failed") failure = state.cause;
      wake();
    }),
  ];
  try {
    for (;;) {
      const taken = queue;
      queue = [];
      yield* taken;
      if (failure) throw failure;
      if (isOver && !queue.length) return;
      if (!queue.length) await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    for (const end of ends) end();
  }
}
