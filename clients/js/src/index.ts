/** `@livecomments/client`: live comments of a video, exactly once and in order, as long as there is a way. */

export { createCommentsClient } from "./client.js";
export { eventSource } from "./event-source.js";
export { fetchStream } from "./fetch-stream.js";
export { Problem } from "./problem.js";
export { sseReader } from "./sse.js";
export type * from "./types.js";
