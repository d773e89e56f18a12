import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { counts, Problem } from "../src/counts.js";
import { TestClock } from "./clock.js";
import { problemAnswer } from "./setting.js";

const { payload: TOLD } = JSON.parse(readFileSync(`${import.meta.dirname}/../../../schemas/examples/counts.json`, "utf8"));

/** Asks for the counts of `videoId`, where `answer` is all that comes; and what was asked. */
function asked(answer: () => Response | Promise<Response>, videoId = "launch", baseUrl = "http://test/api/") {
  const requests: { url: string; init: RequestInit }[] = [];
  const clock = new TestClock();
  const control = new AbortController();
  const fetch = (async (url: string, init: RequestInit = {}) => {
    requests.push({ url, init });
    return answer();
  }) as typeof globalThis.fetch;
  const told = counts(videoId, { baseUrl, fetch, clock: clock.client(), signal: control.signal });
  return { told, requests, clock, control };
}

test("the minutes of a video are what the service tells, and are asked for once and by nobody", async () => {
  const { told, requests } = asked(() => Response.json(TOLD), "a/b c", "http://test/api/?x#y");
  expect(await told).toEqual(TOLD);
  expect(requests.map(({ url }) => url)).toEqual(["http://test/api/videos/a%2Fb%20c/counts"]);
  expect(new Headers(requests[0]!.init.headers).has("Authorization")).toBe(false);
});

test("no minutes at all are an answer", async () => {
  expect((await asked(() => Response.json({ ...TOLD, minutes: [] })).told).minutes).toEqual([]);
});

test.each([
  ["where nobody counts", () => problemAnswer(404, "counts_not_kept"), "counts_not_kept", true],
  ["while the counts are read", () => problemAnswer(503, "overloaded", { "Retry-After": "1" }), "overloaded", false],
  ["after a portal's page", () => new Response("<html>"), "not_ours", false],
  ["after another's JSON", () => Response.json({ hello: 1 }), "not_ours", false],
  ["after a proxy's 404", () => new Response("<html>", { status: 404 }), "not_ours", false],
  ["without an answer", () => Promise.reject(new TypeError("fetch failed")), "unreachable", false],
])("%s it rejects with what was wrong", async (_, answer, code, isFinal) => {
  const problem = await asked(answer).told.catch((thrown) => thrown);
  expect(problem).toBeInstanceOf(Problem);
  expect(problem).toMatchObject({ code, isFinal });
});

test("it waits ten seconds, or until who asked has no more need of it", async () => {
  const slow = asked(() => new Promise(() => {}));
  const late = expect(slow.told).rejects.toMatchObject({ code: "timeout" });
  await slow.clock.pass(10_000);
  await late;
  expect(slow.requests[0]!.init.signal!.aborted).toBe(true);
  const left = asked(() => new Promise(() => {}));
  left.control.abort();
  await expect(left.told).rejects.toMatchObject({ code: "closed" });
  expect(left.requests[0]!.init.signal!.aborted).toBe(true);
});
