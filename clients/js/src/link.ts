/**
 * One video's connection as far as the first comments need it: the newest page is asked for at once, and what follows the
 * stream from exactly there (`follow.ts`) is loaded meanwhile.
 */

import { REQUEST_MS_MAX, backoffMs, readPage, within } from "./api.js";
import type { Env, Following, Link, LinkEvents, Page } from "./parts.js";
import { asProblem } from "./problem.js";
import type { VideoOptions } from "./types.js";

const HISTORY = 50;
const PAGE_MAX = 100;

export function createLink(env: Env, id: string, o: VideoOptions, max: number, on: LinkEvents): Link {
  const history = o.history ?? HISTORY;
  let following: Following | undefined;
  let cancel = () => {};
  let turn = 0;

  /** Where it cannot be loaded it is tried again: until then the state says why nothing follows. */
  function follow(mine: number, attempt: number, first?: Promise<Page & { url: URL }>): void {
    within(env, REQUEST_MS_MAX, "timeout", () => import("./follow.js")).then(({ createFollowing }) => {
      if (mine != turn) return;
      following = createFollowing(env, id, o, max, on, link, first);
      following.open();
    }).catch((thrown) => {
      if (mine != turn) return;
      const ms = backoffMs(env, attempt++);
      link.say({ is: "reconnecting", attempt, at: env.clock.now() + ms, cause: asProblem(thrown) });
      cancel = env.clock.after(ms, () => follow(mine, attempt, first));
    });
  }

  const link: Link = {
    state: { is: "idle" },
    cursor: "",
    url: null,
    newest: `sort=desc&pageSize=${Math.min(history || HISTORY, PAGE_MAX)}`,
    say(state) {
      const old = link.state;
      link.state = state;
      if (old.is != state.is || Object.keys(state)[1]) on.tell("state", state);
    },
    install(page) {
      link.url = page.url;
      link.cursor = page.url.searchParams.get("after") ?? "";
      on.page(page);
    },
    open() {
      if (following) return following.open();
      const mine = ++turn;
      link.say({ is: "connecting" });
      const first = !link.url && history > 0 && !o.from ? readPage(env, id, link.newest) : undefined;
      first?.then((page) => mine == turn && !link.url && link.install(page), () => {});
      follow(mine, 0, first);
    },
    close(state) {
      turn++;
      cancel();
      following?.close();
      link.say(state);
    },
    renew(page) {
      if (link.state.is == "closed") return;
      link.install(page);
      following?.renew();
    },
  };
  return link;
}
