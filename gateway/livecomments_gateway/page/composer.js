/** Where one writes: the name on first use, the text, and what becomes of a comment until it is appended. */

import {
  GatewayUnavailable, appendComment, dropSession, lastName, openSession, readSession, retrying,
} from "./gateway.js";

const GRAPHEMES_MAX = 500; // pairing: schemas/livecomments_schemas/limits.py, as is the next
const BYTES_MAX = 2_048;
const COUNTED_FROM = 450;
const TRIES_MAX = 8; // about a minute: within the window in which the log knows a repeated key

const part = (id) => document.getElementById(id);
const [form, ask, nameField, known, as, field, send, note, counter] =
  ["composer", "ask", "name", "known", "as", "message", "send", "note", "counter"].map(part);
const segmenter = new Intl.Segmenter();
const encoder = new TextEncoder();

export class Composer {
  #videoId;
  #list;
  #unnamed = []; // pending comments that wait for a name
  #sending = Promise.resolve(); // one after the other: they are to appear in the order they were written
  #opening = false;
  #ended = false;

  constructor(videoId, list) {
    this.#videoId = videoId;
    this.#list = list;
    nameField.value = lastName();
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

  /** Forgets the session and asks again, with the old name filled in. */
  askName(words, focus = false) {
    dropSession();
    this.#showSession();
    this.say(words);
    if (focus) nameField.select();
  }

  end() {
    this.#ended = true;
    field.placeholder = "This video has ended";
    field.disabled = nameField.disabled = true;
    this.#measure();
  }

  #submit() {
    const session = readSession();
    const name = session?.displayName ?? nameField.value.trim();
    this.say(name ? "" : "Choose a name first; the others see it beside your comments.");
    if (!name) return nameField.focus();
    if (!send.disabled) {
      const pending = this.#list.addPending(field.value.trim(), name);
      pending.key = crypto.randomUUID();
      field.value = "";
      this.#measure();
      if (session) this.#enqueue(pending);
      else this.#wait(pending, "Sending");
    }
    field.focus();
    if (!session) this.#openSession(name);
  }

  async #openSession(name) {
    if (this.#opening) return;
    this.#opening = true;
    try {
      await retrying(() => openSession(name), TRIES_MAX);
    } catch (error) {
      for (const pending of this.#unnamed.splice(0)) this.#wait(pending, "Not sent yet");
      this.say(error.message);
      return nameField.select();
    } finally {
      this.#opening = false;
    }
    this.#showSession();
  }

  #wait(pending, words) {
    this.#unnamed.push(pending);
    this.#list.mark(pending, "sending", words);
  }

  #enqueue(pending) {
    this.#list.mark(pending, "sending", "Sending");
    this.#sending = this.#sending.then(() => this.#append(pending));
  }

  async #append(pending) {
    const token = readSession()?.sessionToken;
    const tryOnce = () => appendComment(this.#videoId, pending.message, pending.key, token);
    const wait = () => pending.commentId || this.#list.mark(pending, "sending", "Still sending");
    try {
      this.#list.settle(pending, await retrying(tryOnce, TRIES_MAX, wait));
    } catch (error) {
      const unknown = error instanceof GatewayUnavailable;
      if (unknown && pending.commentId) return; // the stream has brought it
      if (error.status === 401) {
        this.#wait(pending, "Not sent yet");
        return this.askName("Your name is no longer known here. Enter it again to send.", true);
      }
      this.#list.mark(pending, "unsent", "Not sent", {
        "Try again": () => this.#enqueue(pending),
        Discard: () => this.#list.discard(pending),
      });
      this.say(error.message);
    }
  }

  #showSession() {
    const session = readSession();
    ask.hidden = Boolean(session);
    known.hidden = !session;
    as.textContent = session?.displayName ?? "";
    this.#list.setViewer(session?.userId ?? null);
    this.#measure();
    if (session) for (const pending of this.#unnamed.splice(0)) this.#enqueue(pending);
  }

  /** Height, what is left of the length, and whether it can be sent. */
  #measure() {
    const text = field.value.trim();
    const count = text.length > COUNTED_FROM ? [...segmenter.segment(text)].length : text.length;
    const left = GRAPHEMES_MAX - count;
    const tooLong = left < 0 || encoder.encode(text).length > BYTES_MAX;
    counter.textContent = tooLong && left >= 0 ? "Too long" : count > COUNTED_FROM ? left : "";
    counter.classList.toggle("over", tooLong);
    send.disabled = this.#ended || tooLong || !text;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  }
}
