"""A backtest equals the difference of two replays, alert by alert, however it is shared out."""

import multiprocessing
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import operators
from config.loader import load_settings
from config.settings import Settings
from dataflows.backtest import Backtest, GridPoint, Plan, backtest
from dataflows.backtest_plan import ALSO, COMPOSITE, detectors_of, judged_rules, passed_over, reduced
from dataflows.backtest_walk import Side, Walk, walk
from dataflows.history import run_history
from events.model import AnyEvent, BehaviourChat, JobHeartbeat, OrderCreated, PaymentSucceeded
from events.records import AlertRecord
from operators.judging.episodes import Episode, EpisodeBook
from operators.judging.matching import Span
from sources.mapping.convert import convert
from sources.mapping.loading import load_profile
from sources.reader import SourceError
from sources.simulation.plan import SimulationPlan
from sources.simulator import write
from tests.oracle.generate import BASE, Log, logs
from tests.support.flow import line

FEW = {"key_groups": 4}  # how many there are changes nothing, and each costs
SETTINGS = load_settings(overrides=FEW)
LOGS = logs(SETTINGS)
WEEK = 7 * 86_400_000
CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "longer_limit": {"order_timeout": {"limit": "3h"}},
    "shorter_norms": {"stage_timeout": {"factor": 0.5}},
    "reminders": {"stage_timeout": {"reminder_lead": "2m"}},
    "no_floor": {"no_progress": {"floor": "1m"}},
    "smaller_bursts": {"card_burst": {"any_amount": {"count": 2, "window": "1h"}, "judged_on": ["paid"]}},
    "short_merges": {"merge_candidate": {"window": "10m"}},
    "louder": {"resonance": {"orange": 1.0, "weights": {"service_chat": 3.0}}},
    "without_signals": {"resonance": {"enabled": False}},
    "without_bursts": {"card_burst": {"enabled": False}},
    "history": {"stage_timeout": {"history": {"enabled": True, "minimum": 2, "refresh": 1}}},
    "evenings": {"order_timeout": {"hours": {"evening": {"times": ["20:00/24:00"], "extra": "1h"}}}},
    "several": {"order_timeout": {"limit": "1h"}, "resonance": {"lock": 3.0}, "illegal_transition": {"enabled": False}},
}
REAL = Path(__file__).parents[3] / "shared" / "data" / "olist"


EXAMPLE = Path(__file__).parents[2] / "config/examples/composite_rules.toml"
OF_COMPOSITE: Mapping[str, Mapping[str, Any]] = {
    "lower_threshold": {"composite": {"young_account": {"threshold": 0.4}, "forwarding_address": {"threshold": 0.3}}},
    "without_signals": {"detectors": {"resonance": {"enabled": False}}},
    "words": {"lists": {"forwarding_words": {"values": ["路", "号"]}}},
    "first_changes": {"detectors": {"resonance": {"address_changes": 1}}},
}
# A rule that looks at what only `resonance` derives.
CHANGED: Mapping[str, Any] = {
    "zh": "改址",
    "en": "changed address",
    "when": ["created", "behaviour"],
    "threshold": 1,
    "conditions": [{"name": "changed", "expression": "signals.address_changed >= 1", "weight": 1}],
}


def candidate(name: str) -> Settings:
    return load_settings(overrides={**FEW, "detectors": CANDIDATES[name]})


def with_composite_rules(overrides: Mapping[str, Any]) -> Settings:
    rules = {"changed_address": CHANGED, **overrides.get("composite", {})}
    return load_settings(EXAMPLE, {**FEW, **overrides, "composite": rules})


def replayed(settings: Settings, directory: Path, end: int | None = None) -> list[Episode]:
    """The alerts that a replay writes, as a whole each."""
    book = EpisodeBook()
    for record in run_history(settings, [directory], end=end, until=end):
        if isinstance(record, AlertRecord):
            book.add(record)
    return book.episodes()


