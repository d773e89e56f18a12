/** `@livecomments/client`: live comments of a video, exactly once and in order, as long as there is a way. */

export { createCommentsClient } from "./client.js";
export { Problem } from "./problem.js";
export type * from "./types.js";
