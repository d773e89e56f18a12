/**
 * What is left unsent, where a reload finds it. All clients and same-origin frames of a page that write to one service keep
 * theirs under one name, each draft with its owner, who has a Web Lock as long as there are any. Whoever comes takes up what has no owner any more; where
 * there are no locks, all of it: the same key under way twice is still one comment.
 */

import { within } from "./api.js";
import type { Env } from "./parts.js";
import type { Problem } from "./problem.js";

/** Locks that are not given or refused by then are done without. */
const LOCK_MS_MAX = 1_000;

/** `at`: when it may have been written first, by the device's clock; null: it cannot have been. */
export interface Draft {
  key: string;
  message: string;
  videoTimeMs: number | undefined;
  at: number | null;
  /** How far the stream had told before that; undefined: it was never tried. */
  after?: string | null | undefined;
  /** Who spoke when it was tried first. */
  by?: string | undefined;
  /** What it was refused with: it waits for a word of the user's, as before. */
  refused?: ConstructorParameters<typeof Problem> | undefined;
}

type Kept = Draft & { owner?: string };

export interface Drafts {
  any(): boolean;
  /** In place of all that this one has kept; where nothing can be kept a reload forgets them. */
  save(own: Draft[]): void;
  /** Calls `take` with what has no owner any more; then it is kept only if it is saved. */
  adopt(take: (drafts: Draft[]) => void): Promise<void>;
  /** What was saved is for whoever comes next. */
  close(): void;
}

export function createDrafts(env: Env, id: string): Drafts {
  const name = `livecomments.pending.${id} ${env.base}`;
  const me = String(env.random());
  const locks = globalThis.navigator?.locks;
  let release: (() => void) | null = null;

  function read(): Kept[] {
    try {
      const kept = JSON.parse(env.drafts!.getItem(name)!);
      return Array.isArray(kept) ? kept : [];
    } catch {
      return []; // none, forbidden, or not ours
    }
  }

  function write(drafts: Kept[]): void {
    try {
      if (drafts.length) env.drafts?.setItem(name, JSON.stringify(drafts));
      else env.drafts?.removeItem(name);
    } catch {
      // full or forbidden
    }
  }

  /** Only while there are drafts: a page that has a lock is not put into the back/forward cache. */
  function own(isOwner: boolean): void {
    if (isOwner == Boolean(release)) return;
    release?.();
    release = null;
    if (!isOwner) return;
    const until = new Promise<void>((resolve) => (release = resolve));
    locks?.request(`${name} ${me}`, {}, () => until).catch(() => {});
  }

  return {
    any: () => read().length > 0,
    save(drafts) {
      own(drafts.length > 0);
      const keys = drafts.map(({ key }) => key);
      write([
        ...read().filter(({ key, owner }) => owner != me && !keys.includes(key)),
        ...drafts.map((draft) => ({ ...draft, owner: me })),
      ]);
    },
    async adopt(take) {
      for (const other of new Set(read().map(({ owner }) => owner))) {
        const adopted = () => {
          if (env.signal.aborted) return;
          const all = read();
          write(all.filter(({ owner }) => owner != other));
          take(all.filter(({ owner }) => owner == other));
        };
        if (!locks) adopted();
        else {
          await within(env, LOCK_MS_MAX, "timeout", () => locks.request(
            `${name} ${other}`, { ifAvailable: true }, (lock) => lock && adopted(),
          )).catch(() => {});
        }
      }
    },
    close: () => own(false),
  };
}
