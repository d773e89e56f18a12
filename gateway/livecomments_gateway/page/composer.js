/** Where one writes: the name on first use, the text, and what the service says of it. */

const GRAPHEMES_MAX = 500; // pairing: schemas/livecomments_schemas/limits.py, as is the next
const BYTES_MAX = 2_048;
const COUNTED_FROM = 450;
const NAME = ["localStorage", "livecomments.name"];
const DRAFT = ["sessionStorage", `livecomments.text${location.search}`];
const OPEN_TRIES_MAX = 6; // with the pauses between, half a minute
const PAUSE_MS = 1_000;
const SECOND_MS = 1_000;
const UNITS = [[1, "", "seconds"], [60, "m", "minutes"], [3_600, "h", "hours"]]; // two digits of one fit into the button

const part = (id) => document.getElementById(id);
const [form, ask, nameField, known, as, field, send, note, counter] =
  ["composer", "ask", "name", "known", "as", "message", "send", "note", "counter"].map(part);
const segmenter = new Intl.Segmenter();
const encoder = new TextEncoder();

/** What is kept: the name used last, for when a session has ended; the text, for a reload. Storage may be forbidden. */
function kept(area, key, value) {
  try {
    if (value != null) window[area].setItem(key, value);
    return window[area].getItem(key);
  } catch {
    return value ?? "";
  }
}

export class Composer {
  #client;
  #video;
  #shown; // called when the session is another
  #member;
  #opening = null;
  #waiting;
  #ended = false;
  #tick = 0;
  #asked = new Set(); // keys of comments that were refused because nobody is known

  /** `member`: who came with a token of the site; without one, people give a name. */
  constructor(client, video, shown, member) {
    this.#member = member;
    this.#client = client;
    this.#video = video;
    this.#shown = shown;
    nameField.value = kept(...NAME);
    field.value = kept(...DRAFT);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    form.addEventListener("keydown", (event) => {
      // The name's Enter too: a form whose button is disabled does not submit by itself.
      const composing = event.isComposing || event.keyCode === 229; // 229: Safari, at the end of a composition
      if (event.key !== "Enter" || event.shiftKey || composing || event.target.localName === "button") return;
      event.preventDefault();
      this.#submit();
    });
    field.addEventListener("input", () => this.#measure());
    part("change").addEventListener("click", () => this.askName("", true));
    addEventListener("storage", () => this.#showSession()); // another tab's name is this one's too
    this.#showSession();
  }

  /** Says something beside the box; "" takes it away. */
  say(words) {
    note.textContent = words;
  }

  /** What the video says of own comments, and whether there may be more. */
  show({ state, pending }) {
    if ((state.is === "ended") !== this.#ended) this.#end(state.is === "ended");
    for (const own of pending) {
      if (own.is !== "rejected" || this.#asked.has(own.key)) continue;
      this.#asked.add(own.key);
      if (own.problem.status === 401) this.askName("Your name is no longer known here. Enter it again to send.", true);
      // Any other refusal stands in its row.
    }
    this.#wait(pending);
  }

  /** Asks for a name again, with the old one filled in. */
  askName(words, focus = false) {
    if (this.#member) return this.say("Your token is not accepted any more. Come back with a new one.");
    ask.hidden = false;
    known.hidden = true;
    this.say(words);
    if (focus) nameField.select();
  }

  /** Slow mode and limits: how long until the next comment goes out by itself, in the place of the arrow. */
  #wait(pending) {
    const next = pending.find((own) => own.is === "waiting");
    clearTimeout(this.#tick);
    const left = next ? Math.ceil((next.until - performance.now()) / 1_000) : 0;
    const [size, letter, word] = UNITS.find(([each]) => left < 100 * each) ?? UNITS.at(-1);
    const count = Math.ceil(left / size);
    const shown = left > 0 ? count + letter : "";
    if (send.dataset.left !== shown) {
      send.dataset.left = shown;
      send.ariaLabel = send.title = shown ? `Send; the last comment goes out in ${count} ${word}` : "Send";
    }
    if (left > 0) this.#tick = setTimeout(() => this.#wait(this.#video.getSnapshot().pending), SECOND_MS);
  }

  #end(isEnded) {
    this.#ended = field.disabled = nameField.disabled = isEnded;
    field.placeholder = isEnded ? "This video has ended" : "Add a comment";
    this.#measure();
  }

  async #submit() {
    const name = nameField.value.trim();
    const message = send.disabled ? "" : field.value.trim();
    if (!ask.hidden) {
      this.say(name ? "" : "Choose a name first; the others see it beside your comments.");
      if (!name) return nameField.focus();
      if (this.#opening && message === this.#waiting) return; // Enter twice
      this.#waiting = message;
      if (!(await this.#openSession(name))) return;
    } else this.say("");
    if (message) {
      if (field.value.trim() === message) field.value = "";
      this.#measure();
      this.#video.post(message).catch(() => {}); // shown with the comment
    }
    field.focus();
  }

  /** The text stays until somebody can say it. */
  #openSession(name) {
    return (this.#opening ??= this.#open(name).finally(() => (this.#opening = null)));
  }

  async #open(name) {
    try {
      const { session } = this.#client;
      for (let tries = 1; ; tries++) {
        try {
          await (session.get() ? session.rename(name) : session.open(name));
          break;
        } catch (problem) {
          if (problem.isFinal || tries === OPEN_TRIES_MAX) throw problem;
          await new Promise((resolve) => setTimeout(resolve, problem.retryAfterMs || PAUSE_MS * tries));
        }
      }
      kept(...NAME, name);
      this.#showSession();
      const { pending } = this.#video.getSnapshot();
      for (const { key, problem } of pending) {
        if (problem?.status !== 401) continue;
        this.#asked.delete(key);
        this.#video.retry(key).catch(() => {});
      }
      return true;
    } catch (problem) {
      this.say(problem.message);
      nameField.select();
      return false;
    }
  }

  #showSession() {
    const session = this.#member ?? this.#client.session.get();
    part("change").hidden = Boolean(this.#member);
    ask.hidden = Boolean(session);
    known.hidden = !session;
    as.textContent = session?.displayName ?? "";
    this.#shown();
    this.#measure();
  }

  /** Height, what is left of the length, and whether it can be sent. */
  #measure() {
    const text = kept(...DRAFT, field.value).trim();
    const count = text.length > COUNTED_FROM ? [...segmenter.segment(text)].length : text.length;
    const left = GRAPHEMES_MAX - count;
    const tooLong = left < 0 || encoder.encode(text).length > BYTES_MAX;
    counter.textContent = tooLong && left >= 0 ? "Too long" : count > COUNTED_FROM ? left : "";
    counter.classList.toggle("over", tooLong);
    send.disabled = this.#ended || tooLong || !text;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 1}px`; // it is rounded
  }
}
