import { beforeEach, expect, test, vi } from "vitest";

import { createCommentsClient } from "../src/index.js";
import { auto, poll } from "../src/poll.js";
import { TestLocks } from "./locks.js";
import { problemAnswer, setting } from "./setting.js";

const messages = (video: { getSnapshot(): { comments: readonly { message: string }[] } }) =>
  video.getSnapshot().comments.map(({ message }) => message);
const isStream = (url: string) => url.includes("/stream?");
const SEEN_MS_MAX = 2_000;

beforeEach(() => vi.unstubAllGlobals());

test("by pieces alone comments are seen within two seconds, each once, and deleted ones go", async () => {
  const { clock, service, requests, video } = setting({ transport: poll });
  const told: string[] = [];
  service.write("ana", "before");
  video.on("comments", ({ news }) => told.push(...news.map(({ message }) => message)));
  await clock.pass(1_000);
  for (const message of ["one", "two"]) {
    service.write("ana", message);
    await clock.pass(SEEN_MS_MAX);
    expect(messages(video).at(-1)).toBe(message);
  }
  service.delete(service.comments()[1]!.commentId);
  await clock.pass(SEEN_MS_MAX);
  expect(messages(video)).toEqual(["before", "two"]);
  expect(told).toEqual(["before", "one", "two"]);
  await clock.pass(SEEN_MS_MAX);
  expect(new URL(requests.at(-1)!.url).searchParams.get("offset")).toBe(service.head);
  expect(video.getSnapshot().state.is).toBe("live");
  expect(requests.some(({ url }) => isStream(url))).toBe(false);
});

test("by pieces, what is set of the video is seen, and its end once all of it was told", async () => {
  const { clock, service, network, requests, video } = setting({ transport: poll });
  let changes = 0;
  video.subscribe(() => changes++);
  await clock.pass(1_000);
  expect(video.getSnapshot().settings).toMatchObject({ state: "live", slowModeS: 0 });
  changes = 0;
  await clock.pass(30_000);
  expect(changes).toBe(0);
  service.slowModeS = 30;
  await clock.pass(15_000);
  expect(video.getSnapshot().settings).toMatchObject({ slowModeS: 30 });
  service.write("ana", "the last");
  service.isOver = true;
  await clock.pass(15_000);
  expect(messages(video)).toEqual(["the last"]);
  expect(video.getSnapshot()).toMatchObject({ state: { is: "ended" }, settings: { state: "ended" } });
  const asked = requests.length;
  await clock.pass(60_000);
  expect(requests.length).toBe(asked);
  expect(network.open.size).toBe(0);
});

test("by pieces, a video of which nothing can be said is followed all the same", async () => {
  const { clock, answers, service, video } = setting({ transport: poll });
  const refuse = (url: string) => (url.includes("/videos/") ? problemAnswer(404, "video_not_found") : null);
  answers.push(refuse, refuse);
  answers.push((url) => (url.includes("/videos/") ? new Promise(() => {}) : null));
  video.subscribe(() => {});
  service.write("ana", "one");
  await clock.pass(60_000);
  service.write("ana", "two");
  await clock.pass(SEEN_MS_MAX);
  expect(messages(video)).toEqual(["one", "two"]);
  expect(video.getSnapshot()).toMatchObject({ state: { is: "live" } });
});

test("by pieces, the service is asked anew by the cursor it gave, and what it has lost is begun anew by a page", async () => {
  const { clock, service, requests, video } = setting({ transport: poll });
  service.write("ana", "before");
  video.subscribe(() => {});
  await clock.pass(90_000);
  const waits = requests.map(({ url }) => new URL(url).searchParams).filter((query) => query.has("live"));
  expect(waits.length).toBeLessThanOrEqual(5); // in silence the service answers every 20 s
  expect(new Set(waits.map((query) => query.get("cursor"))).size).toBe(waits.length);
  service.begin = "1";
  service.write("ana", "after");
  await clock.pass(SEEN_MS_MAX);
  service.begin = "";
  await clock.pass(SEEN_MS_MAX);
  expect(messages(video)).toEqual(["before", "after"]);
  expect(video.getSnapshot().state.is).toBe("live");
});

test("by pieces, an answer that repeats itself is not asked for without end", async () => {
  const { clock, answers, requests, video } = setting({ transport: poll });
  const headers = { "Stream-Next-Offset": "0000000000000000", "Stream-Cursor": "7", "Stream-Up-To-Date": "true" };
  const again = (url: string) => (url.includes("/streams/") ? Response.json([{ type: "new kind" }], { headers }) : null);
  answers.push(...Array.from({ length: 1_000 }, () => again));
  video.subscribe(() => {});
  await clock.pass(30_000);
  expect(requests.length).toBeLessThan(40);
  expect(video.getSnapshot().state.is).toBe("live");
});

