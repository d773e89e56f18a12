/** What several clients of one page leave unsent: none overwrites another's, and one of those who come next sends it. */

import { afterEach, expect, test, vi } from "vitest";

import { seeded } from "./model/network.js";
import { TestLocks } from "./locks.js";
import { memoryStore, setting } from "./setting.js";

afterEach(() => vi.unstubAllGlobals());

/** A page's storage and locks, and the frames that come and go in it. */
function page(hasLocks: boolean) {
  const locks = new TestLocks();
  const drafts = memoryStore();
  let seed = 10;
  return {
    drafts,
    open() {
      const own = locks.tab();
      vi.stubGlobal("navigator", hasLocks ? { locks: own } : {});
      const frame = setting({ drafts, random: seeded(seed++) });
      frame.video.subscribe(() => {});
      return { ...frame, leave: () => (frame.client.close(), own.close()) };
    },
  };
}

type Frame = ReturnType<ReturnType<typeof page>["open"]>;

async function unsent(frame: Frame, message: string): Promise<void> {
  await frame.clock.pass(1_000);
  frame.network.isDown = true;
  void frame.video.post(message).catch(() => {});
  await frame.clock.pass(1_000);
}

test.each([["with locks", true], ["without", false]])("%s, a reload forgets nothing that two frames left unsent", async (_, hasLocks) => {
  const { drafts, open } = page(hasLocks);
  const frames = [open(), open()];
  await unsent(frames[0]!, "of one");
  await unsent(frames[1]!, "of the other");
  await unsent(frames[0]!, "of one, too");
  frames.forEach(({ leave }) => leave());
  const next = open();
  await next.clock.pass(10_000);
  expect(next.service.comments().map(({ message }) => message).sort()).toEqual(["of one", "of one, too", "of the other"]);
  expect(drafts.kept.size).toBe(0);
});

test("what a frame that is there still tries is not taken from it", async () => {
  const { drafts, open } = page(true);
  const first = open();
  await unsent(first, "mine");
  const second = open();
  await second.clock.pass(5_000);
  expect(second.video.getSnapshot().pending).toEqual([]);
  expect(second.service.comments()).toEqual([]);
  await unsent(second, "yours");
  first.network.isDown = false;
  await first.clock.pass(30_000);
  expect(first.service.comments().map(({ message }) => message)).toEqual(["mine"]);
  expect([...drafts.kept.values()].join()).toContain("yours");
  expect([...drafts.kept.values()].join()).not.toContain("mine");
});

test("of two that come at once, one takes up what was left", async () => {
  const { open } = page(true);
  const first = open();
  await unsent(first, "left");
  first.leave();
  const next = [open(), open()];
  for (const { clock } of next) await clock.pass(10_000);
  expect(next.map(({ service }) => service.comments().length).sort()).toEqual([0, 1]);
});

test("locks that never answer are done without", async () => {
  const { open } = page(false);
  const first = open();
  await unsent(first, "left");
  first.leave();
  vi.stubGlobal("navigator", { locks: { request: () => new Promise(() => {}) } });
  const next = setting({ drafts: memoryStore() });
  next.video.subscribe(() => {});
  const posted = next.video.post("new");
  await next.clock.pass(5_000);
  expect((await posted).message).toBe("new");
});
