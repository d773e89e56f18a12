// A stream of events on standard input, read by eventsource-parser, as lines of JSON: [kind, id, data, retry].
// With numbers as arguments the input is first cut into pieces of these sizes, by turns.
import { createParser } from "eventsource-parser";

const sizes = process.argv.slice(2).map(Number);
const say = (...line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const parser = createParser({
  onEvent: ({ event, id, data }) => say(event ?? "message", id ?? "", data, 0),
  onRetry: (retry) => say("", "", "", retry),
  onError: (error) => say("error", "", error.message, 0),
});
const decoder = new TextDecoder(); // takes one byte order mark away, as the standard says

function* pieces(data) {
  for (let start = 0, turn = 0; start < data.length; turn++) {
    const end = sizes.length ? start + sizes[turn % sizes.length] : data.length;
    yield data.subarray(start, end);
    start = end;
  }
}

for await (const data of process.stdin) {
  for (const piece of pieces(data)) parser.feed(decoder.decode(piece, { stream: true }));
}
