/** A client beside a service in memory, with nothing going wrong but what a test makes go wrong. */

import { createCommentsClient, type ClientOptions, type StreamRequest, type VideoOptions } from "../src/index.js";
import "../src/follow.js"; // what the client loads by itself is there at once: tests wait by their own clock
import "../src/pieces.js";
import "../src/rest.js";
import { TestClock } from "./clock.js";
import { Network, seeded } from "./model/network.js";
import { Service } from "./model/service.js";

export function setting(options: Partial<ClientOptions> = {}, video: VideoOptions = {}) {
  const clock = new TestClock();
  const service = new Service(clock);
  const network = new Network(service, clock, seeded(1));
  network.isKind = true;
  const requests: { url: string; init: RequestInit }[] = [];
  const around = { isHidden: false, isOnline: true, acts: new Set<(kind: string) => void>() };
  /** Answers in place of the network, first come first served; null: the network's own. */
  const answers: ((url: string) => Response | Promise<Response> | null)[] = [];
  const fetch = (async (url: string, init: RequestInit = {}) => {
    requests.push({ url, init });
    for (const [at, each] of answers.entries()) {
      const answer = each(url);
      if (!answer) continue;
      answers.splice(at, 1);
      return answer;
    }
    return network.fetch(url, init);
  }) as typeof globalThis.fetch;
  const client = createCommentsClient({
    baseUrl: "http://test/api", getToken: () => network.token, drafts: null, fetch, clock: clock.client(),
    random: seeded(2),
    surroundings: {
      isHidden: () => around.isHidden,
      isOnline: () => around.isOnline,
      listen: (act) => {
        around.acts.add(act);
        return () => void around.acts.delete(act);
      },
    },
    ...options,
  });
  const emit = (kind: string) => around.acts.forEach((act) => act(kind));
  return { clock, service, network, requests, around, answers, client, emit, video: client.video("v", video) };
}

/** A store in memory. */
export function memoryStore() {
  const kept = new Map<string, string>();
  return {
    kept,
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  };
}

export const problemAnswer = (status: number, code: string, headers = {}) =>
  new Response(JSON.stringify({ code, detail: code }), { status, headers });

export type { StreamRequest };
