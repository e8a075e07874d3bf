"""The outlet counts what it hands to the sinks, and what they refuse."""

from collections.abc import Sequence

import pytest

from dataflows.outlet import Outlet
from events.records import Record
from sinks.metrics import Metrics
from sinks.sink import SinkError
from tests.sinks.samples import DEAD_LETTER, DIFF, EVERY_KIND, HOLD, alert

DOWN = SinkError("Kafka at broker:9092", "no answer", "check that the broker is up")


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, records: Sequence[Record]) -> None:
        self.records += records

    def flush(self) -> None: ...

    def close(self) -> None: ...


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
