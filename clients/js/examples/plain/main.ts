/** For a bundler: `esbuild main.ts --bundle --format=esm --outfile=main.js`. Reads and shows; see no-build for writing. */

import { createCommentsClient } from "@livecomments/client";

const client = createCommentsClient({ baseUrl: "http://127.0.0.1:8080" });
const list = document.querySelector("#comments")!;
const state = document.querySelector("#state")!;
const video = client.video("demo", { history: 20 });

video.on("state", ({ is }) => void (state.textContent = is));
video.on("comments", ({ news }) => {
  for (const { commentId, author, message } of news) {
    const element = document.createElement("li");
    element.id = commentId;
    element.textContent = `${author.displayName}: ${message}`;
    list.append(element);
  }
});
video.on("delete", (ids) => ids.forEach((id) => document.getElementById(id)?.remove()));
