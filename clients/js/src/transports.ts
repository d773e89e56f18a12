/** Other ways for bytes to come, and what own ones are made of. `fetchStream` is what is used where none is given. */

export { eventSource } from "./event-source.js";
export { fetchStream } from "./fetch-stream.js";
export { sseReader } from "./sse.js";
