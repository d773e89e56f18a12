/** The comment that stands above the others: loaded when there is one. Its text is read, since only its id is told. */

import "./menu.js"; // for its stylesheet

const AGAIN_MS = 5_000;

const bar = document.createElement("section");
bar.id = "pin";
bar.ariaLabel = "Pinned comment";
let shown; // the id

/** Shows the comment of this id, undefined for none, above those of `page`. */
export function showPin(page, id) {
  if (id === shown) return;
  if (!bar.isConnected) {
    document.querySelector(".frame").before(bar);
    page.video.on("delete", (ids) => ids.includes(shown) && draw(null));
  }
  shown = id;
  draw(null);
  if (id) read(page, id);
}

async function read(page, id) {
  let comment = page.video.getSnapshot().comments.find(({ commentId }) => commentId === id);
  try {
    if (!comment) {
      const answer = await fetch(`comments/${encodeURIComponent(page.videoId)}/${id}`);
      if (answer.ok) comment = await answer.json();
      else if (answer.status !== 404 && answer.status !== 410) throw answer;
    }
  } catch {
    setTimeout(() => id === shown && read(page, id), AGAIN_MS);
  }
  if (comment && id === shown) draw(comment);
}

function draw(comment) {
  bar.hidden = !comment;
  bar.replaceChildren();
  if (!comment) return;
  const [label, name, text] = ["small", "bdi", "p"].map((kind) => document.createElement(kind));
  name.textContent = comment.author.displayName;
  text.textContent = comment.message;
  text.dir = "auto";
  label.append("Pinned · ", name);
  bar.append(label, text);
}
