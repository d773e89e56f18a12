"""Tests of `livecomments.store`: one contract for every implementation, and what each does beside it."""
