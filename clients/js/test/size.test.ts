/** What each entry costs an app: bundled and minified as apps do it, gzipped; what it shares with the core is the core's. */

import { build } from "esbuild";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

const LIMITS_BYTES: [name: string, code: string, max: number][] = [
  ["the core", 'export { createCommentsClient, Problem } from "./src/index.ts"', 8_300],
  ["/react", 'export * from "./src/react.ts"', 800],
  ["/share", 'export * from "./src/share.ts"', 800],
  ["/rn", 'export * from "./src/rn.ts"', 700],
];

async function sizeOf(code: string, isCore: boolean): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: `${import.meta.dirname}/..` },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    external: ["react"],
    plugins: isCore ? [] : [{
      name: "core",
      setup: ({ onResolve }) =>
        onResolve({ filter: /\/(fetch-stream|problem|sse)\.js$/ }, ({ path }) => ({ path, external: true })),
    }],
  });
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
}

test.each(LIMITS_BYTES)("%s", async (name, code, max) => {
  const bytes = await sizeOf(code, name == "the core");
  console.log(`${name}: ${bytes} bytes gzipped`);
  expect(bytes).toBeLessThanOrEqual(max);
});
