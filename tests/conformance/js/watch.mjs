// The package eventsource on streams named by the arguments, pairs of viewer and URL. Says what it is given, in lines of
// JSON: [viewer, kind, last id, data].
import { EventSource } from "eventsource";

const KINDS = ["comment", "delete", "gap", "stale", "heartbeat", "video", "bye", "begin"];
const names = process.argv.slice(2);

while (names.length) {
  const [viewer, url] = names.splice(0, 2);
  const say = (...rest) => process.stdout.write(`${JSON.stringify([viewer, ...rest])}\n`);
  const source = new EventSource(url);
  for (const kind of KINDS) source.addEventListener(kind, (event) => say(kind, event.lastEventId, event.data));
  source.addEventListener("error", () => source.readyState === EventSource.CLOSED && say("closed", "", ""));
}
