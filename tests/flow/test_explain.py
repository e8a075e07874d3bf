"""What explains an order is whole: watching changes nothing, and the chain alone gives the same alerts again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from config.loader import load_settings
from config.settings import Settings
from dataflows.explain import UnknownOrderError, explain
from dataflows.explain_chain import concerns, replayed_alone
from dataflows.explain_history import History
from dataflows.explain_scan import Found
from dataflows.memory import MemoryDriver
from events.batch import RawBatch
from events.explanation import AlertEntry, Explanation, HoldEntry
from events.model import AnyEvent, RulePublished
from events.records import Record
from operators.heart.component import Environment
from operators.topology import topology
from operators.trace.trace import Trace
from operators.trace.traced import traced
from tests.flow.test_live_rules import documents, with_documents
from tests.flow.test_properties import CHANCE, LOGS, SETTINGS, Logs, assert_same
from tests.support.flow import batch, run

OTHER_RULES = load_settings(
    overrides={
        "detectors": {
            "card_burst": {"any_amount": {"count": 2, "window": "5m"}, "judged_on": ["paid"]},
            "resonance": {"orange": 1, "lock": 1.5, "address_changes": 1, "payment_failures": 1, "print_sample": 1},
            "stage_timeout": {"reminder_lead": "2m"},
        }
    }
)
# What looks at other orders: limits from a shop's own history, composite rules with baselines, fallback orders.
TOGETHER = load_settings(
    Path(__file__).parents[2] / "config/examples/composite_rules.toml",
    overrides={
        "detectors": {"stage_timeout": {"history": {"enabled": True, "minimum": 1, "refresh": 1}}},
        "fallback": {"enabled": True, "source": "oms"},
        "feedback": {"enabled": True},
    },
)


class Logbook:
    """A reader of logs in memory."""

    missing: Mapping[str, str] = {}
    size: int | None = None
    done = 0

    def __init__(self, chosen: Logs) -> None:
        self._waiting = [batch(name, log, finished=True) for name, log in chosen.items()]
        self.partitions: Sequence[str] = tuple(chosen)

    @property
    def finished(self) -> bool:
        return not self._waiting

    def read(self, prefer: str | None) -> list[RawBatch]:
        return [self._waiting.pop(0)]

    def positions(self) -> dict[str, int]:
        return {}


class LoggedHistory(History):
    """A history of logs in memory."""

    def __init__(self, chosen: Logs, settings: Settings, until: int | None = None) -> None:
        super().__init__(settings, (), until=until)
        self._chosen = chosen

    @contextmanager
    def _open(self) -> Iterator[Any]:
        yield Logbook(self._chosen)


def orders_of(chosen: Logs) -> list[str]:
    """The orders that valid records name."""
    names = {getattr(event, "order_id", None) for log in chosen.values() for event, _ in log}
    return sorted(name for name in names if name is not None)


def watched(chosen: Logs, settings: Settings, order_id: str, groups: int) -> list[Record]:
    """All records of a run that somebody watches."""
    plan = topology(Environment(settings, groups))
    driver = MemoryDriver(traced(plan, Trace(order_id)), chosen)
    return driver.feed(*(batch(name, log, finished=True) for name, log in chosen.items()))


def about(records: Sequence[Record], order_id: str) -> list[bytes]:
    """The alert steps and holds of an order."""
    found = (record for record in records if concerns(record, order_id))
    return sorted(msgspec.json.encode(record, order="deterministic") for record in found)


def explained(chosen: Logs, settings: Settings, order_id: str) -> Explanation | None:
    """What is told of an order; None when nothing names it."""
    try:
        return explain(LoggedHistory(chosen, settings), settings, order_id)
    except UnknownOrderError:
        return None


def chain_alone(chosen: Logs, settings: Settings, told: Explanation) -> list[bytes]:
    """What the events of the chain give, taken from the logs by where they stand."""
    found = []
    for event in told.chain.events:
        assert event.position is not None
        record = chosen[event.partition][event.position][0]
        line = record if isinstance(record, bytes) else msgspec.json.encode(record)
        decoded: AnyEvent = msgspec.json.decode(line, type=AnyEvent)
        found.append(Found("", "", event.at, decoded, line, event.partition, event.position))
    assert told.read.until is not None
    return about(replayed_alone(Environment(settings, 8), found, told.read.until), told.order_id)


@given(LOGS, st.sampled_from(("O1", "O2", "O7")), st.sampled_from((1, 8)))
def test_watching_changes_nothing(chosen: Logs, order_id: str, groups: int) -> None:
    assert_same(watched(chosen, SETTINGS, order_id, groups), run(chosen, SETTINGS))


@given(LOGS, st.sampled_from((SETTINGS, OTHER_RULES, TOGETHER)), CHANCE)
def test_the_chain_of_events_alone_gives_the_same_alerts(chosen: Logs, settings: Settings, chance: Any) -> None:
    assert_chains(chosen, settings, chance)


@given(LOGS, documents(), CHANCE)
def test_rule_documents_are_part_of_the_chain(chosen: Logs, told: list[RulePublished], chance: Any) -> None:
    assert_chains(with_documents(chosen, told, chance), SETTINGS, chance)


def assert_chains(chosen: Logs, settings: Settings, chance: Any) -> None:
    """The chains of a few orders are proven, and give what a plain run gives."""
    expected = run(chosen, settings)
    for order_id in chance.sample(orders_of(chosen), k=min(3, len(orders_of(chosen)))):
        told = explained(chosen, settings, order_id)
        if told is None:  # whatever names it is a dead letter
            assert about(expected, order_id) == []
            continue
        assert told.chain.proven
        assert chain_alone(chosen, settings, told) == about(expected, order_id)


@given(LOGS, CHANCE)
def test_every_alert_and_hold_of_the_order_is_in_its_timeline(chosen: Logs, chance: Any) -> None:
    expected = run(chosen, SETTINGS)
    order_id = chance.choice(orders_of(chosen) or ["O1"])
    told = explained(chosen, SETTINGS, order_id)
    if told is None:
        return
    records = [entry.record for entry in told.timeline if isinstance(entry, AlertEntry | HoldEntry)]
    assert about(records, order_id) == about(expected, order_id)
    assert len(records) == len(about(expected, order_id))
    assert [entry.at for entry in told.timeline] == sorted(entry.at for entry in told.timeline)
