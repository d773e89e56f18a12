/**
 * What broken proxies, captive portals, devices and people do: of each, what the state says meanwhile, and that nothing is
 * lost or doubled once it is over.
 */

import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, expect, test, vi } from "vitest";

import { createCommentsClient, type Problem } from "../src/index.js";
import { memoryStore, problemAnswer, setting } from "./setting.js";

const DAY_MS = 86_400_000;
const isStream = (url: string) => url.includes("/stream");
const html = (status: number) => new Response("<!doctype html><title>Log in</title>", {
  status, headers: { "Content-Type": "text/html" },
});
const redirected = (url: string) => Object.defineProperty(html(200), "url", { value: `http://login/?from=${url}` });
const stream = (body: BodyInit | null) => new Response(body, { headers: { "Content-Type": "text/event-stream" } });
const cutBody = () => new ReadableStream({
  start(control) {
    control.enqueue(new TextEncoder().encode(":\n\nevent: comment\nid: 0000000000000009\ndata: {\"commentId\":\"0000"));
    control.error(new TypeError("terminated"));
  },
});

type World = ReturnType<typeof setting>;
const FAULTS: [name: string, begin: (world: World) => void, end: (world: World) => void, is: string, code: string][] = [
  ...([
    ["a captive portal answers everything with its page", () => html(200), "not_ours"],
    ["a gateway answers 502 with a page", () => html(502), "not_ours"],
    ["everything is led to a login", redirected, "not_ours"],
    ["a proxy refuses with a page of its own", () => html(403), "not_ours"],
    ["the service is overloaded", () => problemAnswer(503, "overloaded"), "overloaded"],
    ["half a stream, then nothing", () => stream(cutBody()), "unreachable"],
    ["nobody answers", () => Promise.reject(new TypeError("fetch failed")), "unreachable"],
  ] as [string, (url: string) => Response | Promise<Response>, string][]).map(
    ([name, answer, code]): (typeof FAULTS)[number] => [
      name,
      ({ answers, network }) => {
        answers.push(...Array.from({ length: 500 }, () => answer));
        network.sever(true);
      },
      ({ answers }) => void (answers.length = 0),
      "reconnecting",
      code,
    ]),
  ["streams are held back", ({ answers, network }) => {
    answers.push(...Array.from({ length: 500 }, () => (url: string) => (isStream(url) ? stream(new ReadableStream()) : null)));
    network.sever(true);
  }, ({ answers }) => void (answers.length = 0), "reconnecting", "held_back"],
  ["the connection is dead but open", ({ network }) => network.sever(false), () => {}, "reconnecting", "silent"],
  ["the laptop sleeps for a day", ({ clock, network }) => {
    network.sever(false);
    clock.wall += DAY_MS;
  }, () => {}, "reconnecting", "silent"],
  ["the page lies in the back/forward cache", ({ emit, network }) => {
    emit("pagehide");
    network.sever(false);
  }, ({ emit }) => emit("pageshow"), "paused", ""],
  ["the device has no network", ({ around, emit, network }) => {
    around.isOnline = false;
    network.isDown = true;
    emit("offline");
  }, ({ around, emit, network }) => {
    around.isOnline = true;
    network.isDown = false;
    emit("online");
  }, "offline", "offline"],
];

test.each(FAULTS)("while %s the state says so, and nothing is lost or doubled", async (_, begin, end, is, code) => {
  const world = setting();
  const { clock, service, video, client } = world;
  const codes = new Set<string>();
  const states = new Set<string>();
  const told: string[] = [];
  video.on("problem", (problem) => codes.add(problem.code));
  video.on("state", (state) => states.add(state.is));
  video.on("comments", ({ news }) => told.push(...news.map(({ message }) => message)));
  service.write("ana", "before");
  await clock.pass(1_000);
  expect(video.getSnapshot().state.is).toBe("live");

  states.clear();
  begin(world);
  service.write("ana", "meanwhile");
  const posted = video.post("own");
  await clock.pass(45_000);
  expect(states).toContain(is);
  if (code) expect(codes).toContain(code);

  end(world);
  await clock.pass(60_000);
  service.write("ana", "after");
  await clock.pass(1_000);
  expect(video.getSnapshot()).toMatchObject({ state: { is: "live" }, pending: [], gaps: [] });
  expect((await posted).message).toBe("own");
  expect([...told].sort()).toEqual(["after", "before", "meanwhile", "own"]);
  expect(video.getSnapshot().comments).toEqual(service.comments());
  client.close();
  expect(world.network.open.size).toBe(0);
});

