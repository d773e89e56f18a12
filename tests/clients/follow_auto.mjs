// Follows a video by `auto`, as a page does: a line when it is live, and one for each comment with how old it is. Run by
// test_withheld.py with the address, and `createCommentsClient` and `auto` in a module.
const [module, baseUrl] = process.argv.slice(2);
const { createCommentsClient, auto } = await import(module);
const video = createCommentsClient({ baseUrl, transport: auto() }).video("v", { history: 0 });
const seen = new Set();
video.subscribe(() => {
  const { comments, state } = video.getSnapshot();
  if (state.is === "live" && !seen.has("live")) console.log(JSON.stringify({ is: seen.add("live") && "live" }));
  for (const { commentId, message, createdAt } of comments) {
    if (seen.has(commentId)) continue;
    seen.add(commentId);
    console.log(JSON.stringify({ is: message, ageMs: Date.now() - Date.parse(createdAt) }));
  }
});