@contextmanager
def written(chosen: Mapping[str, Log]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        for name, log in chosen.items():
            lines = b"\n".join(line(event) for event, _ in log)
            (Path(directory) / f"{name}.ndjson").write_bytes(lines + b"\n")
        yield Path(directory)


def assert_equal_to_replays(first: Settings, second: Settings, directory: Path) -> None:
    """Each side has the alerts of its replay, as far as they are judged; the others are alike in both replays."""
    judged = judged_rules(first, second)
    left_out = passed_over(first, judged)
    if judged is not None and COMPOSITE not in judged:
        left_out |= frozenset(first.composite)
    task = Walk(
        tuple(Side(each, reduced(each, judged)) for each in (first, second)),
        [directory],
        conditions=frozenset({"late", "confirmed"}),
        passed_over=left_out,
    )
    replays = [replayed(settings, directory) for settings in (first, second)]
    for replay, alerts in zip(replays, walk(task).episodes, strict=True):
        assert alerts == [each for each in replay if each.rule not in left_out]
    others = [[each for each in replay if each.rule in left_out] for replay in replays]
    assert others[0] == others[1]


@given(LOGS, st.sampled_from(sorted(CANDIDATES)))
def test_a_backtest_has_the_alerts_of_two_replays(chosen: Mapping[str, Log], name: str) -> None:
    with written(chosen) as directory:
        assert_equal_to_replays(SETTINGS, candidate(name), directory)


@given(LOGS, st.sampled_from(sorted(OF_COMPOSITE)))
def test_a_backtest_of_composite_rules_too(chosen: Mapping[str, Log], name: str) -> None:
    with written(chosen) as directory:
        assert_equal_to_replays(with_composite_rules({}), with_composite_rules(OF_COMPOSITE[name]), directory)


def test_time_passes_by_events_too_that_no_judged_rule_wants(tmp_path: Path) -> None:
    events: list[AnyEvent] = [
        OrderCreated(id="1", source="oms", time=BASE, order_id="A"),
        PaymentSucceeded(id="2", source="pay", time=BASE, order_id="A"),
        BehaviourChat(id="3", source="crm", time=BASE + 9_000_000, customer_id="C", text="hello"),
    ]
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(map(line, events)))
    (report,) = backtest(Plan(SETTINGS, candidate("longer_limit"), [tmp_path])).rules
    assert (report.rule, report.counts.first, report.counts.lost) == ("order_timeout", 1, 1)


@pytest.mark.parametrize(
    ("switched", "last", "first_has"),
    [
        (
            {"resonance": {"enabled": False}},
            BehaviourChat(id="2", source="crm", time=BASE + WEEK, customer_id="C", text="hello"),
            True,
        ),
        ({"silence": {"enabled": True}}, JobHeartbeat(id="2", source="job", time=BASE + WEEK, job="feed"), False),
    ],
    ids=["resonance", "silence"],
)
def test_a_rule_without_which_time_stands_lets_all_be_judged(
    tmp_path: Path, switched: Mapping[str, Any], last: AnyEvent, first_has: bool
) -> None:
    """Only the rule that is switched wants the last event: without it an order's limits do not run out."""
    second = load_settings(overrides={**FEW, "detectors": switched})
    order = OrderCreated(id="1", source="oms", time=BASE, order_id="A")
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(map(line, (order, last))))
    result = backtest(Plan(SETTINGS, second, [tmp_path]))
    assert result.judged is None
    (report,) = (each for each in result.rules if each.rule == "stage_timeout")
    assert (report.counts.lost, report.counts.gained) == ((1, 0) if first_has else (0, 1))
    assert_equal_to_replays(SETTINGS, second, tmp_path)


def test_a_rule_without_which_time_goes_on_as_well_is_judged_alone() -> None:
    second = load_settings(overrides={**FEW, "detectors": {"card_burst": {"enabled": False}}})
    assert judged_rules(SETTINGS, second) == frozenset({"card_burst"})


@pytest.fixture(scope="module")
def trade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trade")
    write(SimulationPlan(orders=250, seed=4, duplicates=0.02, late=0.02, bad=0.01), SETTINGS, directory)
    return directory / "events"


def told(result: Backtest) -> Any:
    return result.rules, result.series, result.grid, result.known, result.events, result.end


def test_the_number_of_processes_does_not_matter(trade: Path) -> None:
    grid = tuple(
        GridPoint(limit, load_settings(overrides={**FEW, "detectors": {"order_timeout": {"limit": limit}}}))
        for limit in ("1h", "2h", "4h")
    )
    plan = Plan(SETTINGS, candidate("several"), [trade], grid, judged_by={"resonance": "late"})
    shared = Plan(SETTINGS, candidate("several"), [trade], grid, judged_by={"resonance": "late"}, processes=3)
    alone = backtest(plan)
    assert told(backtest(shared)) == told(alone)
    assert [
        report.counts.gained + report.counts.lost for report in alone.grid[1].rules if report.rule == "order_timeout"
    ] == [0]


def test_an_input_that_cannot_be_read_ends_all_processes(tmp_path: Path) -> None:
    (tmp_path / "damaged.ndjson.gz").write_bytes(b"no gzip")
    with pytest.raises(SourceError, match="damaged"):
        backtest(Plan(SETTINGS, candidate("longer_limit"), [tmp_path], processes=2))
    assert multiprocessing.active_children() == []


def test_settings_that_all_rules_share_let_all_be_judged(trade: Path) -> None:
    second = load_settings(overrides={**FEW, "time": {"out_of_orderness": "20s"}})
    result = backtest(Plan(SETTINGS, second, [trade]))
    assert result.judged is None
    expected = [{each.rule for each in replayed(settings, trade)} for settings in (SETTINGS, second)]
    assert {report.rule for report in result.rules} == expected[0] | expected[1]


