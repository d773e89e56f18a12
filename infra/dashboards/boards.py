"""What each dashboard shows: rows of panels, each a few queries. Data; how they are drawn stands in `__main__`."""

from typing import Final, NamedTuple


class Panel(NamedTuple):
    """One graph."""

    title: str
    unit: str
    """As Grafana names units: s, ops, bytes, percentunit, short."""
    queries: dict[str, str]
    """Legend → PromQL."""
    bound: float | None = None
    """Above it is trouble; drawn as a line."""


class Board(NamedTuple):
    """One dashboard."""

    name: str
    """Of its file, and in its address."""
    title: str
    rows: dict[str, tuple[Panel, ...]]


_AT: Final = "{{instance}}"


def _rate(metric: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({metric}[$__rate_interval]))"


def _quantiles(title: str, metric: str, bound: float | None = None, of: str = "") -> Panel:
    """Half, 99 in 100 and 999 in 1,000 of a histogram of seconds, over all processes."""
    buckets = f"sum by (le) (rate({metric}_bucket{of}[$__rate_interval]))"
    shown = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    return Panel(title, "s", {name: f"histogram_quantile({q}, {buckets})" for name, q in shown.items()}, bound)


_LOOP: Final = Panel(
    "Event loop late, p99",
    "s",
    {
        _AT: "histogram_quantile(0.99, sum by (instance, le)"
        " (rate(livecomments_loop_lag_seconds_bucket[$__rate_interval])))"
    },
    0.1,
)
_FILES: Final = Panel(
    "Descriptors open of those allowed",
    "percentunit",
    {_AT: "process_open_fds / process_max_fds and on (instance, job) livecomments_build_info"},
    0.85,
)
_MEMORY: Final = Panel(
    "Memory", "bytes", {_AT: "process_resident_memory_bytes and on (instance, job) livecomments_build_info"}
)
_CPU: Final = Panel(
    "Processor",
    "percentunit",
    {_AT: "rate(process_cpu_seconds_total[$__rate_interval]) and on (instance, job) livecomments_build_info"},
    0.85,
)
_PROCESS: Final = (_CPU, _LOOP, _MEMORY, _FILES)
_SILENCE: Final = Panel("Log silent", "s", {_AT: "livecomments_log_silence_seconds"}, 5)
_BEHIND: Final = Panel(
    "Store behind",
    "s",
    {
        "as gateways and edges see it": "max(livecomments_history_store_behind_seconds)",
        "as the stream job sees it": "max(livecomments_stream_lag_seconds)",
    },
    30,
)
_POSTS: Final = Panel(
    "POSTs by answer", "ops", {"{{result}}": _rate('livecomments_gateway_requests_total{call="postComment"}', "result")}
)
_VIEWERS: Final = Panel("Viewers", "short", {"{{state}}": "sum by (state) (livecomments_edge_viewers)"})
_DELIVERED: Final = Panel(
    "Deliveries", "ops", {"comments to viewers": "sum(rate(livecomments_edge_delivered_total[$__rate_interval]))"}
)
_DELIVERY: Final = _quantiles("Append to a viewer's socket", "livecomments_edge_delivery_seconds", 0.2)
_APPEND: Final = _quantiles("Append to acknowledgement", "livecomments_gateway_append_seconds", 0.2)

