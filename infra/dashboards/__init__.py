"""Dashboards of Grafana as code: `python -m infra.dashboards` (part of `make docs`) writes them into the chart.

- `boards`: what they show.
- `picture`: one of them drawn from what a Prometheus has, for the pages.
- `__main__`: how that becomes Grafana's JSON.

They read no label of one way to scrape but `instance` and `job`, which every Prometheus sets.
"""
