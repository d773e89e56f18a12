/**
 * One seed: a client lives through a random story, is looked at after every change, and is held to its promises.
 * Returns what was broken, as sentences; none is right.
 */

import type { createCommentsClient, CommentsClient, Gap, Snapshot, Surroundings, Transport, Video } from "../../src/index.js";
import type { auto, poll } from "../../src/poll.js";
import { FRAME_MS, TestClock, settled } from "../clock.js";
import { Network, seeded, type Random } from "./network.js";
import { HEARTBEAT_MS, Service } from "./service.js";

/** What is held to its promises. */
export interface Made {
  createCommentsClient: typeof createCommentsClient;
  auto: typeof auto;
  poll: typeof poll;
}

const DAY_MS = 86_400_000;
const STEPS = 25;
/** Every step, on the console. */
const TRACE = Boolean(process.env.TRACE);
const LAST_MS = 300_000;

class World {
  readonly clock = new TestClock();
  readonly random: Random;
  readonly service: Service;
  readonly network: Network;
  readonly stores = { local: new Map<string, string>(), session: new Map<string, string>() };
  readonly maxComments: number;
  broken: string[] = [];
  posted: string[] = [];
  isHidden = false;
  isOnline = true;
  around = new Set<(kind: string) => void>();
  storageFails = false;
  readonly usesTokens: boolean;
  readonly transport: Transport | undefined;

  constructor(seed: number, readonly made: Made) {
    this.random = seeded(seed);
    this.service = new Service(this.clock);
    this.network = new Network(this.service, this.clock, this.random);
    this.maxComments = this.random() < 0.5 ? 12 : 200;
    this.usesTokens = this.random() < 0.5;
    const kind = this.random();
    this.transport = kind < 0.15 ? made.poll : kind < 0.4 ? made.auto() : undefined;
    if (this.random() < 0.5) this.service.missedMax = 5 + Math.floor(this.random() * 30);
    for (let n = Math.floor(this.random() * 40); n > 0; n--) this.service.write("early", `early ${n}`);
  }

  say(what: string): void {
    if (this.broken.length < 20) this.broken.push(`at ${Math.round(this.clock.time)}: ${what}`);
  }

  emit(kind: string): void {
    for (const act of [...this.around]) act(kind);
  }

  get surroundings(): Surroundings {
    return {
      isHidden: () => this.isHidden,
      isOnline: () => this.isOnline,
      listen: (act) => {
        this.around.add(act);
        return () => void this.around.delete(act);
      },
    };
  }

  store(of: Map<string, string>) {
    const guard = () => {
      if (this.storageFails) throw new DOMException("full", "QuotaExceededError");
    };
    return {
      getItem: (key: string) => (guard(), of.get(key) ?? null),
      setItem: (key: string, value: string) => (guard(), void of.set(key, value)),
      removeItem: (key: string) => (guard(), void of.delete(key)),
    };
  }

  /** The app's callback, which has its days. */
  getToken = async (): Promise<string> => {
    if (!this.network.isKind && this.random() < 0.15) throw new Error("the login is away");
    if (!this.network.isKind && this.random() < 0.1) await new Promise(() => {});
    return this.network.token;
  };
}

/** One life of a page: a client, its video, and what was told of it. */
class Life {
  readonly clock;
  readonly client: CommentsClient;
  readonly video: Video;
  readonly deleted = new Set<string>();
  readonly gaps: Gap[] = [];
  told: string[] = [];
  isToldAnew = false;
  #changedAt = -FRAME_MS;
  #settledPosts: Promise<unknown>[] = [];
  isOver = false;

  constructor(readonly world: World) {
    this.clock = world.clock.client();
    this.client = world.made.createCommentsClient({
      baseUrl: "http://test/api/",
      ...(world.usesTokens ? { getToken: world.getToken } : { guest: { storage: world.store(world.stores.local) } }),
      drafts: world.store(world.stores.session),
      transport: world.transport,
      fetch: world.network.fetch,
      clock: this.clock,
      random: world.random,
      surroundings: world.surroundings,
    });
    this.video = this.client.video("v", { history: 10, maxComments: world.maxComments });
    this.video.on("delete", (ids) => ids.forEach((id) => this.deleted.add(id)));
    this.video.on("gap", (gap) => void this.gaps.push(gap));
    this.video.on("comments", ({ news, origin }) => {
      if (origin == "live") this.told.push(...news.map(({ commentId }) => commentId));
    });
    this.video.subscribe(() => this.look());
  }