OVERVIEW: Final = Board(
    "overview",
    "Livecomments",
    {
        "Promises": (
            Panel(
                "Promises broken, over an hour",
                "percentunit",
                {
                    "POSTs (1 in 1,000 may)": "livecomments:posts_broken:ratio_rate1h",
                    "deliveries (1 in 100 may)": "livecomments:deliveries_broken:ratio_rate1h",
                },
            ),
            Panel("Alerts", "short", {"{{alertname}}": 'count by (alertname) (ALERTS{alertname=~"Livecomments.*"})'}),
            _DELIVERY,
            _APPEND,
        ),
        "What goes through": (_POSTS, _VIEWERS, _DELIVERED, _BEHIND),
        "As the probe sees it": (
            Panel("Turns by result", "ops", {"{{result}}": _rate("livecomments_probe_turns_total", "result")}),
            _quantiles("POST to 201", "livecomments_probe_post_seconds", 0.2),
            _quantiles("POST to a screen", "livecomments_probe_screen_seconds", 0.2),
            Panel(
                "Where it looks",
                "short",
                {"edges": "max(livecomments_probe_edges)", "partitions": "max(livecomments_probe_partitions)"},
            ),
        ),
        "Processes": (
            _SILENCE,
            _LOOP,
            Panel(
                "Nearly full",
                "percentunit",
                {
                    "viewers "
                    + _AT: "sum without (state, lane) (livecomments_edge_viewers) / livecomments_edge_viewers_max",
                    "appends "
                    + _AT: "livecomments_gateway_appends_in_flight / livecomments_gateway_appends_in_flight_max",
                    "tails " + _AT: "livecomments_log_tail_bytes / livecomments_log_tail_bytes_max",
                    "descriptors " + _AT: _FILES.queries[_AT],
                },
                0.85,
            ),
            Panel("Versions", "short", {"{{version}}": "count by (version) (livecomments_build_info)"}),
        ),
    },
)
GATEWAY: Final = Board(
    "gateway",
    "Livecomments: gateways",
    {
        "Requests": (
            _POSTS,
            Panel("Requests by call", "ops", {"{{call}}": _rate("livecomments_gateway_requests_total", "call")}),
            _quantiles("POST to answer", "livecomments_gateway_request_seconds", 0.2, '{call="postComment"}'),
            Panel(
                "Tokens refused", "ops", {"{{reason}}": _rate("livecomments_gateway_tokens_refused_total", "reason")}
            ),
        ),
        "Appends": (
            _APPEND,
            _quantiles("Acknowledgement to verdict", "livecomments_gateway_judged_seconds"),
            Panel(
                "Appends under way",
                "short",
                {
                    _AT: "livecomments_gateway_appends_in_flight",
                    "held " + _AT: "livecomments_gateway_appends_held",
                    "bound " + _AT: "livecomments_gateway_appends_in_flight_max",
                },
            ),
            Panel(
                "Refused by Kafka", "short", {"{{reason}}": "sum by (reason) (livecomments_log_appends_refused_total)"}
            ),
        ),
        "Pages": (
            Panel("Reads by source", "ops", {"{{source}}": _rate("livecomments_history_reads_total", "source")}),
        ),
        "Process": _PROCESS,
    },
)
EDGE: Final = Board(
    "edge",
    "Livecomments: edges",
    {
        "Viewers": (
            _VIEWERS,
            Panel("Viewers by edge", "short", {_AT: "sum by (instance) (livecomments_edge_viewers)"}),
            Panel("Streams asked for", "ops", {"{{result}}": _rate("livecomments_edge_connections_total", "result")}),
            Panel("Streams ended", "ops", {"{{reason}}": _rate("livecomments_edge_disconnects_total", "reason")}),
        ),
        "Deliveries": (
            _DELIVERY,
            _DELIVERED,
            _quantiles("A pass over a video's viewers", "livecomments_edge_pass_seconds"),
            Panel("Written", "Bps", {_AT: _rate("livecomments_edge_written_bytes_total", "instance")}),
        ),
        "Behind": (
            Panel(
                "Reads for viewers behind", "ops", {"{{source}}": _rate("livecomments_edge_backfills_total", "source")}
            ),
            Panel("Gaps told", "ops", {"{{reason}}": _rate("livecomments_edge_gaps_total", "reason")}),
            Panel("Streams by lane", "ops", {"{{lane}}": _rate("livecomments_edge_lanes_total", "lane")}),
            Panel("Requests by the router's aim", "ops", {"{{to}}": _rate("livecomments_routed_requests_total", "to")}),
        ),
        "Process": _PROCESS,
    },
)
STREAM: Final = Board(
    "stream",
    "Livecomments: stream jobs",
    {
        "Lag": (
            _BEHIND,
            Panel("Records not stored", "short", {_AT: "livecomments_stream_lag_records"}),
            Panel(
                "Partitions",
                "short",
                {
                    "given " + _AT: "livecomments_stream_partitions",
                    "unobserved " + _AT: "livecomments_stream_unobserved_partitions",
                },
            ),
            Panel(
                "Ages",
                "s",
                {
                    "commit " + _AT: "livecomments_stream_commit_age_seconds",
                    "watermark " + _AT: "livecomments_stream_watermark_age_seconds",
                    "joining " + _AT: "livecomments_stream_joining_seconds",
                },
                60,
            ),
        ),
        "Writes": (
            Panel("Records by verdict", "ops", {"{{verdict}}": _rate("livecomments_stream_records_total", "verdict")}),
            _quantiles("A write", "livecomments_stream_write_seconds"),
            Panel("Repeated writes", "ops", {"{{reason}}": _rate("livecomments_stream_write_retries_total", "reason")}),
            Panel("Dead letters", "ops", {"{{reason}}": _rate("livecomments_stream_dead_letters_total", "reason")}),
        ),
        "Process": _PROCESS,
    },
)
SERVERS: Final = Board(
    "servers",
    "Livecomments: Kafka and store as we see them",
    {
        "Kafka": (
            _SILENCE,
            _APPEND,
            Panel("Records followed", "ops", {_AT: _rate("livecomments_log_records_total", "instance")}),
            Panel(
                "What is not as promised",
                "short",
                {"{{difference}}": "max by (difference) (livecomments_log_contract_differences)"},
            ),
        ),
        "Partitions": (
            Panel("Followed", "short", {_AT: "livecomments_log_partitions"}),
            _quantiles("Taking one on", "livecomments_log_take_on_seconds"),
            Panel("Recent comments in memory", "bytes", {_AT: "livecomments_log_tail_bytes"}),
            Panel("Epoch", "short", {_AT: "livecomments_log_epoch"}),
        ),
        "Store": (
            _BEHIND,
            _quantiles("From append until it was stored", "livecomments_stream_stored_seconds"),
            Panel("Repeated writes", "ops", {"{{reason}}": _rate("livecomments_stream_write_retries_total", "reason")}),
            Panel("Partitions unobserved", "short", {_AT: "livecomments_history_store_unobserved_partitions"}),
        ),
    },
)
DATA: Final = Board(
    "data",
    "Livecomments: topics for data teams",
    {
        "How far they are": (
            Panel("Records not counted", "short", {_AT: "livecomments_counts_lag_records"}, 10_000),
            Panel("Records not in the clean topic", "short", {_AT: "livecomments_clean_lag_records"}, 10_000),
            Panel(
                "Lost before they were clean",
                "short",
                {_AT: "sum by (instance) (livecomments_clean_lost_records_total)"},
            ),
        ),
        "Written": (
            Panel("Counts told", "ops", {_AT: _rate("livecomments_counts_told_total", "instance")}),
            Panel("Clean records", "ops", {"{{kind}}": _rate("livecomments_clean_written_total", "kind")}),
        ),
        "Process": _PROCESS,
    },
)
BOARDS: Final = (OVERVIEW, GATEWAY, EDGE, STREAM, SERVERS, DATA)
