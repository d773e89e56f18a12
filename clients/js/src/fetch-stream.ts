/** The stream by `fetch`: it tells status and headers, takes tokens, and never joins halves of two answers. */

import { Problem, asProblem, problemOf } from "./problem.js";
import { sseReader } from "./sse.js";
import type { Transport } from "./types.js";

export const fetchStream: Transport = {
  open(request, sink) {
    const control = new AbortController();
    const { signal } = control;
    const read = async () => {
      const response = await request.fetch(request.url, {
        headers: { Accept: "text/event-stream", ...request.headers }, cache: "no-store", signal,
      });
      if (response.status == 204) throw new Problem("ended");
      if (!response.ok || !response.body || !/^text\/event-stream/i.test(response.headers.get("Content-Type")!)) {
        throw await problemOf(response);
      }
      sink.opened();
      const take = sseReader(sink.event, sink.retry);
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      for (let part; !(part = await reader.read()).done && !signal.aborted; ) {
        sink.alive();
        if (!take(decoder.decode(part.value, { stream: true }))) throw new Problem("not_ours");
      }
    };
    const end = (problem?: Problem) => {
      if (signal.aborted) return;
      control.abort(); // what was not read of an answer
      sink.end(problem);
    };
    read().then(() => end(), (thrown) => end(asProblem(thrown)));
    return () => control.abort();
  },
};
