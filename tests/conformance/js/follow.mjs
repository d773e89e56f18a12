// Follows a durable stream by its own client, from its beginning: a line for each comment. Run by test_durable.py.
import { stream } from "@durable-streams/client";

const [url, live] = process.argv.slice(2);
let offset = "-1";
for (;;) {
  try {
    const followed = await stream({ url, offset, live: live === "true" || live });
    followed.subscribeJson(async (batch) => {
      for (const { type, message } of batch.items) if (type === "comment") console.log(message);
      offset = batch.offset;
    });
    await followed.closed;
  } catch {
    await new Promise((done) => setTimeout(done, 200)); // the service is away
  }
}