  post(message: string): void {
    const { world } = this;
    world.posted.push(message);
    this.#settledPosts.push(this.video.post(message).then(
      (comment) => {
        const found = world.service.log.find(({ id }) => id == comment.commentId);
        if (found?.comment?.message != message) world.say(`post() resolved for what is not durable: ${message}`);
      },
      () => {},
    ));
  }

  look(): void {
    const { world } = this;
    if (this.isOver) return;
    if (world.clock.time - this.#changedAt < FRAME_MS - 0.01) world.say("two changes in a frame");
    this.#changedAt = world.clock.time;
    const snapshot = this.video.getSnapshot();
    const ids = snapshot.comments.map(({ commentId }) => commentId);
    ids.forEach((id, at) => {
      if (at && id <= ids[at - 1]!) world.say(`ids do not ascend: ${ids[at - 1]} ${id}`);
      if (this.deleted.has(id)) world.say(`shown after its delete: ${id}`);
    });
    if (ids.length > world.maxComments) world.say(`${ids.length} comments, at most ${world.maxComments}`);
    if (!this.isToldAnew && new Set(this.told).size != this.told.length) world.say("a comment was told twice");
    this.#complete(snapshot, ids);
  }

  /** Between the first and the last comment shown nothing is missing that no gap tells of. */
  #complete(snapshot: Snapshot, ids: string[]): void {
    const shown = new Set(ids);
    const last = ids.at(-1) ?? "";
    const isWaiting = snapshot.pending.some(({ is }) => is != "rejected" && is != "sent");
    for (const { id, comment } of this.world.service.log) {
      if (!comment || id < (ids[0] ?? "") || id > last || shown.has(id) || this.world.service.gone.has(id)) continue;
      if (snapshot.gaps.some(({ from, to }) => from < id && id <= to)) continue;
      if (isWaiting && comment.author.id == "me") continue; // waits for its answer, and is shown as pending
      if (TRACE) console.log("MISSING", id, comment, ids, snapshot.gaps, snapshot.pending);
      this.world.say(`missing without a gap: ${id}`);
    }
  }

  /** `live` is never older than 2.5 heartbeats. */
  watch(): void {
    const { state } = this.video.getSnapshot();
    const silentMs = this.world.clock.time - this.world.network.lastByteAt;
    if (state.is == "live" && silentMs > 2.5 * HEARTBEAT_MS + FRAME_MS) this.world.say(`live, and silent for ${silentMs}`);
  }

  async end(): Promise<void> {
    const { world } = this;
    this.isOver = true;
    this.client.close();
    await settled();
    await settled();
    if (this.clock.open()) world.say(`${this.clock.open()} timers after close()`);
    if (world.around.size) world.say("listeners after close()");
    if (world.network.open.size) world.say("a stream after close()");
    let isSettled = false;
    void Promise.all(this.#settledPosts).then(() => (isSettled = true));
    await settled();
    if (!isSettled) world.say("a post stays open after close()");
  }
}

