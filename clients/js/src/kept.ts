/** A guest's session where other tabs find it; in memory where nothing can be kept. */

import { parsed } from "./problem.js";
import type { Session, Store } from "./types.js";

export const SESSION_KEY = "livecomments.session";

export type KeptSession = Session & { readonly takenAt: number; readonly halfMs: number };

export interface Kept {
  readonly storage: Store | null;
  /** Its text, where nothing can be kept. */
  memory: string | null;
  read(): KeptSession | null;
}

export function keptIn(storage: Store | null): Kept {
  let from: string | null = null;
  let session: KeptSession | null = null;
  return {
    storage,
    memory: null,
    read() {
      let text = this.memory;
      try {
        text = storage?.getItem(SESSION_KEY) ?? text;
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
