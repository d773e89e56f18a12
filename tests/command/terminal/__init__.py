"""`livecomments tail` and `livecomments post`, against a real service, and against whatever may stand in its place."""
