"""Follow a durable stream by its own client, from its beginning: a line for each comment. Run by test_durable.py."""

import sys
import time
from typing import Any

import httpx
from durable_streams import DurableStreamError, stream

url = sys.argv[1]
live: Any = sys.argv[2]
offset = "-1"
while not sys.stdout.closed:
    try:
        with stream(url, offset=offset, live=live) as followed:
            # iter_json_batches would give a batch of events before it knows where to go on after it.
            for event in followed.iter_events("json"):
                for message in event.data:
                    if message["type"] == "comment":
                        print(message["message"], flush=True)
                offset = event.next_offset
    except (DurableStreamError, httpx.HTTPError):
        pass
    time.sleep(0.2)  # the service is away, or has ended a stream