const STORIES: readonly [number, string, (world: World, life: Life) => void | Promise<void>][] = [
  [8, "others write", ({ service, random }) => {
    for (let n = Math.floor(random() ** 3 * 40); n >= 0; n--) service.write("other", `other ${random()}`);
  }],
  [6, "post", (world, life) => life.post(`${world.posted.length} own ${world.random() < 0.1 ? "bad" : "good"}`)],
  [2, "delete", ({ service, random }) => {
    const all = service.comments();
    if (all.length) service.delete(all[Math.floor(random() ** 0.3 * all.length)]!.commentId);
  }],
  [2, "older", (_, { video }) => void video.loadOlder(5).catch(() => {})],
  [2, "older, while one of them is deleted", ({ clock, service, random }, { video }) => {
    void video.loadOlder(5).catch(() => {});
    const first = video.getSnapshot().comments[0]?.commentId ?? "";
    const older = service.comments().filter(({ commentId }) => commentId < first).slice(-5);
    const one = older[Math.floor(random() * older.length)];
    if (one) clock.at(random() * 2_000, () => service.delete(one.commentId));
  }],
  [1, "fill", (_, { video }) => {
    const gap = video.getSnapshot().gaps[0];
    if (gap) void video.fill(gap).catch(() => {});
  }],
  [1, "reload", (_, life) => {
    life.isToldAnew = true;
    void life.video.reload().catch(() => {});
  }],
  [2, "severed", ({ network, random }) => network.sever(random() < 0.5)],
  [1, "down", ({ network, clock, random }) => {
    network.isDown = true;
    network.sever(true);
    clock.at(random() * 40_000, () => (network.isDown = false));
  }],
  [1, "rotate", ({ service }) => [...service.viewers].forEach((viewer) => service.bye(viewer, "rotate"))],
  [2, "hidden or shown", (world) => {
    world.isHidden = !world.isHidden;
    world.emit("visibilitychange");
  }],
  [1, "left and restored", (world) => {
    world.emit("pagehide");
    world.network.sever(true);
    world.clock.at(world.random() * 60_000, () => world.emit("pageshow"));
  }],
  [1, "offline or online", (world) => {
    world.isOnline = !world.isOnline;
    world.network.isDown = !world.isOnline;
    world.emit(world.isOnline ? "online" : "offline");
  }],
  [1, "clock set", ({ clock, random }) => void (clock.wall += (random() < 0.5 ? -40 : 40) * DAY_MS)],
  [1, "asleep for a day", (world) => {
    world.network.sever(false);
    world.clock.wall += DAY_MS;
    world.service.write("other", "while asleep");
  }],
  [1, "storage", (world) => void (world.storageFails = !world.storageFails)],
  [1, "401", ({ network, usesTokens }) => void (usesTokens && (network.token += "x"))],
  [1, "retry or discard", ({ random }, { video }) => {
    for (const { key, is } of video.getSnapshot().pending) {
      if (is == "rejected") random() < 0.5 ? void video.retry(key).catch(() => {}) : video.discard(key);
    }
  }],
  [3, "long silence", ({ clock, random }, life) => clock.pass(random() * 100_000, () => life.watch())],
];
const WEIGHT = STORIES.reduce((sum, [weight]) => sum + weight, 0);

function drawn(random: Random) {
  let left = random() * WEIGHT;
  return STORIES.find(([weight]) => (left -= weight) < 0) ?? STORIES[0]!;
}

export async function run(seed: number, made: Made): Promise<{ broken: string[]; faults: Map<string, number> }> {
  const world = new World(seed, made);
  let life = new Life(world);
  if (!world.usesTokens) void life.client.session.open("me").catch(() => {});
  for (let step = 0; step < STEPS && !world.broken.length; step++) {
    const [, name, act] = drawn(world.random);
    world.network.counts.set(name, (world.network.counts.get(name) ?? 0) + 1);
    if (TRACE) console.log(Math.round(world.clock.time), name, life.video.getSnapshot().state.is, life.video.getSnapshot().gaps.map((g) => `${+g.from}-${+g.to} ${g.reason}`), life.video.getSnapshot().comments.length);
    await act(world, life);
    await world.clock.pass(world.random() ** 3 * 20_000, () => life.watch());
    if (world.random() < 0.03) {
      await life.end();
      life = new Life(world); // the page is loaded anew
    }
  }
  await heal(world, life);
  settle(world, life);
  await life.end();
  return { broken: world.broken, faults: world.network.counts };
}

/** Nothing goes wrong any more. */
async function heal(world: World, life: Life): Promise<void> {
  world.network.isKind = true;
  world.network.isDown = false;
  world.network.sever(true); // what is open may have been given a fault
  world.isHidden = false;
  world.isOnline = true;
  world.emit("online");
  world.emit("visibilitychange");
  if (!world.usesTokens) void life.client.session.open("me").catch(() => {});
  await world.clock.pass(LAST_MS, () => life.watch());
  world.service.write("other", "the last");
  await world.clock.pass(2_000); // what a poller needs at most
}

/** What must be so once all is well. */
function settle(world: World, life: Life): void {
  const { state, comments, gaps, pending } = life.video.getSnapshot();
  if (state.is != "live") return world.say(`all is well, and the state is ${JSON.stringify(state)}`);
  const isTorn = gaps.some(({ reason }) => reason == "trimmed");
  const truth = world.service.comments();
  if (!isTorn && comments.at(-1)?.commentId != truth.at(-1)!.commentId) world.say("the newest comment is not shown");
  const seesAllDeletes = world.service.missedMax == Infinity;
  if (seesAllDeletes && comments.some(({ commentId }) => world.service.gone.has(commentId))) world.say("a deleted comment is shown");
  const rest = pending.filter(({ is }) => is != "rejected");
  if (rest.length) world.say(`still pending: ${JSON.stringify(rest)}`);
  const own = world.service.log.flatMap(({ comment }) => (comment?.author.id == "me" ? [comment.message] : []));
  if (new Set(own).size != own.length) world.say("an own comment was written twice");
}
