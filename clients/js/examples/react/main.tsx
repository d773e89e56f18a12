/** For a bundler: `esbuild main.tsx --bundle --format=esm --jsx=automatic --outfile=main.js`. */

import { StrictMode, useState, type FormEvent } from "react";
import { createRoot } from "react-dom/client";
import { createCommentsClient } from "@livecomments/client";
import { CommentsProvider, useComments } from "@livecomments/client/react";

const client = createCommentsClient({ baseUrl: "/" });

function Comments({ video }: { video: string }) {
  const { state, comments, pending, hasOlder, post, retry, loadOlder } = useComments(video);
  const [text, setText] = useState("");

  async function send(event: FormEvent) {
    event.preventDefault();
    if (!client.session.get()) await client.session.open("Guest");
    setText(""); // not before: what could not be sent stays to be sent again
    void post(text);
  }

  return (
    <>
      <p id="state">{state.is}</p>
      {hasOlder && <button onClick={() => void loadOlder()}>Older</button>}
      <ol id="comments">
        {comments.map(({ commentId, author, message }) => <li key={commentId}>{`${author.displayName}: ${message}`}</li>)}
      </ol>
      <ul id="pending">
        {pending.map((each) => (
          <li key={each.key}>
            {each.message} ({each.is})
            {each.is == "rejected" && !each.problem.isFinal && <button onClick={() => void retry(each.key)}>Again</button>}
          </li>
        ))}
      </ul>
      <form onSubmit={send}>
        <input aria-label="Comment" value={text} onChange={(event) => setText(event.target.value)} />
      </form>
    </>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <CommentsProvider client={client}>
      <Comments video={new URLSearchParams(location.search).get("video") ?? "demo"} />
    </CommentsProvider>
  </StrictMode>,
);
