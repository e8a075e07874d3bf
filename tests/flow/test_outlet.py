"""The outlet counts what it hands to the sinks and what they refuse, and knows how far they are."""

from collections.abc import Mapping, Sequence

import pytest

from dataflows.outlet import Outlet
from events.records import Record
from sinks.metrics import Metrics
from sinks.sink import Sink, SinkError, Waiting
from tests.sinks.samples import DEAD_LETTER, DIFF, EVERY_KIND, HOLD, alert

DOWN = SinkError("Kafka at broker:9092", "no answer", "check that the broker is up")


class Kept(Sink):
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, records: Sequence[Record]) -> None:
        self.records += records

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Log(Kept):
    """A sink with a place, that says in which order it was told things."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.told: list[str] = []
        self.resumed: Mapping[str, int] | None = None
        self._name = name

    def write(self, records: Sequence[Record]) -> None:
        super().write(records)
        self.told.append("write")

    def flush(self) -> None:
        self.told.append("flush")

    def positions(self) -> dict[str, int]:
        self.told.append("positions")
        return {self._name: len(self.records)}

    def resume(self, positions: Mapping[str, int]) -> None:
        self.told.append("resume")
        self.resumed = positions

    def passed(self, watermark_ms: int) -> None:
        self.told.append(f"passed {watermark_ms}")


class Broken(Kept):
    """A sink that fails at its first record, or only when it is closed, and says so again at each call."""

    def __init__(self, *, late: bool) -> None:
        super().__init__()
        self._late = late

    def write(self, records: Sequence[Record]) -> None:
        if not self._late:
            raise DOWN

    def close(self) -> None:
        raise DOWN


def value(metrics: Metrics, series: str) -> float | None:
    lines = metrics.render().decode().splitlines()
    found = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{series} ")]
    return found[0] if found else None


def test_every_sink_gets_every_record() -> None:
    first, second = Kept(), Kept()
    Outlet([first, second], Metrics()).write(EVERY_KIND)
    assert first.records == second.records == list(EVERY_KIND)


def test_records_are_counted_by_what_they_say() -> None:
    metrics = Metrics()
    Outlet([], metrics).write([alert(), DIFF, DIFF, HOLD, DEAD_LETTER])
    steps = 'orderpulse_alerts_total{rule="card_burst",severity="critical",step="opened"}'
    assert value(metrics, steps) == 1
    assert value(metrics, 'orderpulse_diffs_total{target="erp"}') == 2
    assert value(metrics, 'orderpulse_holds_total{status="held"}') == 1
    assert value(metrics, 'orderpulse_dead_letters_total{reason="not_json"}') == 1


def test_an_alert_is_open_from_its_first_step_until_it_is_resolved() -> None:
    metrics = Metrics()
    outlet = Outlet([], metrics)
    seen = []
    for step in ("opened", "updated", "opened", "acknowledged", "resolved", "resolved"):
        outlet.write([alert(step=step)])
        seen.append(value(metrics, 'orderpulse_open_alerts{rule="card_burst"}'))
    assert seen == [1, 1, 2, 2, 1, 0]


@pytest.mark.parametrize("late", [False, True])
def test_an_error_of_a_sink_is_counted_once(late: bool) -> None:
    metrics = Metrics()
    outlet = Outlet([Broken(late=late)], metrics)
    if not late:
        with pytest.raises(SinkError, match="no answer"):
            outlet.write([alert()])
    with pytest.raises(SinkError, match="no answer"):
        outlet.close()
    assert value(metrics, 'orderpulse_sink_errors_total{sink="Broken"}') == 1


def test_a_write_is_timed_by_sink() -> None:
    metrics = Metrics()
    Outlet([Kept()], metrics).write([alert()])
    assert value(metrics, 'orderpulse_sink_write_seconds_count{sink="Kept"}') == 1


def test_the_places_of_all_sinks_are_told_without_waiting_for_acknowledgements() -> None:
    first, second = Log("alerts/0"), Log("alerts.ndjson")
    outlet = Outlet([first, second], Metrics())
    outlet.write([alert()])
    assert outlet.positions() == {"alerts/0": 1, "alerts.ndjson": 1}
    assert first.told == second.told == ["write", "positions"]
    outlet.settle()
    assert first.told == second.told == ["write", "positions", "flush"]


def test_many_key_groups_ask_for_the_places_and_the_sinks_are_asked_once() -> None:
    sink = Log("alerts/0")
    outlet = Outlet([sink], Metrics())
    for _ in range(2):
        outlet.write([alert()])
        first = outlet.positions()
        assert outlet.positions() == first
        outlet.settle()
        outlet.settle()
    assert outlet.positions() == {"alerts/0": 2}
    assert sink.told == ["write", "positions", "flush"] * 2


def test_a_run_that_goes_on_tells_the_sinks_where_the_last_snapshot_stood_once_and_before_the_first_record() -> None:
    sink = Log("alerts/0")
    outlet = Outlet([sink], Metrics())
    outlet.first = {"alerts/0": 0}
    for _ in range(2):
        outlet.begin(lambda: {"alerts/0": 7})
        outlet.write([alert()])
    assert sink.resumed == {"alerts/0": 7}
    assert sink.told == ["resume", "write", "write"]


def test_a_run_that_was_killed_before_its_first_snapshot_goes_on_from_where_the_sinks_stood_at_first() -> None:
    sink = Log("alerts/0")
    outlet = Outlet([sink], Metrics())
    outlet.first = {"alerts/0": 3}
    outlet.begin(lambda: None)
    assert sink.resumed == {"alerts/0": 3}


def test_a_run_without_a_recovery_store_reads_nothing_back() -> None:
    sink = Log("alerts/0")
    Outlet([sink], Metrics()).begin(lambda: None)
    assert sink.told == []


def test_the_sinks_hear_how_far_everything_was_handed_over() -> None:
    sink, marks = Log("alerts/0"), list[int]()
    Outlet([sink], Metrics(), marks.append).mark(1_000)
    assert sink.told == ["passed 1000"]
    assert marks == [1_000]


def test_a_live_view_is_told_of_time_only_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now, marks, sink = [100.0], list[int](), Log("alerts/0")
    monkeypatch.setattr("dataflows.outlet.monotonic", lambda: now[0])
    outlet = Outlet([sink], Metrics(), marks.append, mark_every=0.25)
    for passed in range(10):
        now[0] = 100.0 + passed / 10
        outlet.mark(passed)
    assert marks == [0, 3, 6, 9]
    assert sink.told == [f"passed {passed}" for passed in range(10)]


def test_sinks_that_wait_are_named_with_the_reason() -> None:
    class Full(Kept):
        waiting = Waiting(since_ms=5, reason="the disk is full")

    assert Outlet([Kept(), Full()], Metrics()).waiting() == {"Full": (5, "the disk is full")}
