/**
 * What each entry costs an app: bundled, split and minified as apps do it, gzipped. The core is what is there before the
 * first comment; the rest is what it loads behind that. What an entry shares with the core is the core's.
 */

import { build } from "esbuild";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

const CREATE = 'export { createCommentsClient, Problem } from "./src/index.ts"';
const LIMITS_BYTES: [name: string, code: string, max: number][] = [
  ["the core", CREATE, 5_300],
  ["the rest, loaded by who writes or reads back", CREATE, 3_450],
  ["/react", 'export * from "./src/react.ts"', 800],
  ["/share", 'export * from "./src/share.ts"', 800],
  ["/poll", 'export * from "./src/poll.ts"', 1_300],
  ["/view", 'export * from "./src/view.ts"', 1_300],
  ["/rn", 'export * from "./src/rn.ts"', 700],
];
const SHARED = /\/(fetch-stream|problem|sse|platform)\.js$/;

async function sizeOf(code: string, isCore: boolean, isLazy: boolean): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: `${import.meta.dirname}/..`, sourcefile: "app.ts" },
    bundle: true,
    splitting: true,
    outdir: "out",
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    external: ["react"],
    plugins: isCore ? [] : [{
      name: "core",
      setup: ({ onResolve }) => onResolve({ filter: SHARED }, ({ path }) => ({ path, external: true })),
    }],
  });
  const parts = outputFiles.filter(({ path }) => /\brest-/.test(path) == isLazy).map(({ contents }) => contents);
  return gzipSync(Buffer.concat(parts), { level: 9 }).length;
}

test.each(LIMITS_BYTES)("%s", async (name, code, max) => {
  const bytes = await sizeOf(code, code == CREATE, name.startsWith("the rest"));
  console.log(`${name}: ${bytes} bytes gzipped`);
  expect(bytes).toBeLessThanOrEqual(max);
});
