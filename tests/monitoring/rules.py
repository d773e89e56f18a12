"""The chart's alerts, and for each a case in which it fires and one in which it does not, for `promtool test rules`."""

import functools
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "helm/livecomments/monitoring/rules.yaml"
_SELECTED: Final = re.compile(r"\b((?:livecomments|process)_\w+|up)\b")


class Selector(NamedTuple):
    """A metric as a query selects it: `values` by label, those of a list each; of buckets their bound is a label."""

    metric: str
    values: dict[str, list[str]]


def selectors(query: str) -> list[Selector]:
    """List what a query reads of ours, by the names that the code gives."""
    found = []
    for name, within in re.findall(r"\b(livecomments_\w+)(?:\{([^}]*)\})?", query):
        matched = re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', within)
        metric = re.sub(r"_(bucket|sum|count)$", "", name)
        found.append(Selector(metric, {label: values.split("|") for label, values in matched}))
    return found


class Case(NamedTuple):
    """Series by name and labels, as promtool writes values: `0+60x30` is 30 minutes at one a second."""

    alert: str
    fires: dict[str, str]
    quiet: dict[str, str]
    at: str = "30m"


@functools.cache
def alerts() -> dict[str, dict[str, Any]]:
    """The alerts by name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


@functools.cache
def metrics_selected() -> set[str]:
    """The metrics that rules read, without the samples' endings; recorded ones are not among them."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    names = {name for group in groups for rule in group["rules"] for name in _SELECTED.findall(rule["expr"])}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def _level(name: str, fires: float, quiet: float, labels: str = "") -> tuple[dict[str, str], dict[str, str]]:
    return {f"{name}{labels}": f"{fires}x30"}, {f"{name}{labels}": f"{quiet}x30"}


def _growth(name: str, labels: str = "") -> tuple[dict[str, str], dict[str, str]]:
    """It grows in the last minute; it stands, though it grew once."""
    return {f"{name}{labels}": "0x28 5x2"}, {f"{name}{labels}": "5x30"}


def _share(name: str, bad: str, good: str) -> tuple[dict[str, str], dict[str, str]]:
    """Half of them are bad; one in a thousand is."""
    return (
        {f"{name}{bad}": "0+60x200", f"{name}{good}": "0+60x200"},
        {f"{name}{bad}": "0+1x200", f"{name}{good}": "0+1000x200"},
    )


def _quantile(name: str, bound: str, kept: int = 95) -> tuple[dict[str, str], dict[str, str]]:
    """All but `kept` in a hundred are slower than `bound`; none is."""
    buckets = f'{name}_bucket{{le="{bound}"}}', f'{name}_bucket{{le="10.0"}}', f'{name}_bucket{{le="+Inf"}}'
    return (
        dict(zip(buckets, (f"0+{kept}x30", "0+100x30", "0+100x30"), strict=True)),
        dict.fromkeys(buckets, "0+100x30"),
    )


def _posts(kept: float, slow: float, faults: float, minutes: int) -> dict[str, str]:
    """POSTs by minute: answered in time, answered late, answered 503."""
    return _posts_as(*(f"0+{rate}x{minutes}" for rate in (kept, kept + slow, faults)))


def _posts_as(kept: str, answered: str, faults: str) -> dict[str, str]:
    call = 'call="postComment"'
    return {
        f'livecomments_gateway_request_seconds_bucket{{{call},le="0.2"}}': kept,
        f"livecomments_gateway_request_seconds_count{{{call}}}": answered,
        f'livecomments_gateway_requests_total{{{call},result="done"}}': answered,
        f'livecomments_gateway_requests_total{{{call},result="append_unknown"}}': faults,
        f'livecomments_gateway_requests_total{{{call},result="message_empty"}}': "0+1000x60",
    }


def _deliveries(kept: int, late: int, minutes: int) -> dict[str, str]:
    name = "livecomments_edge_delivery_seconds"
    return {f'{name}_bucket{{le="0.2"}}': f"0+{kept}x{minutes}", f"{name}_count": f"0+{kept + late}x{minutes}"}


def _turns(failed: str, done: str = "0+60x60") -> dict[str, str]:
    """The probe's turns."""
    name = "livecomments_probe_turns_total"
    return {f'{name}{{result="screen"}}': failed, f'{name}{{result="done"}}': done}


_HOURS_2: Final = 120
_EDGE: Final = "livecomments_edge"
_FILES: Final = {
    'livecomments_build_info{instance="a",job="j"}': "1x30",
    'process_max_fds{instance="a",job="j"}': "100x30",
}

