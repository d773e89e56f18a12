/**
 * Where streams do not come through: the log's pieces, each a whole answer. `auto` streams where that works and asks for
 * pieces where it does not: behind what holds answers back until they are whole, and in the fifth tab of a site that has
 * six connections. What asks for them (`pieces.ts`) is loaded when it is needed.
 */

import { fetchStream } from "./fetch-stream.js";
import { Problem, asProblem } from "./problem.js";
import type { StreamRequest, StreamSink, Transport } from "./types.js";

/** Between two questions, where none is left open; with a request's way, a comment is seen within two seconds. */
const EVERY_MS = 1_000;
/** A stream that has brought nothing for so long is given company. */
const PATIENCE_MS = 1_000;
/** And after so long it is given up; after two of them in a row the next is tried later. */
const OPEN_MS_MAX = 8_000;
const SILENT_MAX = 2;
const AGAIN_MS = 10_000;
const AGAIN_MS_MAX = 600_000;
/** Streams of all tabs of a site at once: a browser has six connections to it over HTTP/1.1, and asking needs some, too. */
const STREAMS_MAX = 4;

const pieces = (everyMs: number): Transport => ({
  open(request, sink) {
    let isOver = false;
    let drop = () => {};
    import("./pieces.js").then(({ openPieces }) => isOver || (drop = openPieces(request, sink, everyMs)))
      .catch((thrown) => isOver || sink.end(asProblem(thrown)));
    return () => {
      isOver = true;
      drop();
    };
  },
});

/** Pieces only: the service leaves each question open until there is something. */
export const poll = pieces(0);

/** Leaves none open: another tab's stream, or a post, may need the connection. */
const asking = pieces(EVERY_MS);

/** A place among the streams of all tabs, by Web Locks; null: there is none. Where there are no locks, there always is. */
async function place(origin: string, max: number): Promise<(() => void) | null> {
  const locks = globalThis.navigator?.locks;
  for (let at = 0; at < max; at++) {
    const release = await new Promise<(() => void) | null>((resolve) => {
      if (!locks) return resolve(() => {});
      locks.request(`livecomments.stream.${at} ${origin}`, { ifAvailable: true }, (lock) =>
        lock ? new Promise<void>((release) => resolve(release)) : resolve(null)).catch(() => resolve(() => {}));
    });
    if (release) return release;
  }
  return null;
}

/**
 * Streams, and asking beside a stream that brings nothing. After two of those in a row the next stream is tried later and
 * later; one that brings something ends the asking. `streams` is how many this site may have in all tabs.
 */
export function auto({ stream = fetchStream, streams = STREAMS_MAX } = {}): Transport {
  let silent = 0;
  return {
    open(request: StreamRequest, sink: StreamSink) {
      const { clock } = request;
      const url = new URL(request.url);
      let after = url.searchParams.get("after") ?? "";
      let isOver = false;
      let isStreaming = false;
      let dropStream = () => {};
      let dropAsking: (() => void) | null = null;
      let release: (() => void) | null = null;
      let cancelTry = () => {};
      let cancelAsking = () => {};

      function fromHere(): StreamRequest {
        if (after) url.searchParams.set("after", after);
        return { ...request, url: url.href };
      }

      function leaveStream(): void {
        cancelTry();
        dropStream();
        dropStream = () => {};
        release?.();
        release = null;
      }

      function close(): void {
        isOver = true;
        cancelAsking();
        dropAsking?.();
        leaveStream();
      }

      function end(problem?: Problem): void {
        if (isOver) return;
        close();
        sink.end(problem);
      }

      function ask(): void {
        cancelAsking();
        dropAsking ??= asking.open(fromHere(), { ...sink, event, end });
      }

      /** The next of the two goes on from where the other has got to. */
      function event(kind: string, id: string, data: string): void {
        if (id > after) after = id;
        sink.event(kind, id, data);
      }

      /** It brought nothing, or there is no place for it: asking, and a stream again later. */
      function giveUp(): void {
        leaveStream();
        ask();
        const late = 2 ** Math.max(0, silent - SILENT_MAX);
        cancelTry = clock.after(silent < SILENT_MAX ? 0 : Math.min(AGAIN_MS_MAX, AGAIN_MS * late), tryStream);
      }

      async function tryStream(): Promise<void> {
        release = await place(url.origin, streams);
        if (isOver) return release?.();
        if (!release) {
          ask();
          cancelTry = clock.after(AGAIN_MS, tryStream);
          return;
        }
        if (!dropAsking) cancelAsking = clock.after(PATIENCE_MS, ask);
        const failed = () => {
          silent++;
          giveUp();
        };
        cancelTry = clock.after(OPEN_MS_MAX, failed);
        dropStream = stream.open(fromHere(), {
          ...sink,
          alive() {
            if (!isStreaming) {
              isStreaming = true;
              silent = 0;
              cancelTry();
              cancelAsking();
              dropAsking?.();
            }
            sink.alive();
          },
          event,
          end(problem) {
            // Of a stream that was one, and of what is the service's word, who asked for it hears.
            if (isStreaming || problem?.code == "ended" || problem?.isFinal) return end(problem);
            if (dropAsking) return failed();
            silent++;
            end(problem);
          },
        });
      }

      if (silent >= SILENT_MAX) giveUp();
      else void tryStream();
      return close;
    },
  };
}
