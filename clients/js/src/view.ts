/**
 * A video's comments as rows of a scrolling list: never more elements than the video keeps comments, changed at most once
 * a frame.
 *
 * While the newest comment is in view (*stuck*) the list stays with it: little more rows than fill the screen, and a flood
 * is drawn some times a second, since nobody reads what stands for a frame. Whoever scrolls up has all that is kept, and reads
 * older ones; then the newest make room, and are read again when somebody returns to the end (`stick`). What a row looks
 * like is the app's; everything people wrote must go in as text, never as markup.
 */

import { Problem } from "./problem.js";
import type { Comment, Pending, Snapshot, Video } from "./types.js";

const NEAR_TOP_PX = 800;
const NEAR_END_PX = 24;
/** What failed is asked for again not sooner than this. */
const AGAIN_MS = 2_000;
/** More new rows than these in a frame, and none of them is moved in. */
const CALM_ROWS_MAX = 3;
/** While stuck, at first: twice as many wherever there is not a fifth of a screen above what is seen. */
const STUCK_ROWS = 30;
const ABOVE = 0.2;
/** New rows stand for this long each before the next are drawn, but for no longer than that together. */
const ROW_MS = 16;
const ROWS_MS_MAX = 500;

export interface ViewOptions {
  /** What scrolls, and in it the lists of rows and of comments on their way. */
  scroller: HTMLElement;
  rows: HTMLElement;
  pending?: HTMLElement;
  row(comment: Comment): HTMLElement;
  /** Drawn anew whenever something has become of it. */
  pendingRow?(pending: Pending): HTMLElement;
  /** Called after each change, with how many comments came unseen since the end was left. */
  changed?(view: { snapshot: Snapshot; isStuck: boolean; isTorn: boolean; unread: number }): void;
  /** A row that was alone to come. */
  arrived?(row: HTMLElement): void;
  /** A row whose comment was deleted: to be removed by whoever is given it. */
  left?(row: HTMLElement): void;
  problem?(problem: Problem): void;
}

export interface View {
  /** Shows the newest comment and stays with it. */
  stick(): void;
  close(): void;
}

type Row = { id: string; element: HTMLElement };

