/**
 * What moderators and owners do: loaded for them alone. Each act has a line that says what became of it, with the way back,
 * or the reason and another try. Acts may be repeated without harm, so what is unknown is tried again.
 */

import { openMenu } from "./menu.js";

const TRIES_MAX = 4; // with the pauses between, seven seconds
const PAUSE_MS = 1_000;
const REQUEST_MS_MAX = 10_000;
const LINES_MAX = 2;
const DELETE_LAST_S = 3_600;
const SLOW_MODES_S = [0, 5, 30, 120];
const WRITERS = { everyone: "Everybody", members: "Members, no guests", moderators: "Moderators" };
const BANNED_KEY = "livecomments.banned.";
const BANNED_MAX = 50;
const COUNT_MS = 30_000; // how often a page that is seen asks what was reported
const COUNTED_MAX = 99;
const MARK = " ✓";

/** What a moderator has banned in this tab: the service tells nobody who is. */
class Banned {
  #key;
  #people = new Map(); // id -> name

  constructor(videoId) {
    this.#key = BANNED_KEY + videoId;
    try {
      this.#people = new Map(JSON.parse(sessionStorage.getItem(this.#key) ?? "[]"));
    } catch {
      // forbidden: as long as the page is open
    }
  }

  list() {
    return [...this.#people];
  }

  set({ id, displayName }, isBanned) {
    this.#people.delete(id);
    if (isBanned) this.#people.set(id, displayName);
    this.#people = new Map([...this.#people].slice(-BANNED_MAX));
    try {
      sessionStorage.setItem(this.#key, JSON.stringify([...this.#people]));
    } catch {
      // as above
    }
  }
}

/** What is answered to `method` on `path`; throws { message, status, mayHelp }: whether another try may. */
async function ask(token, method, path, body) {
  for (let tries = 1; ; tries++) {
    let problem;
    try {
      const answer = await fetch(path, {
        method,
        headers: { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }) },
        body: body && JSON.stringify(body),
        signal: AbortSignal.timeout(REQUEST_MS_MAX),
      });
      if (answer.ok) return answer.status === 204 ? null : await answer.json();
      const { detail, title } = await answer.json().catch(() => ({}));
      const { status } = answer;
      problem = { message: detail ?? title ?? `The service answers ${status}.`, status, mayHelp: status >= 500 || status === 429 };
    } catch {
      problem = { message: "No answer: it is not known whether it was done.", mayHelp: true };
    }
    if (!problem.mayHelp || tries === TRIES_MAX) throw problem;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tries));
  }
}

export class Desk {
  #page;
  #member;
  #id; // of the video, as it stands in addresses
  #banned;
  #reported = 0;
  #timer = 0;
  #lines = document.createElement("div");
  #button = document.createElement("button");

