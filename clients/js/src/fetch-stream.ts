/** The stream by `fetch`: it tells status and headers, takes tokens, and never joins halves of two answers. */

import { Problem, asProblem, problemOf } from "./problem.js";
import { sseReader } from "./sse.js";
import type { StreamRequest, StreamSink, Transport } from "./types.js";

async function read(request: StreamRequest, sink: StreamSink, signal: AbortSignal): Promise<void> {
  const response = await request.fetch(request.url, {
    headers: { Accept: "text/event-stream", ...request.headers },
    cache: "no-store",
    signal,
  });
  if (response.status == 204) throw new Problem("ended", "The video is over", 204);
  if (!response.ok || !response.body || !/^text\/event-stream/i.test(response.headers.get("Content-Type") ?? "")) {
    throw await problemOf(response);
  }
  sink.opened();
  const take = sseReader(sink.event, sink.retry);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  for (let part; !(part = await reader.read()).done; ) {
    if (signal.aborted) return;
    sink.alive();
    if (!take(decoder.decode(part.value, { stream: true }))) throw new Problem("not_ours", "No event stream of ours");
  }
}

export const fetchStream: Transport = {
  open(request, sink) {
    const control = new AbortController();
    const isOpen = () => !control.signal.aborted;
    read(request, sink, control.signal).then(
      () => isOpen() && sink.end(),
      (thrown) => {
        if (!isOpen()) return;
        control.abort(); // what was not read of an answer
        sink.end(asProblem(thrown));
      },
    );
    return () => control.abort();
  },
};
