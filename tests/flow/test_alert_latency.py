"""The latency of alerts has four parts that add up, is counted once per write, and costs runs over history nothing."""

from collections.abc import Sequence

import pytest

from config.loader import load_settings
from dataflows.alert_latency import AlertLatency
from dataflows.outlet import Outlet
from dataflows.run import KAFKA, RunPlan, is_live
from events.batch import RawBatch
from events.records import Record
from sinks.metrics import Metrics
from tests.flow.test_outlet import Kept, value
from tests.sinks.samples import DEAD_LETTER, NOON, alert

LATENCY, PART = "orderpulse_alert_latency_seconds", "orderpulse_alert_latency_part_seconds"


class Slow(Kept):
    """A sink that acknowledges when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged = 0

    def progress(self) -> tuple[int, int]:
        return len(self.records), self.acknowledged


class Stand:
    """A source and an outlet with one slow sink; the clock stands until it is pushed."""

    def __init__(self) -> None:
        self.now = NOON
        self.metrics, self.sink = Metrics(), Slow()
        self.latency = AlertLatency(self.metrics, lambda: self.now, [self.sink])
        self.outlet = Outlet([self.sink], self.metrics, latency=self.latency)

    def read(self, watermark: int, *arrivals: int, end_confirmed_at: int = 0) -> None:
        lines, positions = [b"{}"] * len(arrivals), range(len(arrivals))
        batch = RawBatch("orders/0", "orders", lines, positions, arrivals or None, end_confirmed_at=end_confirmed_at)
        self.latency.read(batch)
        self.latency.told(watermark)

    def write(self, *records: Record) -> None:
        self.outlet.write(records)

    def acknowledge(self) -> None:
        self.sink.acknowledged = len(self.sink.records)
        self.latency.look()

    def counted(self) -> float | None:
        return value(self.metrics, f"{LATENCY}_count")

    def seconds(self) -> dict[str, float | None]:
        named = {part: f'{PART}_sum{{part="{part}"}}' for part in ("time", "read", "stages", "sinks")}
        sums = {part: value(self.metrics, name) for part, name in named.items()}
        return {**sums, "all": value(self.metrics, f"{LATENCY}_sum")}


def test_the_parts_are_those_of_the_way_from_the_moment_to_the_last_acknowledgement() -> None:
    stand = Stand()
    stand.now = NOON + 10_030
    stand.read(NOON, NOON + 9_990, NOON + 10_010)
    stand.now += 5
    stand.write(alert(time=NOON))
    stand.now += 40
    stand.acknowledge()
    parts = {"time": 10.01, "read": 0.02, "stages": 0.005, "sinks": 0.04}
    assert stand.seconds() == pytest.approx({**parts, "all": 0.065})


def test_nothing_is_counted_before_the_slowest_sink_has_acknowledged() -> None:
    stand = Stand()
    stand.read(NOON, NOON)
    stand.write(alert(time=NOON))
    stand.latency.look()
    assert stand.counted() == 0
    stand.acknowledge()
    stand.latency.look()
    assert stand.counted() == 1


def test_a_write_counts_once_by_its_earliest_alert_and_one_without_alerts_not_at_all() -> None:
    stand = Stand()
    stand.read(NOON + 5_000, NOON + 15_000)
    stand.write(alert(time=NOON + 4_000), DEAD_LETTER, alert(time=NOON + 1_000))
    stand.write(DEAD_LETTER)
    stand.acknowledge()
    assert stand.counted() == 1
    assert stand.seconds()["time"] == pytest.approx(14)


def test_an_alert_is_owed_to_the_first_record_that_let_time_pass_it() -> None:
    stand = Stand()
    for step in range(5):
        stand.read(NOON + step * 100, NOON + 10_000 + step * 100)
    stand.read(NOON + 400, NOON + 99_999)  # moved nothing
    stand.write(alert(time=NOON + 150))
    stand.acknowledge()
    assert stand.seconds()["time"] == pytest.approx(10.05)


def test_in_silence_it_is_owed_to_the_confirmed_end_of_the_log() -> None:
    stand = Stand()
    stand.read(NOON, end_confirmed_at=NOON + 30_000)
    stand.write(alert(time=NOON))
    stand.acknowledge()
    assert stand.seconds()["time"] == pytest.approx(30)


def test_steps_that_everything_was_written_of_are_forgotten() -> None:
    stand = Stand()
    for step in range(5):
        stand.read(NOON + step, NOON + step)
    stand.outlet.mark(NOON + 3)
    assert len(stand.latency._steps) == 1


def test_an_alert_about_the_flow_itself_waited_for_no_time_and_does_not_count() -> None:
    stand = Stand()
    stand.read(NOON, NOON)
    stand.write(alert(time=NOON + 10_000))
    stand.acknowledge()
    assert stand.counted() == 0


def test_a_producer_whose_clock_is_ahead_makes_no_part_negative() -> None:
    stand = Stand()
    stand.read(NOON, NOON + 500)
    stand.write(alert(time=NOON))
    stand.acknowledge()
    assert stand.seconds()["read"] == 0


@pytest.mark.parametrize(
    ("inputs", "bounded", "arrival", "live"),
    [
        (KAFKA, False, "record", True),
        (KAFKA, True, "record", False),
        (KAFKA, False, "ignore", False),
        ([], False, "record", False),
    ],
)
def test_only_what_is_read_as_it_is_appended_counts(
    inputs: Sequence[str], bounded: bool, arrival: str, live: bool
) -> None:
    settings = load_settings(overrides={"time": {"arrival": arrival}})
    assert is_live(RunPlan(settings, inputs, bounded=bounded)) is live  # type: ignore[arg-type]