CASES: Final = (
    # A broker that is away makes no POST slow: it makes them fail.
    Case("LivecommentsPostsBurnFast", _posts(900, 0, 100, 60), _posts(999, 1, 0, 60), "60m"),
    Case("LivecommentsPostsBurnFast", _posts(900, 100, 0, 60), _posts(0, 0.1, 0, 60), "60m"),
    # It is over: the long window knows of it still, the short one does not.
    Case("LivecommentsPostsBurnFast", _posts(90, 10, 0, 60), _posts_as("0x25 100+100x34", "0+100x60", "0x60"), "60m"),
    Case("LivecommentsPostsBurnSlowly", _posts(996, 4, 0, _HOURS_2), _posts(9_999, 1, 0, _HOURS_2), "120m"),
    Case("LivecommentsDeliveriesBurnFast", _deliveries(80, 20, 60), _deliveries(990, 10, 60), "60m"),
    Case("LivecommentsDeliveriesBurnSlowly", _deliveries(97, 3, _HOURS_2), _deliveries(995, 5, _HOURS_2), "120m"),
    Case("LivecommentsDown", *_level("up", 0, 1, '{job="livecomments-internal"}')),
    Case("LivecommentsLogSilent", *_level("livecomments_log_silence_seconds", 6, 4)),
    Case("LivecommentsLogWentBack", *_level("livecomments_log_resets_total", 1, 0)),
    Case(
        "LivecommentsContractBroken", *_level("livecomments_log_contract_differences", 1, 0, '{endangers="comments"}')
    ),
    Case(
        "LivecommentsContractDiffers", *_level("livecomments_log_contract_differences", 1, 0, '{endangers="retention"}')
    ),
    Case("LivecommentsContractUnseen", *_level("livecomments_log_contract_unseen_seconds", 601, 599)),
    Case("LivecommentsAppendsRefused", *_level("livecomments_log_appends_refused_total", 1, 0, '{reason="x"}')),
    Case("LivecommentsAppendsUnknown", *_growth("livecomments_gateway_comments_total", '{result="unknown"}')),
    # A series that begins with its first event.
    Case("LivecommentsAppendsUnknown", {'livecomments_gateway_comments_total{result="unknown"}': "_x28 1x2"}, {}),
    Case("LivecommentsAppendsHeld", *_level("livecomments_gateway_appends_held", 1, 0)),
    Case("LivecommentsAppendsSlow", *_quantile("livecomments_gateway_append_seconds", "0.2")),
    Case("LivecommentsBatchesUndecodable", *_growth("livecomments_log_undecodable_batches_total")),
    Case("LivecommentsStoreBehind", *_level("livecomments_history_store_behind_seconds", 31, 29)),
    Case("LivecommentsStoreNearRetention", *_level("livecomments_history_store_behind_seconds", 26_000, 25_000)),
    Case("LivecommentsStoreUnwatched", {}, {"livecomments_history_store_behind_seconds": "0x30"}),
    Case(
        "LivecommentsStoreUnwatched",
        {
            'livecomments_gateway_appends_in_flight_max{instance="a"}': "9x30",
            'livecomments_stream_lag_seconds{instance="b"}': "0x30",
        },
        {
            'livecomments_gateway_appends_in_flight_max{instance="a"}': "9x30",
            'livecomments_stream_lag_seconds{instance="a"}': "0x30",
        },
    ),
    Case("LivecommentsStreamBehind", *_level("livecomments_stream_lag_seconds", 31, 29)),
    Case(
        "LivecommentsStreamGone",
        {"livecomments_stream_lag_seconds": "0x15"},
        {"livecomments_stream_lag_seconds": "0x30"},
    ),
    Case("LivecommentsPartitionsUnobserved", *_level("livecomments_stream_unobserved_partitions", 1, 0)),
    Case("LivecommentsPartitionsUnobserved", *_level("livecomments_history_store_unobserved_partitions", 1, 0)),
    Case("LivecommentsStreamJoining", *_level("livecomments_stream_joining_seconds", 61, 59)),
    Case("LivecommentsStreamCommitsStand", *_level("livecomments_stream_commit_age_seconds", 61, 59)),
    Case("LivecommentsLostToRetention", *_level("livecomments_stream_lost_to_retention_total", 1, 0)),
    *(
        Case("LivecommentsDataTopicBehind", *_level(f"livecomments_{job}_lag_records", 10_001, 9_999))
        for job in ("counts", "clean")
    ),
    # It ran once, and tells nothing now; who never ran it hears nothing.
    *(
        Case("LivecommentsDataTopicUnwatched", {f"livecomments_{job}_lag_records": "0x10"}, quiet)
        for job, quiet in (("counts", {}), ("clean", {"livecomments_clean_lag_records": "0x30"}))
    ),
    Case("LivecommentsDataTopicLost", *_level("livecomments_clean_lost_records_total", 1, 0)),
    Case(
        "LivecommentsRecordsOfALaterVersion",
        *_growth("livecomments_stream_records_total", '{verdict="unknown_schema"}'),
    ),
    Case("LivecommentsDeadLetters", *_growth("livecomments_stream_dead_letters_total", '{reason="invalid"}')),
    Case("LivecommentsGaps", *_growth(f"{_EDGE}_gaps_total", '{reason="store_unavailable"}')),
    Case(
        "LivecommentsGaps",
        {f'{_EDGE}_gaps_total{{reason="x"}}': "_x28 1x2"},
        _growth(f"{_EDGE}_gaps_total", '{reason="as_asked"}')[0],
    ),
    Case(
        "LivecommentsViewersTurnedAway",
        {f'{_EDGE}_connections_total{{result="full"}}': "0+5x30"},
        {f'{_EDGE}_connections_total{{result="joined"}}': "0+5x30"},
    ),
    Case("LivecommentsViewersStuck", *_share(f"{_EDGE}_disconnects_total", '{reason="stuck"}', '{reason="client"}')),
    Case("LivecommentsSlowLane", *_share(f"{_EDGE}_lanes_total", '{lane="asgi"}', '{lane="transport"}')),
    Case(
        "LivecommentsMisrouted", *_share("livecomments_routed_requests_total", '{to="elsewhere"}', '{to="home"}'), "60m"
    ),
    # While no server is ready, as with Kafka away, and by a probe of each edge: on purpose, whatever the share.
    Case(
        "LivecommentsMisrouted",
        _share("livecomments_routed_requests_total", '{to="unrouted"}', '{to="home"}')[0],
        _share("livecomments_routed_requests_total", '{to="any"}', '{to="home"}')[0],
        "60m",
    ),
    # Without a router that knows partitions all are unrouted, and nothing is wrong.
    Case(
        "LivecommentsMisrouted", *_share("livecomments_routed_requests_total", '{to="unrouted"}', '{to="home"}'), "60m"
    ),
    Case(
        "LivecommentsFilesNearlyFull",
        _FILES | {'process_open_fds{instance="a",job="j"}': "86x30"},
        _FILES | {'process_open_fds{instance="a",job="j"}': "84x30"},
    ),
    Case(
        "LivecommentsViewersNearlyFull",
        {
            f'{_EDGE}_viewers{{state="live",lane="transport"}}': "50x30",
            f'{_EDGE}_viewers{{state="behind",lane="asgi"}}': "36x30",
            f"{_EDGE}_viewers_max": "100x30",
        },
        {f'{_EDGE}_viewers{{state="live",lane="transport"}}': "84x30", f"{_EDGE}_viewers_max": "100x30"},
    ),
    Case(
        "LivecommentsAppendsNearlyFull",
        {"livecomments_gateway_appends_in_flight": "86x30", "livecomments_gateway_appends_in_flight_max": "100x30"},
        {"livecomments_gateway_appends_in_flight": "84x30", "livecomments_gateway_appends_in_flight_max": "100x30"},
    ),
    Case(
        "LivecommentsTailsNearlyFull",
        {"livecomments_log_tail_bytes": "86x30", "livecomments_log_tail_bytes_max": "100x30"},
        {"livecomments_log_tail_bytes": "84x30", "livecomments_log_tail_bytes_max": "100x30"},
    ),
    Case("LivecommentsProbeFails", *_share("livecomments_probe_turns_total", '{result="screen"}', '{result="done"}')),
    Case("LivecommentsProbeFailsSometimes", _turns("0x58 5x2"), _turns("0x58 3x2"), "60m"),
    Case("LivecommentsProbeSlow", *_quantile("livecomments_probe_screen_seconds", "0.2", kept=45)),
    # It stands; it is gone.
    Case("LivecommentsProbeSilent", _turns("0x60", "9x60"), _turns("0x60"), "60m"),
    Case("LivecommentsProbeSilent", {'livecomments_probe_turns_total{result="done"}': "0+60x20"}, {}, "60m"),
    Case("LivecommentsConnectionsRefused", *_growth("livecomments_http_connections_refused_total")),
    Case("LivecommentsLoopLate", *_quantile("livecomments_loop_lag_seconds", "0.1")),
    Case("LivecommentsRotationRefused", *_level("livecomments_rotation_refused", 1, 0, '{setting="kafka"}')),
)


def written() -> str:
    """All cases as a file of `promtool test rules`.

    Each test costs it a database of its own, so cases share one as long as no metric of theirs is the same; and most of
    the time goes into evaluating every rule again and again, so that is done every five minutes.
    """
    tests: list[dict[str, Any]] = []
    taken: list[set[str]] = []
    for case in CASES:
        names = set(_SELECTED.findall(" ".join((alerts()[case.alert]["expr"], *case.fires, *case.quiet))))
        for series, fires in ((case.fires, True), (case.quiet, False)):
            place = next((number for number, others in enumerate(taken) if not names & others), len(tests))
            if place == len(tests):
                taken.append(set())
                tests.append({"interval": "1m", "input_series": [], "promql_expr_test": []})
            taken[place] |= names
            tests[place]["input_series"] += [{"series": each, "values": values} for each, values in series.items()]
            firing = f'group(ALERTS{{alertname="{case.alert}",alertstate="firing"}})'
            wanted = [{"labels": "{}", "value": 1}] if fires else []
            tests[place]["promql_expr_test"].append({"expr": firing, "eval_time": case.at, "exp_samples": wanted})
    return yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "5m", "tests": tests})
