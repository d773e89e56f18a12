/**
 * One video's stream, by the client of clients/js: one for all tabs of a browser, let go while nobody sees the page, and
 * back after everything that breaks it.
 */

import { createCommentsClient, sharedStream } from "./client.js";

const client = createCommentsClient({ baseUrl: "/", transport: sharedStream() });

export class VideoStream {
  #on;
  #videoId;
  #video = null;

  /**
   * `on` holds `comment(comment)`, `delete(commentId)`, `gap(gap)`, `state(state)`: what `State.is` of the client may
   * be; and `lost()`: this position cannot be followed any more, read the history again.
   */
  constructor(videoId, on) {
    this.#videoId = videoId;
    this.#on = on;
  }

  /** Follows from where a page of history is complete up to. */
  follow(streamUrl) {
    this.close();
    const from = new URL(streamUrl, location.href).searchParams.get("after");
    const video = (this.#video = client.video(this.#videoId, { from }));
    const listen = (kind, act) => video.on(kind, (event) => video === this.#video && act(event));
    listen("comments", ({ news }) => news.forEach((comment) => this.#on.comment(comment)));
    listen("delete", (ids) => ids.forEach((id) => this.#on.delete(id)));
    listen("gap", (gap) => this.#on.gap(gap));
    listen("state", (state) => (state.is === "failed" ? this.#on.lost() : this.#on.state(state.is)));
  }

  close() {
    const video = this.#video;
    this.#video = null;
    video?.close();
  }
}
