// One of the ways in which programs for Node or browsers read a stream: node reader.mjs WAY URL. Says what it is given,
// in lines of JSON: [kind, last id, data], and, where the way tells it, how each response ended.
const [way, url] = process.argv.slice(2);
const KINDS = ["comment", "delete", "gap", "stale", "heartbeat", "video", "bye", "begin"];
const say = (...line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
let lastId = "";
let retryMs = 3_000;

function hear(source) {
  for (const kind of KINDS) source.addEventListener(kind, (event) => say(kind, event.lastEventId, event.data));
}

const ways = {
  /** Node's own fetch, which is undici, and a parser. */
  async undici() {
    const { createParser } = await import("eventsource-parser");
    for (;;) {
      try {
        const response = await fetch(url, { headers: lastId ? { "Last-Event-ID": lastId } : {} });
        const parser = createParser({
          onEvent: ({ event, id, data }) => say(event ?? "", (lastId = id ?? lastId), data),
          onRetry: (retry) => (retryMs = retry),
        });
        for await (const text of response.body.pipeThrough(new TextDecoderStream())) parser.feed(text);
        say("end", "", "clean");
      } catch (error) {
        say("end", "", String(error));
      }
      await wait(retryMs);
    }
  },

  async eventsource() {
    const { EventSource } = await import("eventsource");
    hear(new EventSource(url));
  },

  /** Comes back with what it saw last as a parameter. */
  async "event-source-polyfill"() {
    const { EventSourcePolyfill } = await import("event-source-polyfill");
    hear(new EventSourcePolyfill(url));
  },

  /** Takes the server's end for its own, so it is called again; it keeps no id then. */
  async "fetch-event-source"() {
    globalThis.window = globalThis;
    const { fetchEventSource } = await import("@microsoft/fetch-event-source");
    for (;;) {
      await fetchEventSource(url, {
        headers: lastId ? { "Last-Event-ID": lastId } : {},
        openWhenHidden: true,
        onmessage: ({ event, id, data }) => {
          lastId = id || lastId;
          say(event, lastId, data);
        },
        onclose: () => say("end", "", "clean"),
      });
      await wait(retryMs);
    }
  },
};

await ways[way]();
