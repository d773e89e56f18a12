import { expect, test } from "vitest";

import { createCommentsClient } from "../src/index.js";
import { auto, poll } from "../src/poll.js";
import "../src/follow.js"; // what the client loads by itself is there at once: tests wait by their own clock
import "../src/pieces.js";
import "../src/rest.js";
import { run } from "./model/run.js";

const SEEDS = Number(process.env.SEEDS ?? 300);
const START = Number(process.env.START ?? 1);

test(`the client keeps its promises through ${SEEDS} stories from seed ${START}`, { timeout: 3_600_000 }, async () => {
  const total = new Map<string, number>();
  for (let seed = START; seed < START + SEEDS; seed++) {
    const { broken, faults } = await run(seed, { createCommentsClient, auto, poll });
    expect(broken, `seed ${seed}`).toEqual([]);
    for (const [name, count] of faults) total.set(name, (total.get(name) ?? 0) + count);
  }
  console.log(Object.fromEntries(total));
});
