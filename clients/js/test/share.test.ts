import { afterEach, expect, test, vi } from "vitest";

import { createCommentsClient, type Transport } from "../src/index.js";
import { systemClock } from "../src/platform.js";
import { sharedStream } from "../src/share.js";
import { TestClock, settled } from "./clock.js";
import { TestLocks } from "./locks.js";
import { Network, seeded } from "./model/network.js";
import { Service } from "./model/service.js";

const Channel = globalThis.BroadcastChannel;

function tabs(count: number) {
  const clock = new TestClock();
  const service = new Service(clock);
  const network = new Network(service, clock, seeded(1));
  network.isKind = true;
  const locks = new TestLocks();
  const open = () => {
    const own = locks.tab();
    let isFrozen = false; // then it hears nothing, and does nothing that the browser does not do for it
    const transport = sharedStream();
    const inTab: Transport = {
      open(request, sink) {
        if (isFrozen) return () => {};
        vi.stubGlobal("navigator", { locks: own });
        return transport.open(request, sink);
      },
    };
    vi.stubGlobal("BroadcastChannel", class extends Channel {
      override set onmessage(act: ((event: MessageEvent) => void) | null) {
        super.onmessage = act && ((event: MessageEvent) => isFrozen || act.call(this, event as never)) as never;
      }
    });
    const client = createCommentsClient({
      baseUrl: "http://test/api", transport: inTab, fetch: network.fetch, clock: clock.client(), random: seeded(count),
      drafts: null, guest: { storage: null }, surroundings: { isHidden: () => false, isOnline: () => true, listen: () => () => {} },
    });
    const video = client.video("v");
    const told: string[] = [];
    video.on("comments", ({ news }) => void told.push(...news.map(({ message }) => message)));
    const close = () => {
      client.close();
      own.close();
    };
    const freeze = () => void (isFrozen = true);
    return { client, video, told, close, freeze };
  };
  /** Time passes in small steps: what tabs tell each other travels outside of it. */
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 50) {
      await clock.pass(Math.min(50, left));
      await new Promise((resolve) => setTimeout(resolve, 1)); // a turn of the loop for the channel
      await settled();
    }
  };
  return { service, network, clock, pass, open, all: Array.from({ length: count }, open) };
}

afterEach(() => vi.unstubAllGlobals());

test("eight tabs have one stream, and all are told the same", async () => {
  const { service, network, pass, all } = tabs(8);
  await pass(1_000);
  service.write("ana", "one");
  await pass(500);
  expect(network.open.size).toBe(1);
  for (const { told, video } of all) {
    expect(told).toEqual(["one"]);
    expect(video.getSnapshot().state.is).toBe("live");
  }
  all.forEach(({ close }) => close());
  await pass(50);
  expect(network.open.size).toBe(0);
});

test("a leading tab that goes away is replaced, and nothing is missed or doubled", async () => {
  const { service, network, pass, all } = tabs(4);
  await pass(1_000);
  for (let n = 0; n < 40; n++) {
    service.write("ana", String(n));
    if (n == 10) all[0]!.close();
    if (n == 20) all[1]!.close();
    await pass(50);
  }
  await pass(500);
  expect(network.open.size).toBe(1);
  const want = Array.from({ length: 40 }, (_, n) => String(n));
  expect(all[2]!.told).toEqual(want);
  expect(all[3]!.told).toEqual(want);
  all.forEach(({ close }) => close());
});

test("a tab that joins late is given what it missed, from memory or by a stream of its own", async () => {
  const { service, network, pass, open, all } = tabs(1);
  await pass(500);
  for (let n = 0; n < 30; n++) service.write("ana", String(n));
  await pass(500);
  const late = open();
  await pass(1_000);
  service.write("ana", "last");
  await pass(500);
  expect(late.video.getSnapshot().comments.map(({ message }) => message)).toEqual(all[0]!.told);
  expect(network.open.size).toBe(1);
  [...all, late].forEach(({ close }) => close());
});

test("when the leader's stream breaks, all say so and come back to one", async () => {
  const { service, network, pass, all } = tabs(3);
  await pass(1_000);
  network.isDown = true;
  network.sever(true);
  await pass(200);
  for (const { video } of all) expect(video.getSnapshot().state.is).toBe("reconnecting");
  service.write("ana", "meanwhile");
  network.isDown = false;
  await pass(6_000);
  for (const { told, video } of all) {
    expect(told).toEqual(["meanwhile"]);
    expect(video.getSnapshot().state.is).toBe("live");
  }
  expect(network.open.size).toBe(1);
  all.forEach(({ close }) => close());
});

test("a leader that is frozen loses its lead, and nothing is missed", async () => {
  const { service, network, pass, open, all } = tabs(1);
  await pass(500);
  all[0]!.freeze();
  const other = open();
  service.write("ana", "while frozen");
  await pass(3_000);
  expect(other.video.getSnapshot().state.is).toBe("connecting");
  await pass(2_000);
  service.write("ana", "after");
  await pass(500);
  expect(other.video.getSnapshot().comments.map(({ message }) => message)).toEqual(["while frozen", "after"]);
  expect(other.video.getSnapshot().state.is).toBe("live");
  expect(network.open.size).toBe(1);
  [...all, other].forEach(({ close }) => close());
});

test("without locks each tab has its own", async () => {
  vi.stubGlobal("navigator", {});
  const opened = sharedStream({ open: () => () => {} }).open({ url: "http://test/v", headers: {}, fetch, clock: systemClock }, null!);
  expect(opened).toBeTypeOf("function");
});