test.each([
  ["40 days ahead from the start", (world: World) => void (world.clock.wall += 40 * DAY_MS), () => {}],
  ["40 days back from the start", (world: World) => void (world.clock.wall -= 40 * DAY_MS), () => {}],
  ["that jumps ahead", () => {}, (world: World) => void (world.clock.wall += 40 * DAY_MS)],
  ["that jumps back", () => {}, (world: World) => void (world.clock.wall -= 40 * DAY_MS)],
])("a clock %s costs no comment, no session and no token", async (_, before, during) => {
  const world = setting({ getToken: undefined, guest: { storage: memoryStore() } } as never);
  before(world);
  const { clock, service, client, video } = world;
  video.subscribe(() => {});
  const opened = client.session.open("Ana");
  await clock.pass(1_000);
  await opened;
  during(world);
  const posted = video.post("own");
  await clock.pass(30_000);
  expect((await posted).author.id).toBe("me");
  expect(client.session.get()).toMatchObject({ displayName: "Ana" });
  expect(video.getSnapshot().state.is).toBe("live");
  expect(video.getSnapshot().comments).toEqual(service.comments());
});

test("a token callback that rejects is asked again, and the comment waits for it", async () => {
  let fails = 3;
  const { clock, service, video } = setting({
    getToken: async () => {
      if (fails-- > 0) throw new Error("the login is away");
      return "good";
    },
  });
  video.subscribe(() => {});
  const posted = video.post("own");
  await clock.pass(500);
  expect(video.getSnapshot().pending).toMatchObject([{ is: "unknown" }]);
  await clock.pass(60_000);
  expect((await posted).message).toBe("own");
  expect(service.comments()).toHaveLength(1);
});

test("a 401 in the midst that no token helps against is said once, with the comment kept", async () => {
  const { clock, network, video } = setting({ getToken: () => "stale" });
  video.subscribe(() => {});
  await clock.pass(1_000);
  network.token = "another";
  const refused = video.post("own").catch((problem: Problem) => problem);
  await clock.pass(5_000);
  expect(await refused).toMatchObject({ code: "invalid_token", status: 401 });
  expect(video.getSnapshot().pending).toMatchObject([{ message: "own", is: "rejected", problem: { status: 401 } }]);
  expect(video.getSnapshot().state.is).toBe("live");
});

test("storage that is full keeps sessions and comments in memory", async () => {
  const full = { ...memoryStore(), setItem: () => { throw new DOMException("full", "QuotaExceededError"); } };
  const { clock, service, client, video } = setting({ getToken: undefined, guest: { storage: full }, drafts: full } as never);
  video.subscribe(() => {});
  const opened = client.session.open("Ana");
  await clock.pass(1_000);
  await opened;
  expect(client.session.get()?.displayName).toBe("Ana");
  const posted = video.post("own");
  await clock.pass(1_000);
  expect((await posted).message).toBe("own");
  expect(service.comments()).toHaveLength(1);
});

test("what one person left unsent is not sent by the next", async () => {
  const drafts = memoryStore();
  const storage = memoryStore();
  const first = setting({ getToken: undefined, guest: { storage }, drafts } as never);
  first.video.subscribe(() => {});
  const opened = first.client.session.open("Ana");
  await first.clock.pass(1_000);
  await opened;
  first.network.isDown = true;
  void first.video.post("of Ana").catch(() => {});
  await first.clock.pass(1_000);
  for (const [userId, is] of [["somebody else", []], ["me", ["of Ana"]]] as const) {
    const next = setting({
      getToken: undefined,
      guest: { storage: { ...storage, getItem: () => JSON.stringify({ ...first.client.session.get(), userId }) } },
      drafts: { ...drafts, setItem: () => {}, removeItem: () => {} },
    } as never);
    next.video.subscribe(() => {});
    await next.clock.pass(5_000);
    expect(next.service.comments().map(({ message }) => message)).toEqual(is);
    expect(next.video.getSnapshot().pending, "nor shown").toEqual([]);
  }
});

test("what was tried as one person is not tried as another, who came in another tab", async () => {
  const drafts = memoryStore();
  const storage = memoryStore();
  const { clock, service, client, video, answers } = setting({ getToken: undefined, guest: { storage }, drafts } as never);
  video.subscribe(() => {});
  void client.session.open("Ana");
  await clock.pass(1_000);
  answers.push((url) => (url.endsWith("/comments/v") ? problemAnswer(503, "append_unknown") : null));
  const told = video.post("of Ana").catch((problem: Problem) => problem.code);
  while (answers.length) await Promise.resolve();
  const [key, text] = [...storage.kept][0]!;
  storage.setItem(key, text.replace('"me"', '"somebody else"'));
  void video.post("of who came").catch(() => {});
  await clock.pass(10_000);
  expect(await told).toBe("interrupted");
  expect(service.comments().map(({ message }) => message)).toEqual(["of who came"]);
  expect(video.getSnapshot().pending).toMatchObject([{ message: "of Ana", is: "rejected" }]);
});

test("what was refused stays refused over a reload, with its reason, until its author says otherwise", async () => {
  const drafts = memoryStore();
  const first = setting({ drafts });
  first.answers.push(() => problemAnswer(403, "banned", { "Retry-After": "7" }));
  await expect(first.video.post("hello")).rejects.toMatchObject({ code: "banned" });
  first.client.close();
  const second = setting({ drafts });
  second.video.subscribe(() => {});
  await second.clock.pass(5_000);
  expect(second.service.comments()).toEqual([]);
  const [pending] = second.video.getSnapshot().pending;
  expect(pending).toMatchObject({ message: "hello", is: "rejected", problem: { code: "banned", status: 403, retryAfterMs: 7_000 } });
  expect(pending!.is == "rejected" && pending!.problem.isFinal).toBe(true);
  const sent = second.video.retry(pending!.key);
  await second.clock.pass(1_000);
  expect((await sent).message).toBe("hello");
  expect(drafts.kept.size).toBe(0);
});

