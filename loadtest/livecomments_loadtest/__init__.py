"""`livecomments load`: plays a real chat through a deployment and checks one order, nothing twice, nothing missing.

Flow: a plan and its seed give a schedule (who posts, deletes, comes in, is cut off, and when). The poster sees every
post through to its final answer; viewers watch over real streams, are cut off, in the middle of events too, and resume.
Both write ids and digests into one ledger a video. When all is answered and every viewer is at the end, history is read
in both directions, and pure checks compare what was acknowledged with what was shown and listed.

- `plan`: what one run is to do.
- `chat`: the chat that comes along, `real-chat.jsonl`.
- `schedule`: a chat as actions: who does what when, from the seed alone.
- `sse`: bytes to events, strictly.
- `http1`: bytes to one response, strictly.
- `client`: the deployment's address and kept-alive connections.
- `wire`: one streaming connection, which can be cut in the middle of an event.
- `calls`: one question until it has a final answer.
- `pages`: history pages and walks, byte by byte.
- `poster`: the writing side.
- `viewer`: the reading side.
- `ledger`: what is remembered.
- `checks`: what must never happen.
- `latency`: how long things took, and whether that was this process's own doing.
- `metrics`: where the deployment says it served from.
- `progress`, `report`: what the operator sees, during and after.
- `run`: one run from the first session to the report.

It knows nothing of the server but its public interface, over HTTP and Server-Sent Events at one address. Deliberately
not here: comparing speeds (that is `bench/`), starting or killing servers (`chaos/`), and other people's traffic: every
run has videos of its own.
"""

from livecomments_loadtest.plan import LoadPlan, PlanRejected
from livecomments_loadtest.poster import DeploymentUnavailable
from livecomments_loadtest.report import Report
from livecomments_loadtest.run import run_load

__all__ = ["DeploymentUnavailable", "LoadPlan", "PlanRejected", "Report", "run_load"]
