/** What only those need who write or read back. The core loads it for them, behind the first comments. */

export { createPosting } from "./posting.js";
export { fill, iterate, readOlder } from "./reading.js";
export { createTokens } from "./tokens.js";
export { takeDown } from "./posting.js";
