/**
 * One video's stream: a native EventSource, and what it does not do by itself.
 *
 * EventSource reconnects after a cut and sends the last id it saw. It gives up for good on any answer but 200, and a
 * phone that slept leaves it open and dead without an error; so every event is a sign of life, silence means a new
 * EventSource from the last id seen, and an EventSource that gave up is asked for the reason.
 */

import { backoffMs } from "./gateway.js";

const HEARTBEAT_INTERVAL_MS = 15_000; // pairing: the edge's heartbeat interval
const SILENCE_MS_MAX = 35_000; // two heartbeats and some
const WATCH_INTERVAL_MS = 5_000;
const PROBE_TIMEOUT_MS = 10_000;

export class VideoStream {
  #on;
  #url = null;
  #lastId = "";
  #source = null;
  #state = "";
  #seenAt = 0;
  #attempt = 0;
  #timer = 0;

  /**
   * `on` holds `comment(comment)`, `delete(commentId)`, `gap(gap)`, `state(state)`: connecting, live, reconnecting,
   * stale or ended; and `lost()`: this position cannot be followed any more, read the history again.
   */
  constructor(on) {
    this.#on = on;
    setInterval(() => this.#wake(SILENCE_MS_MAX), WATCH_INTERVAL_MS);
    addEventListener("online", () => this.#wake(0));
    addEventListener("pagehide", () => this.#source?.close()); // an open stream keeps a page out of the back cache
    addEventListener("pageshow", () => this.#wake(HEARTBEAT_INTERVAL_MS * 1.5));
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake(HEARTBEAT_INTERVAL_MS * 1.5));
  }

  /** Follows from where a page of history is complete up to. */
  follow(streamUrl) {
    this.#url = new URL(streamUrl, location.href);
    this.#lastId = "";
    this.#open("connecting");
  }

  close() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#source?.close();
    this.#source = null;
  }

  #open(state) {
    this.close();
    this.#say(state);
    this.#seenAt = Date.now();
    const source = (this.#source = new EventSource(this.#urlNow()));
    source.onopen = () => this.#say("live");
    source.onerror = () => {
      this.#say("reconnecting");
      if (source.readyState === EventSource.CLOSED) this.#askLater(source);
    };
    const listen = (name, act) => source.addEventListener(name, (event) => {
      this.#seenAt = Date.now();
      this.#attempt = 0;
      if (event.lastEventId) this.#lastId = event.lastEventId;
      act(event.data ? JSON.parse(event.data) : {});
    });
    listen("heartbeat", () => this.#say("live"));
    listen("comment", (comment) => {
      this.#say("live");
      this.#on.comment(comment);
    });
    listen("delete", ({ commentId }) => this.#on.delete(commentId));
    listen("gap", (gap) => this.#on.gap(gap));
    listen("stale", () => this.#say("stale"));
    listen("bye", ({ reason }) => reason === "ended" && this.#end());
  }

  #urlNow() {
    if (this.#lastId) this.#url.searchParams.set("after", this.#lastId);
    return this.#url;
  }

  #askLater(source) {
    this.#timer = setTimeout(() => this.#ask(source), backoffMs(this.#attempt++));
  }

  /** Why has it given up? The status tells; an EventSource does not. */
  async #ask(source) {
    let status = 0;
    try {
      const response = await fetch(this.#urlNow(), {
        headers: { Accept: "text/event-stream" }, signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      });
      status = response.status;
      await response.body?.cancel();
    } catch { /* not reachable now */ }
    if (this.#source !== source) return;
    if (status === 200) this.#open("reconnecting");
    else if (status === 204) this.#end();
    else if (status >= 400 && status < 500 && status !== 408 && status !== 429) this.#on.lost();
    else this.#askLater(source);
  }

  #end() {
    this.close();
    this.#say("ended");
  }

  /** Starts a new EventSource when the present one has been silent for longer than it may, or was closed. */
  #wake(silenceMsMax) {
    if (!this.#source) return;
    const silent = Math.abs(Date.now() - this.#seenAt) > silenceMsMax; // abs: the clock may have been set back
    if (silent || (this.#source.readyState === EventSource.CLOSED && !this.#timer)) this.#open("reconnecting");
  }

  #say(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.#on.state(state);
  }
}
