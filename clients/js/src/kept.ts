/** A guest's session where other tabs find it; in memory where nothing can be kept. */

import { parsed } from "./problem.js";
import type { Session, Store } from "./types.js";

export type KeptSession = Session & { readonly takenAt: number; readonly halfMs: number };

export interface Kept {
  /** Of the service it is good for: an app may speak to two. */
  readonly name: string;
  readonly storage: Store | null;
  /** Its text, where nothing can be kept. */
  memory: string | null;
  read(): KeptSession | null;
}

export function keptIn(storage: Store | null, base: string): Kept {
  const name = `livecomments.session ${base}`;
  let from: string | null = null;
  let session: KeptSession | null = null;
  return {
    name,
    storage,
    memory: null,
    read() {
      let text = this.memory;
      try {
        text = storage?.getItem(name) ?? text;
      } catch {
        // forbidden: then memory has it
      }
      if (text != from) {
        session = parsed((from = text));
        if (!session!.sessionToken) session = null;
      }
      return session;
    },
  };
}
