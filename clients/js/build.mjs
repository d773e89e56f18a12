/**
 * Makes `dist/`: modules and their types by the compiler, and `dist/single/` for pages without a build step: all of it in
 * `client.js`, but for what few of them need, `pieces.js` beside it. Those are also what the gateway serves: `--write`
 * puts them there, `--check` says whether they are the same.
 */

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const SERVED = new URL("../../gateway/livecomments_gateway/page/", import.meta.url);
const ENTRIES = ["index", "share", "poll", "view", "transports"];
/** By file: what is in it, and which module it has from which other file. */
const SINGLE = {
  "client.js": [ENTRIES.map((name) => `export * from "./dist/${name}.js";`).join(" ") + ' export { asProblem, parsed, problemOf } from "./dist/problem.js";', "pieces.js", "pieces.js"],
  "pieces.js": ['export * from "./dist/pieces.js";', "problem.js", "client.js"],
};

rmSync("dist", { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.json"], { stdio: "inherit" });
for (const [file, [contents, module, from]] of Object.entries(SINGLE)) {
  await build({
    stdin: { contents, resolveDir: "." },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    banner: { js: "// Made of clients/js by `make clients`. Apache-2.0." },
    outfile: `dist/single/${file}`,
    plugins: [{
      name: "apart",
      setup: ({ onResolve }) => onResolve({ filter: new RegExp(`^\\./${module}$`) }, ({ importer }) =>
        importer.includes("/dist/") ? { path: `./${from}`, external: true } : null),
    }],
  });
  const made = readFileSync(`dist/single/${file}`, "utf8");
  const served = new URL(file, SERVED);
  if (process.argv.includes("--write")) writeFileSync(served, made);
  if (process.argv.includes("--check") && readFileSync(served, "utf8") !== made) {
    console.error(`gateway/livecomments_gateway/page/${file} is not what clients/js makes: run \`make clients\``);
    process.exit(1);
  }
}
