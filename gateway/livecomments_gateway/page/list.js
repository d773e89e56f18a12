/**
 * The list of comments: in the order of their ids, each once, in a bounded number of rows.
 *
 *     add, addOlder, remove  ->  #waiting, #leaving  ->  #pass, once a frame  ->  rows
 *
 * While the newest comment is in view (*stuck*) the oldest rows make room, and are read again when somebody scrolls up.
 * While older ones are read, the newest rows make room; then the list is *torn*: it no longer touches the live end, and
 * whoever returns there gets the newest page afresh. A gap in the stream tears it too.
 */

import { addAct, buildRow } from "./row.js";

const STUCK_ROWS_MAX = 500;
const ROWS_MAX = 1_500; // while older ones are read
const WAITING_MAX = 2_000; // no frames are drawn while the tab is hidden
const GONE_MAX = 1_000; // deleted ids remembered, against a page that was read before the delete
const NEAR_TOP_PX = 800;
const NEAR_END_PX = 24;
const NEW_SHOWN_MAX = 999;
const LEAVE_MS = 180;
const ARMED_MS = 4_000;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class CommentList {
  #on;
  #scroller = document.getElementById("scroller");
  #list = document.getElementById("rows");
  #pendingList = document.getElementById("pending");
  #edge = document.getElementById("edge");
  #jump = document.getElementById("jump");
  #rows = []; // ascending {id, element}
  #shown = new Map(); // id -> the same
  #waiting = new Map(); // id -> comment, for the next pass
  #leaving = new Set();
  #gone = new Set();
  #pending = []; // {message, element, commentId}: own comments the log has not been seen to hold
  #viewer = null;
  #older; // cursor of what lies before the rows; null: nothing; undefined: nothing read yet
  #fresh = false;
  #torn = false;
  #stuck = true;
  #unread = 0;
  #frame = 0;
  #lastTop = 0;

  /** `on` holds `older(cursor)`: read before it, answer with `addOlder`; `torn()`: `replace`; `delete(commentId)`. */
  constructor(on) {
    this.#on = on;
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#jump.addEventListener("click", () => this.stick());
    const resized = new ResizeObserver(() => this.#stuck && this.#toEnd());
    for (const element of [this.#scroller, this.#list, this.#pendingList]) resized.observe(element);
  }

  /** The newest page, in place of everything. */
  replace(comments, older) {
    this.#rows = [];
    this.#shown.clear();
    this.#waiting.clear();
    this.#leaving.clear();
    this.#older = older;
    this.#fresh = true;
    this.#torn = false;
    this.#unread = 0;
    for (const comment of comments) this.#enqueue(comment);
    this.#schedule();
  }

  /** The page read for the cursor `asked`. Ignored when the rows begin elsewhere by now. */
  addOlder(asked, comments, older) {
    if (asked === this.#older) {
      this.#older = older;
      for (const comment of comments) this.#enqueue(comment);
    }
    this.#schedule(); // asks again when it was for nothing
  }

  /** A comment from the stream, or one's own from a 201. */
  add(comment) {
    const newest = this.#rows.at(-1)?.id ?? "";
    if (!this.#stuck && comment.commentId > newest && !this.#waiting.has(comment.commentId)) this.#unread++;
    if (!this.#torn || comment.commentId < newest) this.#enqueue(comment);
    if (this.#waiting.size > WAITING_MAX) this.tear();
    this.#schedule();
  }

  remove(id) {
    this.#gone.add(id);
    if (this.#gone.size > GONE_MAX) this.#gone.delete(this.#gone.values().next().value);
    this.#waiting.delete(id);
    if (this.#shown.has(id)) this.#leaving.add(id);
    this.#schedule();
  }

  /** Something newer than the rows is missing: what waits behind the hole goes too. */
  tear() {
    const newest = this.#rows.at(-1)?.id ?? "";
    for (const id of this.#waiting.keys()) if (id > newest) this.#waiting.delete(id);
    this.#torn = true;
    this.#schedule();
  }

  /** Shows the newest comment and stays with it. */
  stick() {
    this.#stuck = true;
    this.#schedule();
  }

  /** Whose comments may be deleted here; null: nobody's. */
  setViewer(userId) {
    this.#viewer = userId;
    for (const { id, element } of this.#rows) this.#markOwn(id, element);
  }

  /** An own comment on its way. It goes when the comment `settle` names, or its like from the stream, is shown. */
  addPending(message, displayName) {
    const author = { id: this.#viewer ?? "", displayName };
    const pending = { message: message.normalize(), element: buildRow({ author, message }), commentId: null };
    this.#pending.push(pending);
    this.#pendingList.append(pending.element);
    this.stick();
    return pending;
  }

  settle(pending, comment) {
    pending.commentId = comment.commentId;
    this.add(comment);
  }

  /** What has become of it, and what can be done about it: `acts` are label -> function. */
  mark(pending, state, words, acts = {}) {
    pending.commentId = null;
    pending.element.dataset.state = state;
    pending.element.querySelector("time").textContent = words;
    pending.element.querySelector(".acts").replaceChildren();
    for (const [label, act] of Object.entries(acts)) addAct(pending.element, label, act);
    if (!this.#pending.includes(pending)) this.#pending.push(pending);
    if (!pending.element.isConnected) this.#pendingList.append(pending.element);
  }

  discard(pending) {
    pending.element.remove();
    this.#pending = this.#pending.filter((other) => other !== pending);
  }

  #enqueue(comment) {
    const id = comment.commentId;
    if (this.#shown.has(id) || this.#gone.has(id)) return;
    this.#waiting.set(id, comment);
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => this.#pass());
  }

  /** The only place that changes rows. */
  #pass() {
    this.#frame = 0;
    if (this.#fresh) this.#list.replaceChildren();
    const anchor = this.#stuck || this.#fresh ? null : this.#firstInView();
    const anchorTop = anchor?.offsetTop;
    for (const id of this.#leaving) this.#leave(id);
    this.#leaving.clear();
    const arrived = [...this.#waiting.values()].sort((a, b) => (a.commentId < b.commentId ? -1 : 1));
    this.#waiting.clear();
    const quiet = this.#fresh || arrived.length > 3;
    for (const comment of arrived) this.#insert(comment, quiet);
    this.#fresh = false;
    const newest = this.#rows.at(-1)?.id ?? "";
    for (const pending of this.#pending) {
      const id = pending.commentId;
      if (id && (id <= newest || this.#gone.has(id))) this.discard(pending);
    }
    this.#trim();
    if (this.#stuck) this.#toEnd();
    else if (anchor) this.#scrollTo(this.#scroller.scrollTop + anchor.offsetTop - anchorTop);
    this.#tell();
    this.#look();
  }

  #insert(comment, quiet) {
    const id = comment.commentId;
    let at = this.#rows.length;
    while (at > 0 && this.#rows[at - 1].id > id) at--;
    const row = { id, element: buildRow(comment) };
    row.element.dataset.commentId = id;
    const pending = this.#pending.find((own) => own.commentId === id) ?? this.#pendingLike(comment);
    if (pending) pending.commentId = id;
    this.#markOwn(id, row.element);
    row.element.classList.toggle("arriving", !quiet && !pending && at === this.#rows.length);
    this.#list.insertBefore(row.element, this.#rows[at]?.element ?? null);
    this.#rows.splice(at, 0, row);
    this.#shown.set(id, row);
  }

  /** The stream may be quicker than the 201. */
  #pendingLike({ author, message }) {
    if (author.id !== this.#viewer) return undefined;
    return this.#pending.find((own) => !own.commentId && own.message === message);
  }

  #leave(id) {
    const { element } = this.#shown.get(id);
    this.#forget(this.#rows.splice(this.#rows.findIndex((row) => row.id === id), 1));
    const { offsetTop: top, offsetHeight: height } = element;
    if (element.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
    if (calm.matches || (!this.#stuck && top < this.#scroller.scrollTop)) return element.remove();
    element.inert = true;
    element.classList.add("leaving");
    const keyframes = { height: [`${height}px`, "0px"], opacity: [1, 0] };
    element.animate(keyframes, { duration: LEAVE_MS, easing: "ease-out" }).finished.finally(() => element.remove());
  }

  #trim() {
    const over = this.#rows.length - (this.#stuck ? STUCK_ROWS_MAX : ROWS_MAX);
    if (over <= 0) return;
    const trimmed = this.#stuck ? this.#rows.splice(0, over) : this.#rows.splice(-over);
    for (const { element } of trimmed) element.remove();
    this.#forget(trimmed);
    if (this.#stuck) this.#older = this.#rows[0].id;
    else this.#torn = true;
  }

  #forget(rows) {
    for (const { id } of rows) this.#shown.delete(id);
  }

  #tell() {
    if (this.#stuck) this.#unread = 0;
    const count = this.#unread > NEW_SHOWN_MAX ? `${NEW_SHOWN_MAX}+` : this.#unread;
    this.#jump.hidden = this.#stuck || !(this.#unread || this.#torn);
    this.#jump.textContent =
      this.#unread === 0 ? "Newest comments" : this.#unread === 1 ? "1 new comment" : `${count} new comments`;
    const nothing = this.#rows.length + this.#pending.length === 0;
    this.#edge.textContent = this.#older === undefined ? "" : this.#older ? "Loading older comments"
      : nothing ? "No comments yet. Yours could be the first." : "Start of the conversation";
  }

  /** Asks for what the place in the list calls for. */
  #look() {
    if (this.#torn && this.#stuck) this.#on.torn();
    else if (this.#older && this.#scroller.scrollTop < NEAR_TOP_PX) this.#on.older(this.#older);
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const left = scrollHeight - clientHeight - scrollTop;
    // Up by a pixel is a wish to stay: with a thousand comments a second nobody would get further by hand.
    if (left <= 1) this.#stuck = true;
    else if (scrollTop < this.#lastTop) this.#stuck = false;
    else if (left < NEAR_END_PX) this.#stuck = true;
    this.#lastTop = scrollTop;
    this.#schedule();
  }

  #toEnd() {
    this.#scrollTo(this.#scroller.scrollHeight);
  }

  #scrollTo(top) {
    if (top !== this.#scroller.scrollTop) this.#scroller.scrollTop = top; // setting it stops a finger's momentum
    this.#lastTop = this.#scroller.scrollTop;
  }

  #firstInView() {
    let [low, high] = [0, this.#rows.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { offsetTop, offsetHeight } = this.#rows[middle].element;
      if (offsetTop + offsetHeight > this.#scroller.scrollTop) high = middle;
      else low = middle + 1;
    }
    while (low < this.#rows.length && this.#leaving.has(this.#rows[low].id)) low++;
    return this.#rows[low]?.element ?? null;
  }

  #markOwn(id, element) {
    const own = element.dataset.author === this.#viewer;
    if (own === element.classList.contains("own")) return;
    element.classList.toggle("own", own);
    if (!own) element.querySelector(".acts").replaceChildren();
    else addAct(element, "Delete", (button) => this.#confirm(button, id));
  }

  /** The first click asks, the second does. */
  #confirm(button, id) {
    if (button.classList.toggle("armed")) {
      button.textContent = "Delete?";
      const disarm = () => {
        button.classList.remove("armed");
        button.textContent = "Delete";
      };
      const timer = setTimeout(disarm, ARMED_MS);
      button.addEventListener("blur", () => { clearTimeout(timer); disarm(); }, { once: true });
    } else {
      this.#on.delete(id, button);
    }
  }
}
