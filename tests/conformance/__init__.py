"""Readers of event streams that are not ours, on what the edge really sends.

- `js/`: npm packages, and two small programs around them; `page.html`: what browsers open.
- `deployment`: two edges on a real Kafka, with HAProxy and nginx in front as they are recommended.
- `relay`: cuts streams in the middle of an event.
- `viewers`, `programs`: who watches, and the processes they run in.
- `story`: what happens to all of them at once, from the first comment to the last.
"""
