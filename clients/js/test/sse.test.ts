import { expect, test } from "vitest";

import { sseReader } from "../src/sse.js";

function read(pieces: string[]) {
  const events: string[][] = [];
  const retries: number[] = [];
  const take = sseReader((...event) => events.push(event), (ms) => retries.push(ms));
  const isStream = pieces.map(take).every(Boolean);
  return { events, retries, isStream };
}

const STREAM = ":\r\nevent: begin\r\nid: 1\r\nretry: 250\r\n\r\nid: 2\ndata: {\"a\":\"ü€😀\u2028\"}\n\n" +
  "event: heartbeat\rid: 2\rdata:\r\rdata: x\ndata:  y\nid: 7\0\nretry: 1x\nnonsense\n\ndata: never ended";
const EVENTS = [
  ["message", "2", "{\"a\":\"ü€😀\u2028\"}"],
  ["heartbeat", "2", ""],
  ["message", "2", "x\n y"],
];

test("a stream cut in two anywhere tells the same", () => {
  for (let cut = 0; cut <= STREAM.length; cut++) {
    const { events, retries } = read([STREAM.slice(0, cut), STREAM.slice(cut)]);
    expect(events, `cut at ${cut}`).toEqual(EVENTS);
    expect(retries).toEqual([250]);
  }
});

test("a stream that comes character by character tells the same", () => {
  expect(read([...STREAM]).events).toEqual(EVENTS);
});

test("bytes cut anywhere, in a character too, are the same text", () => {
  const bytes = new TextEncoder().encode(STREAM);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const decoder = new TextDecoder();
    const pieces = [bytes.slice(0, cut), bytes.slice(cut)].map((part) => decoder.decode(part, { stream: true }));
    expect(read(pieces).events, `cut at ${cut}`).toEqual(EVENTS);
  }
});

test("what never ends a line or an event is no stream of ours, and is not kept", () => {
  expect(read(["x".repeat(1_000_000)]).isStream).toBe(false);
  expect(read(Array.from({ length: 1_001 }, () => `data: ${"x".repeat(1_000)}\n`)).isStream).toBe(false);
});
