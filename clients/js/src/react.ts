/** React's view of a video: nothing of its own but the wiring. Safe in StrictMode, on a server, and in many components. */

import { createContext, createElement, useCallback, useContext, useMemo, useRef, useSyncExternalStore } from "react";
import type { ReactNode } from "react";
import type { CommentsClient, Snapshot, Video, VideoOptions } from "./types.js";

const Context = createContext<CommentsClient | null>(null);

/** Gives a client to the hooks below. */
export const CommentsProvider = ({ client, children }: { client: CommentsClient; children?: ReactNode }) =>
  createElement(Context.Provider, { value: client }, children);

/** The video itself; its options are those of whoever asks first. */
export function useVideo(id: string, o?: VideoOptions): Video {
  const client = useContext(Context);
  if (!client) throw new Error("No CommentsProvider around");
  return useMemo(() => client.video(id, o), [client, id]);
}

/** What a server draws, and the first drawing upon that. */
const atFirst: Snapshot = {
  state: { is: "idle" }, comments: [], pending: [], gaps: [], hasOlder: false, settings: null, viewers: null,
};

/** A part of the snapshot; drawn anew only when that part is another (`Object.is`). */
export function useCommentsSelector<T>(id: string, pick: (snapshot: Snapshot) => T, o?: VideoOptions): T {
  const video = useVideo(id, o);
  const last = useRef<[Snapshot, typeof pick, T]>(null);
  const get = (snapshot = video.getSnapshot()) => {
    if (last.current?.[0] != snapshot || last.current[1] != pick) {
      const picked = pick(snapshot);
      last.current = [snapshot, pick, Object.is(picked, last.current?.[2]) ? last.current![2] : picked];
    }
    return last.current[2];
  };
  return useSyncExternalStore(useCallback((act) => video.subscribe(act), [video]), () => get(), () => get(atFirst));
}

const all = (snapshot: Snapshot) => snapshot;

/** All of a video, and what can be done with it. */
export function useComments(id: string, o?: VideoOptions):
  Snapshot & Pick<Video, "post" | "retry" | "discard" | "delete" | "loadOlder"> {
  const { post, retry, discard, delete: remove, loadOlder } = useVideo(id, o);
  const snapshot = useCommentsSelector(id, all, o);
  return { ...snapshot, post, retry, discard, delete: remove, loadOlder };
}
