"""The real chat that comes with livecomments, for load checks, benchmarks and the demo."""

from pathlib import Path
from typing import Final

CHAT: Final = Path(__file__).with_name("real-chat.jsonl")
"""JSON lines with `offsetMs`, `author` and `message`, in the order of `offsetMs`."""
