/** What only those need who write or read back. The core loads it for them, behind the first comments. */

export { begin, post, report, retry, takeDown } from "./posting.js";
export { fill, iterate, readOlder, reload } from "./reading.js";
export { endSession, openSession, renameSession, tokenOf } from "./tokens.js";
