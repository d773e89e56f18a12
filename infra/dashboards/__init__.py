"""Dashboards of Grafana as code: `python -m infra.dashboards` (part of `make docs`) writes them into the chart.

- `boards`: what they show.
- `__main__`: how that becomes Grafana's JSON.

They read no label of one way to scrape but `instance` and `job`, which every Prometheus sets.
"""
