/**
 * What happens to a browser, told from inside a page, so that any browser can be asked: no driver is needed. `?story=`
 * says which; what became of it goes to `/told`.
 */

import * as sdk from "/sdk.js";

const asked = new URLSearchParams(location.search);
const [story, video, transport] = ["story", "video", "transport"].map((name) => asked.get(name));
const TRANSPORTS = {
  fetch: () => sdk.fetchStream, eventSource: () => sdk.eventSource, xhr: () => sdk.xhr, poll: () => sdk.poll,
  auto: () => sdk.auto(), shared: () => sdk.sharedStream(sdk.auto()),
};
const TABS = 8;
const SOON_MS = asked.has("tab") ? 40_000 : 60_000; // a tab tells sooner what kept it than who waits for it

const act = (what) => fetch(`/act/${what}`, { method: "POST" }).then((answer) => answer.text());
const tell = (told) => fetch("/told", { method: "POST", body: JSON.stringify(told) });

async function until(what, is) {
  const end = performance.now() + SOON_MS;
  for (let value; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
    if ((value = is())) return value;
    if (performance.now() > end) throw new Error(`not in time: ${what}; ${JSON.stringify(opened?.video.getSnapshot())}`);
  }
}

let opened;

function open() {
  const client = sdk.createCommentsClient({ baseUrl: "/", transport: TRANSPORTS[transport]() });
  const states = [];
  opened = { client, video: client.video(video, { history: 50 }), states };
  opened.video.on("state", ({ is }) => states.push(is));
  return opened;
}

const messages = () => opened.video.getSnapshot().comments.map(({ message }) => message);
const is = (state) => until(state, () => opened.video.getSnapshot().state.is === state);
const shows = (...all) => until(`shows ${all}`, () => all.every((each) => messages().includes(each)));
const settled = () => until("nothing pending", () => !opened.video.getSnapshot().pending.length);

const STORIES = {
  /** The service is killed with comments on their way, and comes back. */
  async killed() {
    const { client, video, states } = open();
    await client.session.open("Ana");
    await is("live");
    await video.post("before");
    await shows("before");
    await act("kill");
    await is("reconnecting");
    void video.post("meanwhile");
    await act("start");
    await is("live");
    await act("write/after");
    await shows("before", "meanwhile", "after");
    await settled();
    return { messages: messages(), states };
  },

  /** The browser says that there is no network, and that there is. */
  async offline() {
    const { states } = open();
    await is("live");
    const say = (onLine) => {
      Object.defineProperty(navigator, "onLine", { configurable: true, get: () => onLine });
      dispatchEvent(new Event(onLine ? "online" : "offline"));
    };
    say(false);
    await is("offline");
    await act("write/meanwhile");
    say(true);
    await is("live");
    await shows("meanwhile");
    return { messages: messages(), states };
  },

  /** Away to another page, and back by the browser's button. */
  async restored() {
    if (sessionStorage.getItem("was away")) return STORIES.loadedAnew();
    const { states } = open();
    await is("live");
    const persisted = new Promise((resolve) => addEventListener("pageshow", (event) => resolve(event.persisted)));
    sessionStorage.setItem("was away", "1");
    location.href = "/away.html";
    await persisted;
    await is("live");
    await shows("while away");
    return { messages: messages(), states, isFromCache: true };
  },
  async loadedAnew() {
    open();
    await is("live");
    await shows("while away");
    return { messages: messages(), isFromCache: false };
  },

  /** Nobody sees the page for a while. */
  async hidden() {
    const { client } = open();
    client.close();
    const quick = sdk.createCommentsClient({ baseUrl: "/", transport: TRANSPORTS[transport]() });
    opened = { video: quick.video(video, { hiddenAfterMs: 300 }) };
    opened.video.connect();
    await is("live");
    const see = (hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    };
    see(true);
    await is("paused");
    await until("the stream is let go", () => true);
    await act("write/meanwhile");
    see(false);
    await is("live");
    await shows("meanwhile");
    return { messages: messages() };
  },

  /** As many tabs as nobody has, each with a stream and a word to say; frames have the same six connections. */
  async tabs() {
    await sdk.createCommentsClient({ baseUrl: "/" }).session.open("Ana"); // one person, in all of them
    const told = [];
    addEventListener("message", ({ data }) => told.push(data));
    for (let tab = 0; tab < TABS; tab++) {
      const frame = document.createElement("iframe");
      frame.src = `/story.html?story=tab&tab=${tab}&transport=shared&video=${video}`;
      document.body.append(frame);
    }
    await until("all tabs have told", () => told.length === TABS);
    return { told, streams: Number(await act("streams")) };
  },
  async tab() {
    const { video } = open();
    await is("live");
    await video.post(`tab ${asked.get("tab")}`);
    await until("all have written", () => messages().length === TABS);
    await settled();
    parent.postMessage(messages().length, "*");
    return null;
  },

  /** React's example in StrictMode, by hand. */
  async strict() {
    const frame = document.createElement("iframe");
    frame.src = `/react.html?video=${video}`;
    document.body.append(frame);
    const part = (name) => frame.contentDocument?.querySelector(name);
    await until("live", () => part("#state")?.textContent === "live");
    const field = part("input");
    const { set } = Object.getOwnPropertyDescriptor(frame.contentWindow.HTMLInputElement.prototype, "value");
    set.call(field, "hello");
    field.dispatchEvent(new frame.contentWindow.Event("input", { bubbles: true }));
    part("form").requestSubmit();
    await until("shown", () => part("#comments")?.textContent === "Guest: hello");
    return { streams: Number(await act("streams")) };
  },
};

STORIES[story]().then(
  (told) => told && tell({ story, ...told }),
  (error) => tell({ story, failed: `${error} ${error.stack}` }),
);
