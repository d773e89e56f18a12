"""The clients of clients/, each with its own tools."""