test("two services of one page share neither sessions nor what is unsent", async () => {
  const drafts = memoryStore();
  const storage = memoryStore();
  const first = setting({ getToken: undefined, guest: { storage }, drafts } as never);
  first.video.subscribe(() => {});
  const opened = first.client.session.open("Ana");
  await first.clock.pass(1_000);
  await opened;
  first.network.isDown = true;
  void first.video.post("for the first").catch(() => {});
  await first.clock.pass(1_000);
  const other = setting({ baseUrl: "http://test/other", getToken: undefined, guest: { storage }, drafts } as never);
  other.video.subscribe(() => {});
  await other.clock.pass(5_000);
  expect(other.client.session.get()).toBe(null);
  expect(other.video.getSnapshot().pending).toEqual([]);
});

test("memory is bounded, however long faults last", async () => {
  const { clock, service, network, video } = setting({}, { maxComments: 50 });
  video.subscribe(() => {});
  for (let round = 0; round < 100; round++) {
    for (let n = 0; n < 30; n++) service.write("ana", `${round} ${n}`);
    if (round % 3 == 0) network.sever(round % 2 == 0);
    await clock.pass(2_000);
  }
  expect(video.getSnapshot().comments.length).toBeLessThanOrEqual(50);
  expect(video.getSnapshot().gaps.length).toBeLessThanOrEqual(50);
  for (let n = 0; n < 150; n++) void video.post(`own ${n}`).catch(() => {});
  await clock.pass(0);
  expect(video.getSnapshot().pending.length).toBeLessThanOrEqual(100);
});

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A page, then what `answer` makes of streams, by real HTTP and the platform's fetch. */
async function following(answer: RequestListener) {
  server = createServer((request, response) => {
    if (isStream(request.url!) || request.url!.startsWith("/login")) return answer(request, response);
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({ comments: [], nextCursor: null, streamUrl: "v/stream?after=0000000000000000" }));
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  const client = createCommentsClient({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  const video = client.video("v");
  const codes: string[] = [];
  video.on("problem", ({ code }) => codes.push(code));
  return { client, video, codes };
}

const comment = (n: number) => {
  const commentId = String(n).padStart(16, "0");
  return `event: comment\nid: ${commentId}\ndata: ${JSON.stringify({ commentId, message: `m${n}`, author: { id: "a" } })}\n\n`;
};

test("half a gzip gives what it holds, and the rest is asked for behind that", async () => {
  const asked: string[] = [];
  const { client, video, codes } = await following((request, response) => {
    asked.push(new URL(request.url!, "http://x").searchParams.get("after")!);
    response.writeHead(200, { "Content-Type": "text/event-stream", "Content-Encoding": "gzip" });
    const from = Number(asked.at(-1)) + 1;
    const whole = gzipSync(Array.from({ length: 2_000 }, (_, n) => comment(from + n)).join(""), { level: 0 });
    if (asked.length == 1) response.write(whole.subarray(0, whole.length / 2), () => response.destroy());
    else response.write(whole);
  });
  await vi.waitFor(() => expect(video.getSnapshot().comments.at(-1)!.message.length).toBeGreaterThan(3), 10_000);
  await vi.waitFor(() => expect(asked.length).toBeGreaterThan(1), 10_000);
  await vi.waitFor(() => expect(Number(video.getSnapshot().comments.at(-1)!.commentId)).toBe(Number(asked[1]) + 2_000), 10_000);
  const ids = video.getSnapshot().comments.map(({ commentId }) => Number(commentId));
  expect(ids).toEqual(ids.map((_, at) => ids[0]! + at));
  expect(codes).toEqual(["unreachable"]);
  client.close();
});

test("a stream that is led to a login page is none of ours", async () => {
  const { client, video, codes } = await following((request, response) => {
    if (request.url == "/login") return void response.writeHead(200, { "Content-Type": "text/html" }).end("<form>");
    response.writeHead(302, { Location: "/login" }).end();
  });
  await vi.waitFor(() => expect(codes).toContain("not_ours"), 10_000);
  expect(video.getSnapshot().state.is).toBe("reconnecting");
  client.close();
});

test("a portal's page in answer to a delete is no delete", async () => {
  const { clock, service, answers, video } = setting();
  video.subscribe(() => {});
  const { commentId } = service.write("me", "x");
  await clock.pass(1_000);
  answers.push(...Array.from({ length: 4 }, () => () => html(200)));
  const told = video.delete(commentId).catch((problem: Problem) => problem.code);
  await clock.pass(60_000);
  expect(await told).toBe("not_ours");
  expect(video.getSnapshot().comments).toEqual(service.comments());
});
