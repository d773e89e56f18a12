// The public suite of Durable Streams, against the address in DURABLE_URL. Run by test_durable.py.
import { runConformanceTests } from "@durable-streams/server-conformance-tests";

runConformanceTests({ baseUrl: process.env.DURABLE_URL, longPollTimeoutMs: 25_000 });
