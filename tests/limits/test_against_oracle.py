"""Limits that adapt give what docs/limits.md says, and depend on the events alone."""

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from config.loader import load_settings
from config.settings import Settings
from dataflows.memory import MemorySnapshot
from events.model import AnyEvent, OrderChanged, OrderCreated
from tests.flow.test_against_oracle import assert_equal
from tests.flow.test_properties import CHANCE, Logs, assert_same, fed, portions
from tests.oracle.generate import BASE, Log, logs
from tests.oracle.lateness import applied
from tests.support.flow import batch, driver, run

HOUR = 3_600_000
OFFICE = {"holidays": "china", "weekend": ["sun"], "times": ["09:00/18:00", "22:00/02:00"]}
CALENDAR_WISE: dict[str, Any] = {
    "calendars": {"office": OFFICE},
    "detectors": {
        "stage_timeout": {
            "calendar": "china",
            "calendars": {"paid": "office", "queued": ""},
            "reminder_lead": "2m",
            "hours": {
                "night": {"times": ["23:00/01:00"], "extra": "10m"},
                "late": {"times": ["23:30/24:00"], "extra": "1h", "stages": ["created", "accepted"]},
            },
            "seasons": {
                "peak": {"dates": ["06-01/06-20"], "factor": 1.333},
                "year": {"dates": ["03-01/02-28"], "factor": 0.9},
            },
        },
        "order_timeout": {
            "calendar": "office",
            "reminder_lead": "20m",
            "hours": {"night": {"times": ["22:00/06:00"], "extra": "30m"}},
            "seasons": {"peak": {"dates": ["06-01/06-20"], "factor": 2}},
        },
    },
}
HISTORY: dict[str, Any] = {"enabled": True, "minimum": 1, "sample": 3, "refresh": 2, "factor": 1.1, "quantile": 0.6}
FOLLOWING: dict[str, Any] = {
    "detectors": {
        "stage_timeout": {"history": HISTORY, "reminder_lead": "1m", "promised_for": ["fresh"]},
        "no_progress": {"enabled": False},
    }
}
BOTH: dict[str, Any] = {
    **CALENDAR_WISE,
    "detectors": {
        "stage_timeout": {
            **CALENDAR_WISE["detectors"]["stage_timeout"],
            "history": {**HISTORY, "stages": ["created", "paid"]},
            "by_category": {"fresh": {"created": "3m", "paid": "10m"}},
            "promised_for": ["*"],
        },
        "no_progress": {"enabled": False},
    },
}
PROMISED: dict[str, Any] = {"detectors": {"stage_timeout": {"promised_for": ["*"]}, "no_progress": {"enabled": False}}}


def rules(overrides: dict[str, Any]) -> tuple[Settings, st.SearchStrategy[Logs]]:
    settings = load_settings(overrides=overrides)
    return settings, logs(settings)


RULES = [rules(each) for each in (CALENDAR_WISE, FOLLOWING, BOTH, PROMISED)]
NAMES = ["calendar", "history", "both", "promised"]


def with_promises(drawn: Mapping[str, Log], chance: Random) -> dict[str, Log]:
    """Some orders are promised, and some promises move; copies of an event stay copies."""
    moments: dict[str, int | None] = {}

    def promise(event: AnyEvent) -> int | None:
        choice = chance.choice((None, 0, 0, 1, HOUR, 30 * 60_000, 3 * HOUR, 24 * HOUR))
        return moments.setdefault(f"{event.source}/{event.id}", None if choice is None else BASE + choice)

    def told(event: bytes | AnyEvent) -> bytes | AnyEvent:
        if isinstance(event, OrderCreated):
            return msgspec.structs.replace(event, promised_at=promise(event))
        if isinstance(event, OrderChanged) and event.fields.promised_at is UNSET:
            return msgspec.structs.replace(
                event, fields=msgspec.structs.replace(event.fields, promised_at=promise(event))
            )
        return event

    return {name: [(told(event), arrival) for event, arrival in log] for name, log in drawn.items()}


@pytest.mark.parametrize(("settings", "of_these"), RULES, ids=NAMES)
@given(data=st.data(), chance=CHANCE)
def test_nasty_little_logs_give_what_the_page_says(
    settings: Settings, of_these: st.SearchStrategy[Logs], data: st.DataObject, chance: Random
) -> None:
    chosen = with_promises(data.draw(of_these), chance)
    events, _, end = applied(chosen, settings.time)
    assert_equal(run(chosen, settings), events, settings, end)


@pytest.mark.parametrize(("settings", "of_these"), RULES, ids=NAMES)
@given(data=st.data(), groups=st.sampled_from((1, 3, 8)), chance=CHANCE)
def test_batches_key_groups_and_restarts_do_not_matter(
    settings: Settings, of_these: st.SearchStrategy[Logs], data: st.DataObject, groups: int, chance: Random
) -> None:
    chosen = with_promises(data.draw(of_these), chance)
    batches = portions(chosen, chance)
    cut = chance.randint(0, len(batches))
    flow = driver(settings, chosen, groups, live_cells=chance.choice((1, 1_000)))
    records = fed(flow, batches[:cut], chance)
    ended = [name for name, clock in flow.intake.router.clocks.items() if clock.finished]
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(flow.snapshot()), type=MemorySnapshot)
    flow = driver(settings, chosen, groups)
    flow.restore(stored)
    records += flow.feed(*(batch(name, (), finished=True) for name in ended))
    records += fed(flow, batches[cut:], chance)
    assert_same(records, run(chosen, settings, 8))
