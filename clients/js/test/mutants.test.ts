/** The model bites: each of these bugs, planted into the client, breaks a promise within a bounded number of seeds. */

import { build } from "esbuild";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect, test } from "vitest";

import { run, type Made } from "./model/run.js";

const SEEDS_MAX = 400;

type Mutant = { name: string; file: string; from: string; to: string };

const MUTANTS: Mutant[] = [
  { name: "what was told is told again", file: "follow.ts", from: "!id || id > link.cursor", to: "true" },
  { name: "it resumes from its beginning", file: "follow.ts", from: "link.cursor = id;", to: "" },
  { name: "silence is not noticed", file: "follow.ts", from: "silentMs() > SILENCE_MAX", to: "Infinity < SILENCE_MAX" },
  { name: "a stream that never opens is waited for", file: "follow.ts", from: "timer(OPEN_MS_MAX,", to: "timer(1e9," },
  { name: "an answer of an earlier attempt is heard", file: "follow.ts", from: "mine == turn", to: "true" },
  { name: "the old stream is not closed", file: "follow.ts", from: "    drop();\n", to: "" },
  { name: "a gap is not kept", file: "video.ts", from: "list.gaps = [...list.gaps, told];", to: "" },
  { name: "deleted ids are forgotten", file: "list.ts", from: "gone.add(id);", to: "" },
  { name: "rows are not trimmed", file: "video.ts", from: "list.rows.length - max", to: "0" },
  { name: "what is trimmed at the end leaves no gap", file: "reading.ts", from: ", torn];", to: "];" },
  { name: "rows are put at the end", file: "list.ts", from: "list.rows.splice(place, 0, comment)", to: "list.rows.push(comment)" },
  { name: "a retry takes a new key", file: "posting.ts", from: "\"Idempotency-Key\": key", to: "\"Idempotency-Key\": newKey()" },
  { name: "a post without an answer is forgotten", file: "posting.ts", from: "say(entry, { is: \"unknown\"", to: "leave(entry); void ({ is: \"unknown\"" },
  { name: "a post is done with any answer", file: "posting.ts", from: "\"commentId\", token", to: "\"\", token" },
  { name: "each change is told at once", file: "video.ts", from: "cancelFrame ??= clock.frame(flush);", to: "flush();" },
  { name: "listeners stay", file: "follow.ts", from: "    unlisten?.();\n", to: "" },
  { name: "any JSON is a page", file: "api.ts", from: "\"streamUrl\", token", to: "\"\", token" },
  { name: "pieces tell no deletes", file: "pieces.ts", from: "else tell(type", to: "else if (type == \"comment\") tell(type" },
  { name: "what is too far behind leaves no gap", file: "pieces.ts", from: "tell(\"gap\"", to: "void (\"gap\"" },
  { name: "sent comments wait for ever", file: "posting.ts", from: "entry.shown.is == \"sent\" && ", to: "false && " },
];

async function mutated({ file, from, to }: Mutant): Promise<Made> {
  const source = join(import.meta.dirname, "../src");
  const { outputFiles } = await build({
    stdin: { contents: 'export * from "./index.ts"; export * from "./poll.ts";', resolveDir: source },
    bundle: true,
    format: "esm",
    write: false,
    plugins: [{
      name: "plant",
      setup: ({ onLoad }) => onLoad({ filter: /src[/\\][\w-]+\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, "utf8");
        if (basename(path) != file) return { contents: text, loader: "ts" };
        expect(text.split(from).length, `${from} stands in ${file}`).toBeGreaterThan(1);
        return { contents: text.replaceAll(from, to), loader: "ts" };
      }),
    }],
  });
  const address = `data:text/javascript,${encodeURIComponent(outputFiles[0]!.text)}`;
  return import(/* @vite-ignore */ address);
}

test.each(MUTANTS)("$name", async (mutant) => {
  const made = await mutated(mutant);
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    const broken = await run(seed, made).then((done) => done.broken, (thrown) => [String(thrown)]);
    if (broken.length) return;
  }
  expect.fail(`${SEEDS_MAX} seeds did not find it`);
});