def test_a_range_counts_what_opens_within_it(trade: Path) -> None:
    second = candidate("shorter_norms")
    alerts = replayed(SETTINGS, trade)
    middle, end = sorted(each.opened_at for each in alerts)[len(alerts) // 2], max(each.opened_at for each in alerts)
    result = backtest(Plan(SETTINGS, second, [trade], span=Span(middle, end)))
    expected = replayed(SETTINGS, trade, end)
    within = sum(each.rule == "stage_timeout" and middle <= each.opened_at for each in expected)
    (report,) = (each for each in result.rules if each.rule == "stage_timeout")
    # Alerts that open before the range and move into it stand beside those that open within.
    assert report.counts.first >= within > 0
    assert result.end == end - 1


def test_a_version_alone_changes_nothing() -> None:
    second = load_settings(overrides={**FEW, "detectors": {"card_burst": {"version": 2}}, "kafka": {"group": "other"}})
    assert judged_rules(SETTINGS, second) == frozenset()


def test_what_no_detector_owns_concerns_all() -> None:
    for overrides in ({"zone": "UTC"}, {"chain": "fulfilment"}, {"flow": {"closed_retention": "9d"}}):
        second = load_settings(overrides=overrides)
        assert judged_rules(SETTINGS, second) is None


def test_no_rule_looks_at_settings_of_another_unless_that_is_known() -> None:
    """Which detectors' settings each file of a detector names, against what a backtest believes."""
    names = "|".join(detectors_of(SETTINGS))
    pattern = re.compile(rf"detectors\.({names})\b(?!\s+import)")
    room = Path(next(iter(operators.__path__))) / "detectors"
    for owner in detectors_of(SETTINGS):
        file = room / f"{owner}.py"
        if file.is_file():
            code = "\n".join(
                text for text in file.read_text().splitlines() if not text.startswith(("from ", "import "))
            )
            strangers = set(pattern.findall(code)) - {owner}
            assert all(owner in ALSO.get(stranger, ()) for stranger in strangers), f"{owner} looks at {strangers}"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data set is not beside the project")
def test_real_orders_are_late_as_a_table_says(tmp_path: Path) -> None:
    """Precision and recall on the Olist orders, against the export itself, row by row."""
    convert(load_profile("olist"), [REAL], tmp_path / "events", SETTINGS.intake.contract)
    shared: Mapping[str, Any] = {"chain": "olist", "zone": "America/Sao_Paulo", "time": {"out_of_orderness": "1s"}}
    first, second = (
        load_settings(overrides={**shared, "detectors": {"order_timeout": {"limit": limit}}}) for limit in ("7d", "10d")
    )
    (report,) = backtest(Plan(first, second, [tmp_path / "events"])).rules
    table = _table(REAL / "olist_orders_dataset.csv")
    assert report.quality is not None
    for found, days in ((report.quality.first, 7), (report.quality.second, 10)):
        deadline = pl.col("approved") + pl.duration(days=days)
        alerted = table.filter(pl.col("handled") > deadline)
        verdicts = [alerted.filter(pl.col(name)).height for name in ("late", "in_time")]
        assert [found.alerts.right, found.alerts.wrong] == verdicts
        assert found.failed == table.filter("late").height
        assert found.caught == alerted.filter("late", deadline <= pl.col("promised")).height


def _table(path: Path) -> pl.DataFrame:
    """One row per order: when it was approved and handled, and whether it was late, or in time.

    What an order skipped it has done once the gap is filled; what is not filled it has not done.
    """
    names = ("purchase_timestamp", "approved_at", "delivered_carrier_date", "delivered_customer_date")
    bought, approved, shipped, delivered = (_moment(f"order_{name}") for name in names)
    rows = pl.read_csv(path).select(
        "order_status",
        bought=bought,
        approved=pl.when(approved.is_not_null()).then(pl.max_horizontal(bought, approved)),
        shipped=pl.when(approved.is_not_null() & shipped.is_not_null()).then(
            pl.max_horizontal(bought, approved, shipped)
        ),
        all_done=pl.all_horizontal(each.is_not_null() for each in (approved, shipped, delivered)),
        newest=pl.max_horizontal(bought, approved, shipped, delivered),
        promised=_moment("order_estimated_delivery_date", pl.duration(hours=23, minutes=59, seconds=59)),
    )
    end = rows["newest"].max()
    cancelled = pl.col("order_status").is_in(["canceled", "unavailable"])
    rows = rows.with_columns(
        delivered=pl.when("all_done").then("newest"),
        ended=pl.when(cancelled).then("newest").otherwise(end),
    )
    came, missing = pl.col("delivered").is_not_null(), pl.col("delivered").is_null() & ~cancelled
    return rows.with_columns(
        handled=pl.coalesce("shipped", "ended"),
        late=(came & (pl.col("delivered") > pl.col("promised"))) | (missing & (pl.col("promised") < end)),
        in_time=came & (pl.col("delivered") <= pl.col("promised")),
    )


def _moment(column: str, later: pl.Expr | None = None) -> pl.Expr:
    local = pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
    local = local if later is None else local + later
    return local.dt.replace_time_zone("America/Sao_Paulo", ambiguous="earliest", non_existent="null")
