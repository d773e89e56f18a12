/**
 * Where streams do not come through: pages of history, asked for again and again. `auto` streams where that works and
 * asks for pages where it does not: behind what holds answers back until they are whole, and in the fifth tab of a site
 * that has six connections.
 */

import { fetchStream } from "./fetch-stream.js";
import { Problem, asProblem, parsed, problemOf } from "./problem.js";
import type { StreamRequest, StreamSink, Transport } from "./types.js";

/** Between two pages: with a request's way, a comment is seen within two seconds. */
const EVERY_MS = 1_000;
const REQUEST_MS_MAX = 10_000;
/** Between two looks at what is set of the video, in rounds of pages. */
const VIDEO_ROUNDS = 10;
const PAGE_MAX = 100;
/** So many pages behind, and the rest is told as a gap: what a stream's resume gives at most. */
const PAGES_MAX = 10;
/** A stream that has brought nothing for so long is given company. */
const PATIENCE_MS = 1_000;
/** And after so long it is given up; after two of them in a row the next is tried later. */
const OPEN_MS_MAX = 8_000;
const SILENT_MAX = 2;
const AGAIN_MS = 10_000;
const AGAIN_MS_MAX = 600_000;
/** Streams of all tabs of a site at once: a browser has six connections to it over HTTP/1.1, and pages need some, too. */
const STREAMS_MAX = 4;

/** Pages only, and what is set of the video now and then. */
export const poll: Transport = {
  open({ url, headers, fetch, clock }, sink) {
    const address = new URL(url);
    const control = new AbortController();
    let cursor = address.searchParams.get("after") ?? "";
    let isOver = false;
    let pages = 0;
    let rounds = 0;
    let isEnded = false;
    let lastVideo = "";
    let cancel = () => {};
    const { signal } = control;
    address.pathname = address.pathname.replace(/\/stream$/, "");
    const videoUrl = new URL(address.pathname.replace(/\/comments\/(?=[^/]*$)/, "/videos/"), address).href;

    function close(): void {
      isOver = true;
      cancel();
      control.abort();
    }

    function end(problem: Problem): void {
      if (isOver) return;
      close();
      sink.end(problem);
    }

    async function read(query: string): Promise<void> {
      address.search = `include=deletes&pageSize=${PAGE_MAX}&sort=${query}`;
      const response = await fetch(address.href, { headers, signal });
      if (!response.ok) throw await problemOf(response);
      const page = parsed(await response.text());
      if (isOver) return;
      if (!page.streamUrl) throw new Problem("not_ours", "No page of ours", response.status);
      const to = new URL(page.streamUrl, address).searchParams.get("after") ?? "";
      sink.opened();
      sink.alive();
      if (query == "desc") {
        const { comments, nextCursor } = page;
        if (cursor && nextCursor > cursor) tell("gap", nextCursor, { from: cursor, to: nextCursor, reason: "missed" });
        page.comments = cursor ? comments.reverse().filter((each: any) => each.commentId > cursor) : [];
      }
      for (const commentId of page.deletes ?? []) tell("delete", "", { commentId });
      for (const comment of page.comments) tell("comment", comment.commentId, comment);
      if (to > cursor) cursor = to;
      tell("heartbeat", cursor, {});
      pages = page.nextCursor && query != "desc" ? pages + 1 : 0;
    }

    const tell = (kind: string, id: string, data: unknown) => isOver || sink.event(kind, id, JSON.stringify(data));

    /** Beside the pages, and where it is not answered nothing is said: they go on. */
    async function readVideo(): Promise<void> {
      const response = await fetch(videoUrl, { headers, signal });
      const text = await response.text();
      const told = parsed(text);
      if (isOver || !response.ok || !told.state) return;
      if (text != lastVideo) tell("video", "", told);
      lastVideo = text;
      isEnded = told.state == "ended";
    }

    /** One page, and when it was not the last the next. What is asked for once the video has ended holds all of it. */
    function ask(): void {
      const isLast = isEnded;
      if (!pages && rounds++ % VIDEO_ROUNDS == 0) readVideo().catch(() => {});
      cancel = clock.after(REQUEST_MS_MAX, () => end(new Problem("timeout")));
      read(cursor && pages < PAGES_MAX ? `asc&cursor=${cursor}` : "desc").then(
        () => {
          if (isOver) return;
          if (isLast && !pages) return end(new Problem("ended"));
          cancel();
          cancel = clock.after(pages ? 0 : EVERY_MS, ask);
        },
        (thrown) => end(asProblem(thrown)),
      );
    }

    ask();
    return close;
  },
};

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
 * Streams, and pages beside a stream that brings nothing. After two of those in a row the next stream is tried later and
 * later; one that brings something ends the asking for pages. `streams` is how many this site may have in all tabs.
 */
export function auto({ stream = fetchStream, streams = STREAMS_MAX } = {}): Transport {
  let silent = 0;
  return {
    open(request: StreamRequest, sink: StreamSink) {
      const { clock } = request;
      const url = new URL(request.url);
      let isOver = false;
      let isStreaming = false;
      let dropStream = () => {};
      let dropPages: (() => void) | null = null;
      let release: (() => void) | null = null;
      let cancelTry = () => {};
      let cancelPages = () => {};

      function leaveStream(): void {
        cancelTry();
        dropStream();
        dropStream = () => {};
        release?.();
        release = null;
      }

      function close(): void {
        isOver = true;
        cancelPages();
        dropPages?.();
        leaveStream();
      }

      function end(problem?: Problem): void {
        if (isOver) return;
        close();
        sink.end(problem);
      }

      function askPages(): void {
        cancelPages();
        dropPages ??= poll.open({ ...request, url: url.href }, { ...sink, event, end });
      }

      /** The next of the two goes on from where the other has got to. */
      function event(kind: string, id: string, data: string): void {
        if (id > (url.searchParams.get("after") ?? "")) url.searchParams.set("after", id);
        sink.event(kind, id, data);
      }

      /** It brought nothing, or there is no place for it: pages, and a stream again later. */
      function giveUp(): void {
        leaveStream();
        askPages();
        const late = 2 ** Math.max(0, silent - SILENT_MAX);
        cancelTry = clock.after(silent < SILENT_MAX ? 0 : Math.min(AGAIN_MS_MAX, AGAIN_MS * late), tryStream);
      }

      async function tryStream(): Promise<void> {
        release = await place(url.origin, streams);
        if (isOver) return release?.();
        if (!release) {
          askPages();
          cancelTry = clock.after(AGAIN_MS, tryStream);
          return;
        }
        if (!dropPages) cancelPages = clock.after(PATIENCE_MS, askPages);
        const failed = () => {
          silent++;
          giveUp();
        };
        cancelTry = clock.after(OPEN_MS_MAX, failed);
        dropStream = stream.open({ ...request, url: url.href }, {
          ...sink,
          alive() {
            if (!isStreaming) {
              isStreaming = true;
              silent = 0;
              cancelTry();
              cancelPages();
              dropPages?.();
            }
            sink.alive();
          },
          event,
          end(problem) {
            // Of a stream that was one, and of what is the service's word, who asked for it hears.
            if (isStreaming || problem?.code == "ended" || problem?.isFinal) return end(problem);
            if (dropPages) return failed();
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
