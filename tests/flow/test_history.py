"""A pass over history gives what a run over it gives, wherever it is cut."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from config.loader import load_settings
from dataflows.history import HistoryPass, HistoryPosition, moment_of, run_history
from dataflows.run import RunPlan, execute
from dataflows.summary import Summary
from events.records import AlertRecord, DeadLetterRecord, Record
from events.topics import OUTPUTS
from sinks.encoding import ENCODER
from sources.simulator import SimulationPlan, write

SETTINGS = load_settings()
FILES = {output.record: output.file for output in OUTPUTS}
DAY = 86_400_000
FAR = 2**60


@pytest.fixture(scope="module")
def trade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events of some days, with copies, late and bad ones."""
    directory = tmp_path_factory.mktemp("trade")
    write(SimulationPlan(orders=400, seed=7, duplicates=0.03, late=0.03, bad=0.02), SETTINGS, directory)
    return directory / "events"


@pytest.fixture(scope="module")
def live(trade: Path) -> tuple[Summary, list[bytes]]:
    """What the flow under Bytewax makes of them: its summary, all lines sorted."""
    output = trade.parent / "out"
    summary = execute(RunPlan(SETTINGS, [trade], output=output, serve=False))
    return summary, sorted(line for path in output.glob("*.ndjson") for line in path.read_bytes().splitlines())


def lines(records: Iterable[Record]) -> list[bytes]:
    return sorted(ENCODER.encode(record) for record in records if type(record) in FILES)


def dated(records: Iterable[Record], since: int, until: int) -> list[bytes]:
    """Those within a span, without what no time is known of."""
    kept = [each for each in records if not isinstance(each, DeadLetterRecord)]
    return lines(each for each in kept if since <= (moment_of(each) or 0) < until)


def test_a_pass_gives_the_lines_of_a_run_and_counts_alike(trade: Path, live: tuple[Summary, list[bytes]]) -> None:
    history = HistoryPass(SETTINGS, [trade])

    assert lines(history.records()) == live[1]
    summary = live[0]
    counted = (history.events, history.late, history.duplicates, history.watermark)
    assert counted == (summary.events, summary.late, summary.duplicates, summary.watermark)


def test_an_end_leaves_out_what_happens_from_then_on_and_nothing_else(trade: Path) -> None:
    whole = list(run_history(SETTINGS, [trade]))
    times = sorted(filter(None, map(moment_of, whole)))
    end = times[len(times) // 2]

    history = HistoryPass(SETTINGS, [trade], end=end)

    assert dated(history.records(), 0, end) == dated(whole, 0, end)
    assert history.watermark == end - 1


def test_nothing_is_read_that_an_end_does_not_need(tmp_path: Path) -> None:
    created = b'{"type":"order.created","id":"%d","source":"s","time":%d,"order_id":"O%d"}\n'
    text = b"".join(created % (number, 1_772_380_800_000 + number * 1000, number) for number in range(60_000))
    (tmp_path / "order-0.ndjson").write_bytes(text)

    history = HistoryPass(SETTINGS, [tmp_path], end=1_772_380_800_000 + 1_000_000)

    assert max(filter(None, map(moment_of, history.records()))) < 1_772_380_800_000 + 1_000_000
    assert history.events < 60_000


def test_time_goes_on_to_until_and_no_further(tmp_path: Path) -> None:
    created = b'{"type":"order.created","id":"1","source":"s","time":1772380800000,"order_id":"O"}\n'
    (tmp_path / "order-0.ndjson").write_bytes(created)

    history = HistoryPass(SETTINGS, [tmp_path], until=1_772_380_800_000 + DAY)
    alerts = [each for each in history.records() if isinstance(each, AlertRecord)]

    assert history.watermark == 1_772_380_800_000 + DAY
    assert {alert.rule for alert in alerts} == {"stage_timeout", "no_progress"}, "limits of the open order have run out"
    assert not [each for each in run_history(SETTINGS, [tmp_path]) if isinstance(each, AlertRecord)]


def test_after_a_warm_up_longer_than_any_order_lives_the_records_are_those_of_the_whole(
    trade: Path, tmp_path: Path
) -> None:
    for path in trade.iterdir():
        first = path.read_bytes()
        (tmp_path / path.name).write_bytes(first + _a_month_later(first))
    month = 1_772_380_800_000 + 30 * DAY
    whole = list(run_history(SETTINGS, [tmp_path]))

    warm = HistoryPass(SETTINGS, [tmp_path], start=month - 10 * DAY)

    assert dated(warm.records(), month, FAR) == dated(whole, month, FAR) != []
    assert warm.events <= sum(path.read_bytes().count(b"\n") for path in trade.iterdir())


def _a_month_later(events: bytes) -> bytes:
    """The same trade once more, with other orders."""
    moved = re.sub(rb'"time":(\d{13})', lambda match: b'"time":%d' % (int(match[1]) + 30 * DAY), events)
    return re.sub(rb'"(id|order_id)":"', rb'"\1":"again-', moved)


def test_whoever_wants_to_know_is_told_how_far_it_is(trade: Path) -> None:
    told: list[HistoryPosition] = []

    list(run_history(SETTINGS, [trade], on_progress=told.append))

    shares = [each.share for each in told if each.share is not None]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert [each.watermark for each in told] == sorted(each.watermark for each in told)
    assert told[-1].events == sum(path.read_bytes().count(b"\n") for path in trade.iterdir())
