/**
 * The stream by a native EventSource, where `fetch` cannot stream. It tells no status: each end looks like a cut, and
 * tokens cannot be sent. We never let it reconnect by itself: it would repeat its first URL.
 */

import { Problem } from "./problem.js";
import type { Transport } from "./types.js";

const KINDS = ["comment", "delete", "gap", "stale", "heartbeat", "video", "bye", "begin"];

export const eventSource: Transport = {
  open({ url }, sink) {
    const source = new EventSource(url);
    source.onopen = () => {
      sink.opened();
      sink.alive(); // it tells no bytes, and the service's first are no event
    };
    source.onerror = () => {
      source.close();
      sink.end(new Problem("cut", "The EventSource failed, and does not say why"));
    };
    for (const kind of KINDS) {
      source.addEventListener(kind, ({ lastEventId, data }: MessageEvent<string>) => {
        sink.alive();
        sink.event(kind, lastEventId, data);
      });
    }
    return () => source.close();
  },
};
