// The public suite of Durable Streams, against the address in DURABLE_URL. Run by test_durable.py.
//
// With DURABLE_ITSELF a reader is sent on to an edge, whose answers are as it gives them but for the messages: of each the
// suite has written the text alone, as JSON, and looks at nothing else.
import { runConformanceTests } from "@durable-streams/server-conformance-tests";

const written = (body) => `[${JSON.parse(body).map((message) => message.message).join(",")}]`;

const told = (event) => event.replace(/^(event: data\ndata:)(.*)$/, (_, head, body) => head + written(body));

function events() {
  let rest = "";
  return new TransformStream({
    transform(text, out) {
      const whole = (rest + text).split("\n\n");
      rest = whole.pop();
      if (whole.length) out.enqueue(whole.map((event) => `${told(event)}\n\n`).join("")); // together, as they came
    },
  });
}

async function ask(...asked) {
  const answer = await fetched(...asked);
  const kind = answer.headers.get("content-type") ?? "";
  if (answer.status !== 200 || !answer.redirected || !answer.body) return answer;
  const said = { status: answer.status, headers: answer.headers };
  if (kind === "application/json") return new Response(written(await answer.text()), said);
  const texts = answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(events());
  return new Response(texts.pipeThrough(new TextEncoderStream()), said);
}

const fetched = globalThis.fetch;
if (process.env.DURABLE_ITSELF) globalThis.fetch = ask;
runConformanceTests({ baseUrl: process.env.DURABLE_URL, longPollTimeoutMs: 25_000 });
