/**
 * What each entry costs an app: bundled, split and minified as apps do it, gzipped. The core is what is there before the
 * first comment; what it loads behind that are parts of their own. What an entry shares with the core is the core's.
 */

import { build, type Metafile } from "esbuild";
import { basename } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

const CREATE = 'export { createCommentsClient, Problem } from "./src/index.ts"';
const POLL = 'export * from "./src/poll.ts"';
const LIMITS_BYTES: [name: string, code: string, max: number, part?: string][] = [
  ["the core", CREATE, 4_000],
  ["what follows the stream, loaded beside the first page", CREATE, 2_000, "follow"],
  ["the rest, loaded by who writes or reads back", CREATE, 4_400, "rest"],
  ["/react", 'export * from "./src/react.ts"', 800],
  ["/share", 'export * from "./src/share.ts"', 850],
  ["/poll", POLL, 1_000],
  ["what asks for pieces of the log, loaded when it is needed", POLL, 1_100, "pieces"],
  ["/view", 'export * from "./src/view.ts"', 1_500],
  ["/counts", 'export * from "./src/counts.ts"', 700],
  ["/rn", 'export * from "./src/rn.ts"', 700],
];
const SHARED = /\/(fetch-stream|problem|sse|platform)\.js$/;

type Outputs = Metafile["outputs"];

/** The files that are loaded with `file`. */
function loadedWith(outputs: Outputs, file: string, known = new Set<string>()): Set<string> {
  if (known.has(file)) return known;
  known.add(file);
  for (const { path, kind, external } of outputs[file]!.imports) {
    if (kind == "import-statement" && !external) loadedWith(outputs, path, known);
  }
  return known;
}

/** Of the app's own file, or of a part that is loaded later: then what came with the app does not count. */
async function sizeOf(code: string, part?: string): Promise<number> {
  const { outputFiles, metafile: { outputs } } = await build({
    stdin: { contents: code, resolveDir: `${import.meta.dirname}/..`, sourcefile: "app.ts" },
    bundle: true,
    splitting: true,
    outdir: "out",
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
    external: ["react"],
    plugins: code == CREATE ? [] : [{
      name: "core",
      setup: ({ onResolve }) => onResolve({ filter: SHARED }, ({ path }) => ({ path, external: true })),
    }],
  });
  const at = (name: string) => Object.keys(outputs).find((path) => basename(path).replace(/-\w+\.js$/, ".js") == `${name}.js`)!;
  const own = loadedWith(outputs, at("stdin"));
  const counted = part ? [...loadedWith(outputs, at(part))].filter((path) => !own.has(path)) : [...own];
  const files = counted.map((path) => outputFiles.find((file) => file.path.endsWith(path))!.contents);
  return gzipSync(Buffer.concat(files), { level: 9 }).length;
}

test("who follows a video does not load what counts are read with, nor does the page", async () => {
  const entries = ["index", "share", "poll", "view", "transports"].map((name) => `export * from "./src/${name}.ts";`);
  const { metafile: { inputs } } = await build({
    stdin: { contents: entries.join(""), resolveDir: `${import.meta.dirname}/..` }, bundle: true, write: false, metafile: true,
    format: "esm",
  });
  expect(Object.keys(inputs)).toContain("src/rest.ts");
  expect(Object.keys(inputs)).not.toContain("src/counts.ts");
});

test.each(LIMITS_BYTES)("%s", async (name, code, max, part) => {
  const bytes = await sizeOf(code, part);
  console.log(`${name}: ${bytes} bytes gzipped`);
  expect(bytes).toBeLessThanOrEqual(max);
});