export function createView(video: Video, o: ViewOptions): View {
  const { scroller } = o;
  const control = new AbortController();
  let rows: Row[] = [];
  let drawn: readonly Comment[] = [];
  let drawnPending: readonly Pending[] = [];
  const pendingRows = new Map<string, [Pending, HTMLElement]>();
  let isStuck = true;
  let isReading = false; // older comments, or all anew
  let stuckRows = STUCK_ROWS;
  let calmAt = 0; // when the next rows are due
  let timer: ReturnType<typeof setTimeout> | undefined;
  let unread = 0;
  let lastTop = 0;

  function scrollTo(top: number): void {
    if (top != scroller.scrollTop) scroller.scrollTop = top; // setting it stops a finger's momentum
    lastTop = scroller.scrollTop;
  }

  const toEnd = () => scrollTo(scroller.scrollHeight);

  function firstInView(): HTMLElement | undefined {
    let low = 0;
    let high = rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      const { offsetTop, offsetHeight } = rows[middle]!.element;
      if (offsetTop + offsetHeight > scroller.scrollTop) high = middle;
      else low = middle + 1;
    }
    return rows[low]?.element;
  }

  /** One whose row cannot be made has an empty one: it is no reason to show none of the others. */
  function rowOf(comment: Comment): HTMLElement {
    try {
      return o.row(comment);
    } catch (thrown) {
      queueMicrotask(() => { throw thrown; });
      return document.createElement("li");
    }
  }

  /** The rows become those of `comments`, of the newest while stuck; both are in the order of ids. */
  function drawRows(kept: readonly Comment[]): void {
    const comments = isStuck ? kept.slice(-stuckRows) : kept;
    const isFresh = !rows.length;
    const next: Row[] = [];
    const added: HTMLElement[] = [];
    const [first, last] = [comments[0]?.commentId ?? "~", comments.at(-1)?.commentId ?? ""];
    let at = 0;
    const drop = ({ id, element }: Row) => {
      const wasDeleted = first < id && id < last || !comments.length;
      if (element.contains(document.activeElement)) scroller.focus({ preventScroll: true });
      if (wasDeleted && o.left && (isStuck || element.offsetTop >= scroller.scrollTop)) o.left(element);
      else element.remove();
    };
    for (const comment of comments) {
      const id = comment.commentId;
      while (at < rows.length && rows[at]!.id < id) drop(rows[at++]!);
      if (rows[at]?.id == id) next.push(rows[at++]!);
      else {
        const element = rowOf(comment);
        element.dataset.commentId = id;
        o.rows.insertBefore(element, rows[at]?.element ?? null);
        next.push({ id, element });
        added.push(element);
      }
    }
    while (at < rows.length) drop(rows[at++]!);
    rows = next;
    drawn = kept;
    calmAt = performance.now() + Math.min(ROWS_MS_MAX, ROW_MS * added.length);
    if (!isFresh && added.length <= CALM_ROWS_MAX) {
      for (const element of added) if (element == rows.at(-1)!.element || added.length > 1) o.arrived?.(element);
    }
  }

  function drawPending(pending: readonly Pending[]): void {
    drawnPending = pending;
    if (!o.pending || !o.pendingRow) return;
    const gone = new Set(pendingRows.keys());
    for (const each of pending) {
      gone.delete(each.key);
      const [known, old] = pendingRows.get(each.key) ?? [];
      if (known == each) continue;
      const element = o.pendingRow(each);
      if (old) old.replaceWith(element);
      else {
        o.pending.append(element);
        isStuck = true; // somebody wrote here, and wants to see it
      }
      pendingRows.set(each.key, [each, element]);
    }
    for (const key of gone) {
      pendingRows.get(key)![1].remove();
      pendingRows.delete(key);
    }
  }

  function draw(): void {
    const snapshot = video.getSnapshot();
    const { comments, pending, gaps, hasOlder } = snapshot;
    const anchor = isStuck ? undefined : firstInView();
    const anchorTop = anchor?.offsetTop ?? 0;
    const isPosted = pending != drawnPending;
    if (isPosted) drawPending(pending);
    const early = isStuck && !isPosted ? calmAt - performance.now() : 0;
    clearTimeout(timer);
    if (comments != drawn || !isStuck && rows.length < comments.length) {
      if (early > 0) timer = setTimeout(draw, early);
      else drawRows(comments);
    }
    if (isStuck) {
      toEnd();
      while (rows.length == stuckRows && scroller.scrollTop < ABOVE * scroller.clientHeight) {
        stuckRows *= 2;
        drawRows(comments);
        toEnd();
      }
    } else if (anchor?.isConnected) scrollTo(scroller.scrollTop + anchor.offsetTop - anchorTop);
    if (isStuck) {
      unread = 0;
      video.follow();
    }
    const isTorn = gaps.length > 0;
    o.changed?.({ snapshot, isStuck, isTorn, unread });
    if (isTorn && isStuck) read(() => video.reload());
    else if (hasOlder && rows.length >= comments.length && scroller.scrollTop < NEAR_TOP_PX) read(() => video.loadOlder());
  }

  /** One at a time; what failed is asked for again where it is still wanted. */
  function read(act: () => Promise<unknown>): void {
    if (isReading || video.getSnapshot().state.is == "closed") return;
    isReading = true;
    const done = () => {
      isReading = false;
      if (!control.signal.aborted) draw();
    };
    act().then(() => requestAnimationFrame(done), (problem) => {
      o.problem?.(problem as Problem);
      setTimeout(done, AGAIN_MS);
    });
  }

  function scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = scroller;
    const left = scrollHeight - clientHeight - scrollTop;
    const wasStuck = isStuck;
    // Up by a pixel is a wish to stay: with a thousand comments a second nobody would get further by hand.
    if (left <= 1) isStuck = true;
    else if (scrollTop < lastTop) isStuck = false;
    else if (left < NEAR_END_PX) isStuck = true;
    lastTop = scrollTop;
    if (isStuck != wasStuck || !isStuck && scrollTop < NEAR_TOP_PX) draw();
  }

  const resized = new ResizeObserver(() => isStuck && toEnd());
  for (const element of [scroller, o.rows, o.pending]) if (element) resized.observe(element);
  scroller.addEventListener("scroll", scrolled, { passive: true, signal: control.signal });
  const ends = [
    video.on("comments", ({ news, origin }) => {
      if (!isStuck && origin == "live") unread += news.length;
    }),
    video.subscribe(draw),
  ];
  draw();
  return {
    stick() {
      isStuck = true;
      draw();
    },
    close() {
      control.abort();
      clearTimeout(timer);
      resized.disconnect();
      for (const end of ends) end();
    },
  };
}