test("by pieces, what is too much is a gap that can be filled", async () => {
  const { clock, around, emit, service, video } = setting({ transport: poll });
  service.write("ana", "before");
  video.subscribe(() => {});
  await clock.pass(1_000);
  around.isHidden = true;
  emit("visibilitychange");
  await clock.pass(30_000);
  for (let n = 0; n < 1_500; n++) service.write("ana", `missed ${n}`);
  around.isHidden = false;
  emit("visibilitychange");
  await clock.pass(5_000);
  expect(messages(video).at(-1)).toBe("missed 1499");
  const [gap] = video.getSnapshot().gaps;
  expect(gap).toMatchObject({ reason: "missed" });
  service.write("ana", "after");
  await clock.pass(SEEN_MS_MAX);
  expect(messages(video).at(-1)).toBe("after");
});

test("by pieces, an answer that is none of ours is said, and asked for again", async () => {
  const { clock, answers, service, video } = setting({ transport: poll });
  const codes: string[] = [];
  video.on("problem", ({ code }) => codes.push(code));
  await clock.pass(1_000);
  const broken = [() => new Response("<html>"), () => problemAnswer(503, "overloaded"), () => new Promise<Response>(() => {})];
  answers.push(...broken.map((answer) => (url: string) => (url.includes("/videos/") ? null : answer())));
  await clock.pass(60_000);
  service.write("ana", "x");
  await clock.pass(SEEN_MS_MAX);
  expect(codes).toEqual(["not_ours", "overloaded", "no_connection"]);
  expect(messages(video)).toEqual(["x"]);
});

test("behind what holds answers back comments are seen within two seconds; a stream is tried again, later and later", async () => {
  const { clock, answers, service, requests, network, video } = setting({ transport: auto() });
  let isHolding = true;
  const hold = (url: string) => (isHolding && isStream(url) ? new Promise<Response>(() => {}) : null);
  answers.push(...Array.from({ length: 50 }, () => hold));
  video.subscribe(() => {});
  const asked = () => requests.filter(({ url }) => isStream(url)).length;
  for (let n = 0; n < 10; n++) {
    await clock.pass(n ? 5_000 : 0);
    service.write("ana", String(n));
    await clock.pass(SEEN_MS_MAX);
    expect(messages(video).at(-1)).toBe(String(n));
    expect(video.getSnapshot().state.is).toBe("live");
  }
  const early = asked();
  await clock.pass(600_000);
  expect(early).toBeLessThanOrEqual(5);
  expect(asked()).toBeLessThanOrEqual(early + 6);

  isHolding = false;
  await clock.pass(1_200_000);
  expect(network.open.size).toBe(1);
  const before = requests.length;
  await clock.pass(60_000);
  expect(requests).toHaveLength(before); // a stream again, and nothing beside it
  service.write("ana", "live again");
  await clock.pass(200);
  expect(messages(video).at(-1)).toBe("live again");
  expect(new Set(messages(video)).size).toBe(11);
});

test("a stream that is only slow to begin ends the asking for pieces", async () => {
  const { clock, answers, service, network, requests, video } = setting({ transport: auto() });
  answers.push((url) => (isStream(url) ? new Promise((resolve) => {
    clock.at(4_000, () => resolve(network.fetch(url, requests.at(-1)!.init)));
  }) : null));
  video.subscribe(() => {});
  await clock.pass(6_000);
  const asked = requests.length;
  expect(network.open.size).toBe(1);
  await clock.pass(20_000);
  expect(requests).toHaveLength(asked);
  service.write("ana", "x");
  await clock.pass(100);
  expect(messages(video)).toEqual(["x"]);
});

test("where streams are answered by a proxy's page, pieces are asked for from the third attempt on", async () => {
  const { clock, answers, service, video } = setting({ transport: auto() });
  const refuse = (url: string) => (isStream(url) ? new Response("<html>", { status: 403 }) : null);
  answers.push(...Array.from({ length: 20 }, () => refuse));
  video.subscribe(() => {});
  await clock.pass(5_000);
  service.write("ana", "x");
  await clock.pass(SEEN_MS_MAX);
  expect(messages(video)).toEqual(["x"]);
  expect(video.getSnapshot().state.is).toBe("live");
});

test("eight tabs with eight videos have four streams between them, and all of them live", async () => {
  const locks = new TestLocks();
  const { clock, service, network } = setting();
  vi.stubGlobal("navigator", { locks: locks.tab(), onLine: true });
  const tabs = Array.from({ length: 8 }, (_, at) => createCommentsClient({
    baseUrl: "http://test/api", fetch: network.fetch, clock: clock.client(), transport: auto(), drafts: null,
    guest: { storage: null },
  }).video(`video ${at}`));
  for (const tab of tabs) tab.connect();
  await clock.pass(3_000);
  expect(network.open.size).toBe(4);
  service.write("ana", "x");
  await clock.pass(SEEN_MS_MAX);
  for (const tab of tabs) {
    expect(messages(tab)).toEqual(["x"]);
    expect(tab.getSnapshot().state.is).toBe("live");
  }
  tabs[0]!.close();
  await clock.pass(12_000);
  expect(network.open.size).toBe(4); // the place it has left is taken
  for (const tab of tabs) tab.close();
  await clock.pass(0);
  expect(network.open.size).toBe(0);
});
