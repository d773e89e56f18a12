/** One comment as a row. Everything people wrote goes in as text, never as markup. */

const template = document.getElementById("row").content.firstElementChild;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const graphemes = new Intl.Segmenter();

/** A hue for an author: the same everywhere, from the id alone. Lightness is the stylesheet's, for contrast. */
function hueOf(authorId) {
  let hash = 0x811c9dc5; // FNV-1a, then murmur3's finish: without it neighbouring ids get two colours between them
  for (let i = 0; i < authorId.length; i++) hash = Math.imul(hash ^ authorId.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % 360;
}

function initialOf(name) {
  const [first] = graphemes.segment(name.trim());
  return first ? first.segment.toLocaleUpperCase() : "·";
}

export function buildRow({ author, message, createdAt }) {
  const row = template.cloneNode(true);
  const [avatar, name, time, text] = row.querySelectorAll(".avatar, .name, time, .text");
  row.style.setProperty("--hue", hueOf(author.id));
  row.dataset.author = author.id;
  avatar.textContent = initialOf(author.displayName);
  name.textContent = name.title = author.displayName;
  text.textContent = message;
  const at = new Date(createdAt);
  if (!Number.isNaN(at.getTime())) {
    time.dateTime = createdAt;
    time.textContent = clock.format(at);
    time.title = calendar.format(at);
  }
  return row;
}

export function addAct(row, label, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = label;
  button.addEventListener("click", () => act(button));
  row.querySelector(".acts").append(button);
}
