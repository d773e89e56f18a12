/**
 * Makes `dist/`: modules and their types by the compiler, and `single.js`, all of it in one file for pages without a
 * build step. That one is also what the gateway serves as `/client.js`: `--write` puts it there, `--check` says whether it is the same.
 */

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const SERVED = new URL("../../gateway/livecomments_gateway/page/client.js", import.meta.url);

rmSync("dist", { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.json"], { stdio: "inherit" });
await build({
  stdin: { contents: 'export * from "./dist/index.js"; export * from "./dist/share.js"; export * from "./dist/poll.js"; export * from "./dist/view.js"; export * from "./dist/transports.js";', resolveDir: "." },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  banner: { js: "// Made of clients/js by `make clients`. Apache-2.0." },
  outfile: "dist/single.js",
});

const made = readFileSync("dist/single.js", "utf8");
if (process.argv.includes("--write")) writeFileSync(SERVED, made);
if (process.argv.includes("--check") && readFileSync(SERVED, "utf8") !== made) {
  console.error("gateway/livecomments_gateway/page/client.js is not what clients/js makes: run `make clients`");
  process.exit(1);
}
