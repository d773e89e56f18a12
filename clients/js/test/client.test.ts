import { expect, test } from "vitest";

import { createCommentsClient, Problem, type Events } from "../src/index.js";
import { FRAME_MS, settled } from "./clock.js";
import { memoryStore, problemAnswer, setting } from "./setting.js";

const messages = (video: { getSnapshot(): { comments: readonly { message: string }[] } }) =>
  video.getSnapshot().comments.map(({ message }) => message);
const isStream = (url: string) => url.includes("/stream");

test("nothing is asked for until somebody subscribes, and the stream goes on behind the page", async () => {
  const { service, clock, requests, video } = setting();
  service.write("ana", "first");
  await clock.pass(1_000);
  expect(requests).toEqual([]);
  video.subscribe(() => {});
  await clock.pass(1_000);
  service.write("ana", "second");
  await clock.pass(1_000);
  expect(messages(video)).toEqual(["first", "second"]);
  expect(requests.map(({ url }) => new URL(url).pathname)).toEqual(["/api/comments/v", "/api/comments/v/stream"]);
  expect(new URL(requests[1]!.url).searchParams.get("after")).toBe("0000000000000001");
});

test("the snapshot is the same reference until something has changed", async () => {
  const { service, clock, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  const before = video.getSnapshot();
  await clock.pass(60_000); // heartbeats
  expect(video.getSnapshot()).toBe(before);
  service.write("ana", "x");
  await clock.pass(1_000);
  expect(video.getSnapshot()).not.toBe(before);
  expect(video.getSnapshot().pending).toBe(before.pending);
});

test("what is set of the video stands in the snapshot as it is now, how many watch too, and members may be added", async () => {
  const { service, clock, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  expect(video.getSnapshot()).toMatchObject({ settings: null, viewers: null });
  const [viewer] = [...service.viewers];
  for (const slowModeS of [0, 30]) {
    service.tell(viewer!, "video", viewer!.cursor, { videoId: "v", state: "live", slowModeS, pinned: { commentId: "1" } });
    await clock.pass(100);
    expect(video.getSnapshot().settings).toMatchObject({ slowModeS, pinned: { commentId: "1" } });
  }
  service.tell(viewer!, "heartbeat", viewer!.cursor, { everyMs: 15_000, viewers: 7 });
  await clock.pass(100);
  expect(video.getSnapshot().viewers).toBe(7);
});

test("a thousand comments in a burst are one change", async () => {
  const { service, clock, video } = setting();
  let changes = 0;
  video.subscribe(() => changes++);
  await clock.pass(1_000);
  changes = 0;
  for (let n = 0; n < 1_000; n++) service.write("ana", String(n));
  await clock.pass(1_000);
  expect(changes).toBe(1);
  expect(video.getSnapshot().comments).toHaveLength(1_000);
});

test.each([
  ["a portal's page", () => new Response("<html>", { headers: { "Content-Type": "text/html" } }), "not_ours"],
  ["a gateway's 502", () => new Response("<html>", { status: 502 }), "not_ours"],
  ["a proxy's 404", () => new Response("<html>", { status: 404 }), "not_ours"],
  ["half a JSON", () => new Response("{\"comments\":["), "not_ours"],
  ["another's JSON", () => Response.json({ hello: 1 }), "not_ours"],
  ["no answer", () => Promise.reject(new TypeError("fetch failed")), "unreachable"],
])("after %s it says so and tries again", async (_, answer, code) => {
  const { clock, answers, video } = setting();
  const problems: string[] = [];
  answers.push(answer);
  video.on("problem", (problem) => problems.push(problem.code));
  await clock.pass(100);
  expect(video.getSnapshot().state).toMatchObject({ is: "reconnecting", attempt: 1 });
  await clock.pass(2_000);
  expect(video.getSnapshot().state.is).toBe("live");
  expect(problems).toEqual([code]);
});

test("what the service refuses for good is failed, and reload() tries again", async () => {
  const { clock, answers, video } = setting();
  answers.push(() => problemAnswer(400, "invalid_video_id"));
  video.subscribe(() => {});
  await clock.pass(60_000);
  expect(video.getSnapshot().state).toMatchObject({ is: "failed", cause: { code: "invalid_video_id", isFinal: true } });
  void video.reload();
  await clock.pass(1_000);
  expect(video.getSnapshot().state.is).toBe("live");
});

test("a stream that answers and brings nothing is given up after 8 s", async () => {
  const { clock, answers, video } = setting();
  const causes: string[] = [];
  const held = () => new Response(new ReadableStream(), { headers: { "Content-Type": "text/event-stream" } });
  answers.push((url) => (isStream(url) ? held() : null));
  answers.push((url) => (isStream(url) ? new Promise(() => {}) : null));
  video.on("problem", ({ code }) => causes.push(code));
  await clock.pass(8_100);
  expect(causes).toEqual(["held_back"]);
  await clock.pass(11_000);
  expect(causes).toEqual(["held_back", "no_connection"]);
  await clock.pass(5_000);
  expect(video.getSnapshot().state.is).toBe("live");
});

test("a position that cannot be followed is read anew, once", async () => {
  const { clock, answers, service, video } = setting();
  service.write("ana", "x");
  const refuse = (url: string) => (isStream(url) ? problemAnswer(400, "invalid_cursor") : null);
  answers.push(refuse);
  video.subscribe(() => {});
  await clock.pass(1_000);
  expect(video.getSnapshot().state.is).toBe("live");
  expect(messages(video)).toEqual(["x"]);
});

test("a video that is over is ended, and stays so", async () => {
  const { clock, service, requests, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  service.isOver = true;
  for (const viewer of [...service.viewers]) service.bye(viewer, "ended");
  await clock.pass(1_000);
  expect(video.getSnapshot().state).toEqual({ is: "ended" });
  const asked = requests.length;
  await clock.pass(1_000_000);
  expect(requests).toHaveLength(asked);
});

test("an announced end is not spoken of when it is over soon", async () => {
  const { clock, service, video } = setting();
  const states: string[] = [];
  video.on("state", ({ is }) => states.push(is));
  await clock.pass(1_000);
  for (const viewer of [...service.viewers]) service.bye(viewer, "rotate");
  await clock.pass(5_000);
  expect(service.viewers.size).toBe(1);
  expect(states).toEqual(["connecting", "live"]);
});

test("a hidden page lets its stream go after 20 s, and resumes exactly when it is seen", async () => {
  const { clock, service, network, around, emit, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  around.isHidden = true;
  emit("visibilitychange");
  await clock.pass(19_900);
  expect(network.open.size).toBe(1);
  await clock.pass(200);
  expect(network.open.size).toBe(0);
  expect(video.getSnapshot().state).toEqual({ is: "paused" });
  service.write("ana", "meanwhile");
  await clock.pass(3_600_000);
  around.isHidden = false;
  emit("visibilitychange");
  await clock.pass(1_000);
  expect(messages(video)).toEqual(["meanwhile"]);
  expect(video.getSnapshot().state.is).toBe("live");
});

test("offline is said at once, and online is tried at once", async () => {
  const { clock, network, around, emit, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  around.isOnline = false;
  network.isDown = true;
  emit("offline");
  await clock.pass(FRAME_MS);
  expect(video.getSnapshot().state).toEqual({ is: "offline" });
  await clock.pass(600_000);
  around.isOnline = true;
  network.isDown = false;
  emit("online");
  await clock.pass(200);
  expect(video.getSnapshot().state.is).toBe("live");
});

test("a laptop that slept for a day notices within a tick that its connection is dead", async () => {
  const { clock, service, network, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  network.sever(false);
  clock.wall += 86_400_000;
  service.write("ana", "while it slept");
  await clock.pass(7_000);
  expect(messages(video)).toEqual(["while it slept"]);
});

test("a stream of another tempo is watched by that", async () => {
  const { clock, service, network, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  const [viewer] = service.viewers;
  service.tell(viewer!, "heartbeat", viewer!.cursor, { everyMs: 2_000, viewers: 7 });
  network.sever(false);
  await clock.pass(5_100);
  expect(video.getSnapshot().state.is).not.toBe("live");
  expect(video.getSnapshot().viewers).toBe(7);
});

test("the stream's copy of an own comment waits for the answer that names it", async () => {
  const { clock, service, answers, video } = setting();
  const told: Events["comments"][] = [];
  video.on("comments", (event) => void told.push(event));
  await clock.pass(1_000);
  let answer!: (response: Response) => void;
  answers.push(() => new Promise((resolve) => (answer = resolve)));
  const posted = video.post("hello");
  await clock.pass(10);
  const comment = service.write("me", "hello");
  await clock.pass(1_000);
  // who speaks is not known before the first answer of a token without claims, so it is shown
  expect(video.getSnapshot().pending).toHaveLength(1);
  answer(Response.json(comment, { status: 201 }));
  await clock.pass(100);
  expect((await posted).commentId).toBe(comment.commentId);
  expect(video.getSnapshot().pending).toEqual([]);
  expect(messages(video)).toEqual(["hello"]);
});

test("with a guest, the same copy is held back until the answer, or for 2 s", async () => {
  const { clock, service, answers, client, video } = setting({ getToken: undefined!, guest: { storage: memoryStore() } });
  video.subscribe(() => {});
  void client.session.open("me");
  await clock.pass(1_000);
  answers.push((url) => (url.endsWith("/v") ? new Promise(() => {}) : null));
  void video.post("hello");
  await clock.pass(10);
  service.write("me", "hello");
  await clock.pass(1_500);
  expect(messages(video)).toEqual([]);
  await clock.pass(1_000);
  expect(messages(video)).toEqual(["hello"]);
});

test("comments go out one after the other, under one key each, whatever becomes of the answers", async () => {
  const { clock, requests, answers, service, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  requests.length = 0;
  answers.push(() => new Response("<h1>", { status: 502 }), () => Promise.reject(new TypeError("cut")));
  const posted = [video.post("one"), video.post("two")];
  await clock.pass(20);
  expect(video.getSnapshot().pending.map(({ is }) => is)).toEqual(["unknown", "sending"]);
  await clock.pass(10_000);
  const [one, two] = await Promise.all(posted);
  expect(one!.commentId < two!.commentId).toBe(true);
  const keys = requests.map(({ init }) => (init.headers as Record<string, string>)["Idempotency-Key"]);
  expect(new Set(keys.slice(0, 3)).size).toBe(1);
  expect(keys[3]).not.toBe(keys[0]);
  const seen = requests.map(({ init }) => (init.headers as Record<string, string>)["Idempotency-After"]);
  expect(seen).toEqual([undefined, "0000000000000000", "0000000000000000", undefined]);
  expect(service.comments()).toHaveLength(2);
});

test("slow mode counts down and sends by itself; what is refused for good says why", async () => {
  const { clock, answers, video } = setting();
  answers.push(() => problemAnswer(429, "slow_mode", { "Retry-After": "30" }));
  const posted = video.post("hello");
  await clock.pass(100);
  const [waiting] = video.getSnapshot().pending;
  expect(waiting).toMatchObject({ is: "waiting", code: "slow_mode" });
  expect((waiting as { until: number }).until - clock.time).toBeGreaterThan(29_000);
  await clock.pass(31_000);
  expect((await posted).message).toBe("hello");

  const refused = video.post("bad").catch((problem: Problem) => problem);
  await clock.pass(1_000);
  expect(await refused).toMatchObject({ code: "message_refused", isFinal: true });
  const [{ key }] = video.getSnapshot().pending as unknown as [{ key: string }];
  video.discard(key);
  await clock.pass(100);
  expect(video.getSnapshot().pending).toEqual([]);
});

test("a stream that is refused in the midst asks for another token, and goes on with that", async () => {
  const { clock, answers, service, requests, video } = setting({ getToken: (why) => `token ${why}` });
  video.subscribe(() => {});
  await clock.pass(1_000);
  for (const token of ["first", "refused"]) {
    answers.push((url) => (isStream(url) ? problemAnswer(401, "invalid_token") : null));
    for (const viewer of [...service.viewers]) service.bye(viewer, "rotate");
    await clock.pass(5_000);
    expect(video.getSnapshot().state.is).toBe("live");
    const headers = requests.filter(({ url }) => isStream(url)).at(-1)!.init.headers as Record<string, string>;
    expect(headers.Authorization).toBe(`Bearer token ${token}`);
  }
});

test("a token that is refused is asked for once more, and the comment keeps its key", async () => {
  const asked: string[] = [];
  const { clock, requests, network, video } = setting({
    getToken: (why) => {
      asked.push(why);
      return asked.length > 1 ? network.token : "old";
    },
  });
  const posted = video.post("hello");
  await clock.pass(1_000);
  expect((await posted).message).toBe("hello");
  expect(asked).toEqual(["first", "refused"]);
  const keys = requests.map(({ init }) => (init.headers as Record<string, string>)["Idempotency-Key"]);
  expect(keys[0]).toBe(keys[1]);
});

test("a token callback that never answers is given up after 10 s, and asked again", async () => {
  let calls = 0;
  const { clock, network, video } = setting({
    getToken: () => (++calls == 1 ? new Promise(() => {}) : network.token),
  });
  const posted = video.post("hello");
  await clock.pass(10_020);
  expect(video.getSnapshot().pending[0]).toMatchObject({ is: "unknown" });
  await clock.pass(5_000);
  expect((await posted).message).toBe("hello");
});

test("a JWT is renewed when half of its life is over, whatever the device's date is", async () => {
  const jwt = (n: number) => `h.${btoa(JSON.stringify({ sub: "me", iat: 1_000, exp: 1_600, n }))}.s`;
  const asked: string[] = [];
  const { clock, network, video } = setting({
    getToken: (why) => {
      asked.push(why);
      return (network.token = jwt(asked.length));
    },
  });
  clock.wall = 0;
  for (let n = 0; n < 4; n++) {
    void video.post(String(n));
    await clock.pass(200_000);
  }
  expect(asked).toEqual(["first", "renew"]);
});

test("a guest's session is kept, renewed at half of its life, and renamed", async () => {
  const storage = memoryStore();
  const { clock, requests, client, video } = setting({ getToken: undefined!, guest: { storage } });
  void client.session.open("Ana");
  await clock.pass(1_000);
  expect(client.session.get()).toMatchObject({ userId: "me", displayName: "Ana" });
  expect(storage.kept.size).toBe(1);
  void video.post("early");
  await clock.pass(1_000);
  expect(requests.map(({ url }) => new URL(url).pathname)).not.toContain("/api/sessions/current");
  clock.wall += 16 * 86_400_000;
  void video.post("hello");
  await clock.pass(1_000);
  expect(requests.map(({ url }) => new URL(url).pathname)).toContain("/api/sessions/current");
  void client.session.rename("Bea");
  await clock.pass(1_000);
  expect(client.session.get()).toMatchObject({ userId: "me", displayName: "Bea" });
  void client.session.end().catch(() => {});
  await clock.pass(1_000);
  expect(client.session.get()).toBe(null);
});

test("comments on their way survive a reload, and one of long ago asks first", async () => {
  const drafts = memoryStore();
  const first = setting({ drafts });
  first.network.isDown = true;
  void first.video.post("hello").catch(() => {});
  await first.clock.pass(1_000);
  first.client.close();

  const second = setting({ drafts });
  second.clock.wall = first.clock.wall + 5_000;
  second.video.subscribe(() => {});
  await second.clock.pass(1_000);
  expect(messages(second.video)).toEqual(["hello"]);
  expect(drafts.kept.size).toBe(0);

  drafts.kept.clear();
  const third = setting({ drafts });
  third.network.isDown = true;
  void third.video.post("again").catch(() => {});
  await third.clock.pass(1_000);
  third.client.close();
  const fourth = setting({ drafts });
  fourth.clock.wall = third.clock.wall + 3_600_000;
  fourth.video.subscribe(() => {});
  await fourth.clock.pass(1_000);
  const [pending] = fourth.video.getSnapshot().pending;
  expect(pending).toMatchObject({ is: "rejected", problem: { code: "interrupted" } });
  const sent = fourth.video.retry(pending!.key);
  await fourth.clock.pass(1_000);
  expect((await sent).message).toBe("again");
});

test("storage that throws costs nothing but the memory", async () => {
  const throws = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  const broken = { getItem: throws, setItem: throws, removeItem: throws };
  const { clock, client, video } = setting({ getToken: undefined!, guest: { storage: broken }, drafts: broken });
  video.subscribe(() => {});
  void client.session.open("Ana");
  await clock.pass(1_000);
  void video.post("hello");
  await clock.pass(1_000);
  expect(messages(video)).toEqual(["hello"]);
});

test("a gap is told and can be filled, also with what was deleted in it", async () => {
  const { clock, service, network, video } = setting({}, { history: 5 });
  video.subscribe(() => {});
  service.write("ana", "before");
  await clock.pass(1_000);
  network.sever(true);
  service.missedMax = 2;
  const missed = Array.from({ length: 250 }, (_, n) => service.write("ana", `missed ${n}`));
  service.delete(missed[3]!.commentId);
  await clock.pass(3_000);
  const [gap] = video.getSnapshot().gaps;
  expect(gap).toMatchObject({ reason: "missed" });
  void video.fill(gap!);
  await clock.pass(3_000);
  expect(video.getSnapshot().gaps).toEqual([]);
  expect(messages(video)).toEqual(service.comments().map(({ message }) => message));
});

test("older comments are read, and while they are, the newest make room behind a gap", async () => {
  const { clock, service, video } = setting({}, { history: 10, maxComments: 20 });
  for (let n = 0; n < 40; n++) service.write("ana", String(n));
  video.subscribe(() => {});
  await clock.pass(1_000);
  expect(messages(video)).toHaveLength(10);
  void video.loadOlder(20);
  await clock.pass(1_000);
  expect(messages(video)).toEqual(Array.from({ length: 20 }, (_, n) => String(n + 10)));
  expect(video.getSnapshot().gaps).toMatchObject([{ reason: "trimmed" }]);
  service.write("ana", "new");
  await clock.pass(1_000);
  expect(messages(video).at(-1)).toBe("29");
  void video.reload();
  await clock.pass(1_000);
  expect(messages(video).at(-1)).toBe("new");
  expect(video.getSnapshot().gaps).toEqual([]);
});

test("each page of older comments goes on behind the last, until there are no more", async () => {
  const { clock, service, video } = setting({}, { history: 10 });
  for (let n = 0; n < 35; n++) service.write("ana", String(n));
  video.subscribe(() => {});
  await clock.pass(1_000);
  for (const [from, hasOlder] of [[15, true], [5, true], [0, false]] as const) {
    void video.loadOlder(10);
    await clock.pass(1_000);
    expect(messages(video)[0]).toBe(String(from));
    expect(video.getSnapshot().hasOlder).toBe(hasOlder);
  }
});

test("an own comment that was deleted before the stream got there is done once a heartbeat has passed it", async () => {
  const { clock, service, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  void video.post("hello");
  await clock.pass(45); // answered, and not yet told
  service.gone.add(service.comments().at(-1)!.commentId);
  await clock.pass(1_000);
  expect(video.getSnapshot().pending).toMatchObject([{ is: "sent" }]);
  await clock.pass(16_000);
  expect(video.getSnapshot()).toMatchObject({ pending: [], comments: [] });
});

test("deleting says no only if the service does", async () => {
  const { clock, service, answers, video } = setting();
  video.subscribe(() => {});
  const { commentId } = service.write("me", "x");
  await clock.pass(1_000);
  answers.push(() => new Response("", { status: 502 }));
  let isDone = false;
  void video.delete(commentId).then(() => (isDone = true));
  await clock.pass(10_000);
  expect(isDone).toBe(true);
  expect(messages(video)).toEqual([]);
  answers.push(() => problemAnswer(404, "comment_not_found"));
  const again = video.delete(commentId);
  await clock.pass(1_000);
  await again;
  answers.push(() => problemAnswer(403, "not_the_author"));
  const refused = video.delete("0000000000000009").catch((problem: Problem) => problem.code);
  await clock.pass(1_000);
  expect(await refused).toBe("not_the_author");
});

test("a report is said again until it is taken, and says no only if the service does", async () => {
  const { clock, answers, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  answers.push(() => new Response("", { status: 502 }), () => new Response(null, { status: 204 }));
  const taken = video.report("0000000000000009", "spam");
  await clock.pass(10_000);
  await taken;
  answers.push(() => problemAnswer(429, "report_limit", { "Retry-After": "3000" }));
  const refused = video.report("0000000000000009", "other").catch((problem: Problem) => problem.code);
  await clock.pass(1_000);
  expect(await refused).toBe("report_limit");
});

test("the stream outlives the last subscriber by a second, and not more", async () => {
  const { clock, network, client, video } = setting();
  const end = video.subscribe(() => {});
  await clock.pass(1_000);
  end();
  await clock.pass(900);
  const end2 = client.video("v").subscribe(() => {});
  await clock.pass(5_000);
  expect(network.open.size).toBe(1);
  end2();
  end2();
  await clock.pass(1_100);
  expect(network.open.size).toBe(0);
  expect(video.getSnapshot().state).toEqual({ is: "idle" });
  expect(client.video("v")).not.toBe(video);
});

test("comments are iterated as they come; leaving the loop lets go", async () => {
  const { clock, service, network, video } = setting();
  const told: string[] = [];
  const reading = (async () => {
    for await (const { message } of video) {
      told.push(message);
      if (told.length == 3) break;
    }
  })();
  await clock.pass(1_000);
  for (const message of ["a", "b", "c", "d"]) service.write("ana", message);
  await clock.pass(1_000);
  await reading;
  expect(told).toEqual(["a", "b", "c"]);
  await clock.pass(2_000);
  expect(network.open.size).toBe(0);
});

test("a signal closes what it was given to", async () => {
  const control = new AbortController();
  const { clock, network, video } = setting({}, { signal: control.signal });
  video.connect();
  await clock.pass(1_000);
  control.abort();
  await settled();
  expect(network.open.size).toBe(0);
  expect(video.getSnapshot().state).toEqual({ is: "closed" });
  await expect(video.post("x")).rejects.toMatchObject({ code: "closed" });
});

test("a signal that was aborted before gives a closed video, and the next one is another", async () => {
  const { client, requests } = setting();
  const closed = client.video("w", { signal: AbortSignal.abort() });
  closed.connect();
  await settled();
  expect(closed.getSnapshot().state).toEqual({ is: "closed" });
  expect(requests).toEqual([]);
  expect(client.video("w")).not.toBe(closed);
});

test("what is under way or was refused is there for whoever comes back to the video, and then it is let go", async () => {
  const { clock, answers, client, video } = setting({ drafts: memoryStore() });
  const end = video.subscribe(() => {});
  await clock.pass(1_000);
  answers.push((url) => url.endsWith("/v") ? problemAnswer(422, "message_too_long") : null);
  video.post("mine").catch(() => {});
  await clock.pass(1_000);
  end();
  await clock.pass(3_000);
  const again = client.video("v");
  expect(again.getSnapshot().pending).toMatchObject([{ message: "mine", is: "rejected" }]);
  again.discard(again.getSnapshot().pending[0]!.key);
  await clock.pass(1_000);
  expect(client.video("v")).not.toBe(again);
});

test("videos that nobody uses are not remembered without end, those in use are", async () => {
  const { clock, client, video } = setting();
  video.subscribe(() => {});
  await clock.pass(1_000);
  const first = client.video("0");
  for (let at = 1; at < 300; at++) client.video(String(at));
  expect(client.video("v")).toBe(video);
  expect(client.video("299")).toBe(client.video("299"));
  expect(client.video("0")).not.toBe(first);
});

test("a path of the page's own site is no fault where a server draws the page", () => {
  expect(() => createCommentsClient({ baseUrl: "/comments-api" })).not.toThrow();
  expect(() => createCommentsClient({ baseUrl: "comments.example" })).toThrow("URL");
});

test("a page without comments leaves none of the old ones", async () => {
  const { clock, service, network, video } = setting();
  video.subscribe(() => {});
  const { commentId } = service.write("ana", "x");
  await clock.pass(1_000);
  expect(messages(video)).toEqual(["x"]);
  network.sever(false); // its delete is not told
  service.delete(commentId);
  const read = video.reload();
  await clock.pass(1_000);
  await read;
  expect(messages(video)).toEqual([]);
  expect(video.getSnapshot().comments).toEqual([]);
});

test("a first page that comes late does not take the place of a newer one", async () => {
  const { clock, service, answers, emit, video } = setting();
  let come = () => {};
  answers.push(() => new Promise((resolve) => {
    come = () => resolve(Response.json({ comments: [], nextCursor: null, streamUrl: "v/stream?after=0000000000000000" }));
  }));
  video.subscribe(() => {});
  await clock.pass(1_000);
  emit("pagehide");
  emit("pageshow");
  await clock.pass(1_000);
  service.write("ana", "a");
  await clock.pass(1_000);
  expect(video.getSnapshot().state.is).toBe("live");
  expect(messages(video)).toEqual(["a"]);
  come();
  await clock.pass(1_000);
  expect(messages(video)).toEqual(["a"]);
});