  /** `page`: video, videoId; `member`: token, roles. */
  constructor(page, member) {
    this.#page = page;
    this.#member = member;
    this.#id = encodeURIComponent(page.videoId);
    this.#banned = new Banned(page.videoId);
    this.#lines.id = "acts";
    this.#lines.role = "status";
    document.getElementById("composer").before(this.#lines);
    Object.assign(this.#button, { id: "desk", type: "button", className: "quiet", textContent: "Moderate" });
    this.#button.ariaHasPopup = "true";
    this.#button.addEventListener("click", () => this.#open());
    document.getElementById("muted").before(this.#button);
    document.addEventListener("visibilitychange", () => this.count());
    this.count();
  }

  get reportsPath() {
    return `videos/${this.#id}/reports`;
  }

  /** Says beside "Moderate" how many comments are reported, now and every so often. */
  async count() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    try {
      const { reports, nextCursor } = await this.ask("GET", `${this.reportsPath}?pageSize=${COUNTED_MAX}`);
      this.#reported = nextCursor ? `${COUNTED_MAX}+` : reports.length;
      const said = this.#reported === 1 ? "1 report" : `${this.#reported} reports`;
      this.#button.textContent = this.#reported ? `Moderate · ${said}` : "Moderate";
    } catch {
      // said when the list is opened; asked for again
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.count(), COUNT_MS);
  }

  /** What can be done about a reported comment; what becomes of it is said in `line`, in its place. */
  actsOnReported({ author, commentId }, line) {
    const acts = [["Leave it", () => this.do("Dismissing", "Left as it is.",
      () => this.ask("DELETE", `${this.reportsPath}/${commentId}`), null, line)]];
    if (!this.#may("moderate")) return acts;
    acts.push(["Delete", () => this.do("Deleting", "Deleted.",
      () => this.ask("DELETE", `comments/${this.#id}/${commentId}`), null, line), "Delete for everybody?"]);
    if (author.id !== this.#member.userId) {
      acts.push(["Delete and ban", () => this.#ban(author, commentId, line), `Ban ${author.displayName}, delete their last hour?`]);
    }
    return acts;
  }

  #may(role) {
    return this.#member.roles.includes(role);
  }

  /** As `ask`, with the member's token. */
  ask(method, path, body) {
    return ask(this.#member.token, method, path, body);
  }

  get #settings() {
    return this.#page.video.getSnapshot().settings ?? {};
  }

  /** Acts about a comment, for its menu. */
  actsOn({ author, commentId }) {
    const acts = [];
    if (this.#settings.pinnedCommentId === commentId) acts.push(["Unpin", () => this.#pin("")]);
    else acts.push(["Pin", () => this.#pin(commentId)]);
    if (!this.#may("moderate") || author.id === this.#member.userId) return acts;
    acts.push(["Delete", () => this.do("Deleting", "Deleted.",
      () => this.ask("DELETE", `comments/${this.#id}/${commentId}`)), "Delete for everybody?"]);
    acts.push(["Delete and ban", () => this.#ban(author, commentId), `Ban ${author.displayName}, delete their last hour?`]);
    return acts;
  }

  #pin(commentId) {
    const before = this.#settings.pinnedCommentId ?? "";
    const path = `videos/${this.#id}/pin`;
    this.do(commentId ? "Pinning" : "Unpinning", commentId ? "Pinned." : "Unpinned.",
      () => (commentId ? this.ask("PUT", `${path}/${commentId}`) : this.ask("DELETE", path)),
      () => this.#pin(before));
  }

  #ban(author, commentId, line) {
    this.do(`Banning ${author.displayName}`, `${author.displayName} is banned, and their last hour deleted.`, async () => {
      await this.ask("PUT", `videos/${this.#id}/bans/${encodeURIComponent(author.id)}?deleteLastS=${DELETE_LAST_S}`);
      this.#banned.set(author, true);
      await this.ask("DELETE", `comments/${this.#id}/${commentId}`); // it may be older than that
    }, () => this.#unban(author), line);
  }

  #unban(author) {
    this.do(`Unbanning ${author.displayName}`, `${author.displayName} may write again.`, async () => {
      await this.ask("DELETE", `videos/${this.#id}/bans/${encodeURIComponent(author.id)}`);
      this.#banned.set(author, false);
    });
  }

  /** Sets `change` beside what is set by now, whoever set that; what was before is the way back. */
  #set(change, doing, done) {
    const path = `videos/${this.#id}`;
    let before = null;
    this.do(doing, done, async () => {
      before ??= await this.ask("GET", path).catch((problem) => {
        if (problem.status !== 404) throw problem;
        return {}; // nothing was ever set
      });
      const { title = "", whoMayComment = "everyone", slowModeS = 0, maxCommentsPerS = 0 } = before;
      await this.ask("PUT", path, { title, whoMayComment, slowModeS, maxCommentsPerS, ...change });
      if (change.state === "live") this.#page.video.reload().catch(() => {}); // shown by the state
    }, () => {
      const back = Object.fromEntries(Object.keys(change).map((name) => [name, before[name] ?? this.#usual(name)]));
      this.#set(back, "Setting it back", "As it was.");
    });
  }

  #usual(name) {
    return { state: "live", whoMayComment: "everyone", slowModeS: 0 }[name];
  }

  #open() {
    const acts = [[this.#reported ? `Reports (${this.#reported})…` : "Reports…", () => this.#showReports()]];
    const { state = "live", slowModeS = 0, whoMayComment = "everyone", pinnedCommentId } = this.#settings;
    if (this.#may("own")) {
      acts.push(["Slow mode…", () => this.#choose("Seconds between two comments", SLOW_MODES_S.map((seconds) =>
        [seconds ? `${seconds} seconds` : "Off", seconds === slowModeS, () =>
          this.#set({ slowModeS: seconds }, "Setting slow mode", seconds ? `Slow mode: ${seconds} seconds.` : "Slow mode is off.")]))]);
      acts.push(["Who may comment…", () => this.#choose("Who may comment", Object.entries(WRITERS).map(([who, label]) =>
        [label, who === whoMayComment, () => this.#set({ whoMayComment: who }, "Setting who may comment", `May comment: ${label}.`)]))]);
      acts.push(state === "ended"
        ? ["Start the video", () => this.#set({ state: "live" }, "Starting", "Comments are open. Viewers come back when they reload.")]
        : ["End the video", () => this.#set({ state: "ended" }, "Ending", "Ended: comments are closed."), "End it for everybody?"]);
    }
    if (pinnedCommentId) acts.push(["Unpin", () => this.#pin("")]);
    const banned = this.#may("moderate") ? this.#banned.list() : [];
    for (const [id, displayName] of banned) acts.push([`Unban ${displayName}`, () => this.#unban({ id, displayName })]);
    openMenu(this.#button, ["For everybody"], acts);
  }

  async #showReports() {
    try {
      (await import("./reports.js")).showReports(this, this.#button);
    } catch {
      this.#page.composer.say("The list cannot be loaded just now. Try again.");
    }
  }

  #choose(title, choices) {
    openMenu(this.#button, [title], choices.map(([label, isNow, act]) => [isNow ? label + MARK : label, act]));
  }

  /** Does `act`, and says so in a line: what is under way, what became of it, and the way back or another try. */
  async do(doing, done, act, undo = null, line = this.#line()) {
    line.dataset.state = "doing";
    line.replaceChildren(`${doing}…`);
    try {
      await act();
      line.dataset.state = "done";
      line.replaceChildren(done, ...(undo ? [this.#link("Undo", () => { line.remove(); undo(); })] : []), this.#away(line));
    } catch ({ message, mayHelp }) {
      line.dataset.state = "failed";
      const again = mayHelp ? [this.#link("Try again", () => this.do(doing, done, act, undo, line))] : [];
      line.replaceChildren(`${doing}: ${message}`, ...again, this.#away(line));
    }
  }

  #line() {
    const line = document.createElement("p");
    this.#lines.append(line);
    // What is under way, or has failed, stays until somebody has seen it.
    const over = [...this.#lines.children].filter(({ dataset }) => dataset.state === "done");
    over.slice(0, Math.max(0, this.#lines.childElementCount - LINES_MAX)).forEach((each) => each.remove());
    return line;
  }

  #link(label, act) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "quiet", textContent: label });
    button.addEventListener("click", act);
    return button;
  }

  #away(line) {
    const button = this.#link("×", () => line.remove());
    button.ariaLabel = "Dismiss";
    return button;
  }
}
