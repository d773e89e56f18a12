/** React Native: its `fetch` does not stream, so the stream comes by XMLHttpRequest; and its own idea of being seen. */

import { Problem, problemOf } from "./problem.js";
import { sseReader } from "./sse.js";
import type { Surroundings, Transport } from "./types.js";

/** An XMLHttpRequest keeps all it has read: after so much it begins anew, from where it stands. */
const CHARS_MAX = 1_000_000;

export const xhr: Transport = {
  open({ url, headers }, sink) {
    const request = new XMLHttpRequest();
    let taken = 0;
    let isOver = false;
    const take = sseReader(sink.event, sink.retry);

    function end(problem?: Problem): void {
      if (isOver) return;
      isOver = true;
      request.abort();
      sink.end(problem);
    }

    function read(): void {
      if (isOver || request.status != 200) return;
      const text = request.responseText;
      if (text.length == taken) return;
      sink.alive();
      const isStream = take(text.slice(taken));
      taken = text.length;
      if (!isStream) end(new Problem("not_ours", "No event stream of ours"));
      else if (taken > CHARS_MAX) end();
    }

    function done(): void {
      if (isOver) return;
      const { status, responseText } = request;
      if (isStream()) {
        read();
        end();
      } else if (status == 204) end(new Problem("ended", "The video is over", 204));
      else if (!status) end(new Problem("unreachable", "No answer"));
      else void problemOf(new Response(responseText, { status })).then(end);
    }

    const isStream = () =>
      request.status == 200 && /^text\/event-stream/i.test(request.getResponseHeader("Content-Type") ?? "");
    request.onreadystatechange = () => {
      if (request.readyState == 2 && isStream()) sink.opened();
      if (request.readyState == 3 && isStream()) read();
      if (request.readyState == 4) done();
    };
    request.onprogress = () => isStream() && read();
    request.open("GET", url);
    for (const [name, value] of Object.entries({ Accept: "text/event-stream", ...headers })) {
      request.setRequestHeader(name, value);
    }
    request.send();
    return () => {
      isOver = true;
      request.abort();
    };
  },
};

type AppState = {
  currentState: string | null;
  addEventListener(kind: "change", act: (state: string) => void): { remove(): void };
};

/** What React Native's `AppState` tells, as surroundings; whether there is a network shows in requests. */
export const appState = (state: AppState): Surroundings => ({
  isHidden: () => state.currentState == "background",
  isOnline: () => true,
  listen(act) {
    const heard = state.addEventListener("change", () => act("visibilitychange"));
    return () => heard.remove();
  },
});
