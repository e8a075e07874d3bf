"""What rules say they saw: the nearest that each came to its threshold, whoever asks afterwards."""

from collections.abc import Sequence

import pytest

from config.settings import Settings
from dataflows.explain_history import look_at_the_end
from dataflows.memory import MemoryDriver
from events.explanation import LookEntry, Nearest, RuleEntry
from events.model import AnyEvent, ContractCounted
from operators.contracts.contract import Contract
from operators.detectors.silence import Silence
from operators.detectors.silence_counts import LINE
from operators.heart.component import Context, Environment
from operators.heart.messages import JobRun
from operators.topology import topology
from operators.trace.trace import Trace
from operators.trace.traced import traced
from tests.operators.timeline import HASH_KEY, SETTINGS, at, clock, event, settings
from tests.support.flow import batch
from tests.support.rules import document

SAME = "customer=C card=9 amount=9900"
FALLBACK = settings(fallback={"enabled": True})
SILENCE = settings(silence={"enabled": True, "jobs": {"push": {"period": "15m"}}})


def watched(lines: Sequence[str], until: str | None = None, rules: Settings = SETTINGS, order: str = "A") -> Trace:
    """What was written down of an order on a day."""
    return watched_events([event(line, number) for number, line in enumerate(lines)], until, rules, order)


def watched_events(
    told: Sequence[AnyEvent], until: str | None = None, rules: Settings = SETTINGS, order: str = "A"
) -> Trace:
    """The same of events."""
    trace = Trace(order)
    plan = traced(topology(Environment(rules, 4, HASH_KEY)), trace)
    flow = MemoryDriver(plan, ["day"], until=None if until is None else at(until))
    flow.feed(batch("day", [(each, None) for each in told], finished=True))
    look_at_the_end(flow, flow.intake.watermark)
    return trace


def nearest(
    rule: str, lines: Sequence[str], until: str | None = None, rules: Settings = SETTINGS, order: str = "A"
) -> list[str]:
    """`created 4m of 5m at 10:04 kept` for each subject of a rule, the nearest first."""
    found = [each for each in watched(lines, until, rules, order).nearest.values() if each.look.rule == rule]
    return [_said(each) for each in sorted(found, key=lambda each: (-each.look.share, each.look.subject))]


def _said(each: Nearest) -> str:
    look = each.look
    unit = 60_000 if look.unit == "ms" else 1
    state = ("met" if each.met else "kept") + (" open" if each.open else "")
    return f"{look.subject} {look.value // unit} of {look.threshold // unit} at {clock(each.at)} {state}"


@pytest.mark.parametrize(
    ("rule", "lines", "until", "expected"),
    [
        ("stage_timeout", ["10:00 created", "10:04 paid"], "10:10",
         ["created 4 of 5 at 10:04 kept", "paid 6 of 30 at 10:10 kept open"]),
        ("stage_timeout", ["10:00 created", "10:07 paid"], "10:08",
         ["created 7 of 5 at 10:07 met", "paid 1 of 30 at 10:08 kept open"]),
        ("stage_timeout",
         ["10:00 created", "10:01 paid", "10:02 queued", "10:03 split parcels=P,Q", "10:20 accepted A/P"],
         "10:20", ["queued/P 18 of 30 at 10:20 kept", "queued/Q 18 of 30 at 10:20 kept open",
                   "created 1 of 5 at 10:01 kept", "paid 1 of 30 at 10:02 kept", "queued 1 of 30 at 10:03 kept",
                   "accepted/P 0 of 60 at 10:20 kept open"]),
        ("order_timeout", ["10:00 created", "10:04 paid", "10:20 queued"], "11:04",
         ["handling 60 of 120 at 11:04 kept open"]),
        ("order_timeout", ["10:00 created", "10:04 cancelled"], "11:04", []),
        ("no_progress", ["10:00 created", "10:04 paid"], "11:04",
         ["paid 60 of 120 at 11:04 kept open", "created 4 of 120 at 10:04 kept"]),
        ("illegal_transition", ["10:00 created", "10:04 packed", "10:05 packed"], "10:10",
         ["created -> packed 2 of 1 at 10:05 met open"]),
        ("card_burst", ["10:00 created A card=9", "10:05 created B card=9", "10:10:00.001 created D card=9"], "10:30",
         ["any_amount 2 of 5 at 10:05 kept"]),
        ("card_burst", [f"10:00 created A {SAME}", f"10:05 created B {SAME}", f"10:10 created D {SAME}"], "10:30",
         ["same_amount/9900 3 of 3 at 10:10 met", "any_amount 3 of 5 at 10:10 kept"]),
        ("merge_candidate", ["10:00 created A customer=C address=home"], "10:30", ["1 of 2 at 10:00 kept open"]),
        ("merge_candidate", ["10:00 created A customer=C address=home", "10:20 created B customer=C address=home"],
         "10:30", ["2 of 2 at 10:20 met open"]),
        ("resonance", ["10:00 created", "10:01 signal signal=stock_drop value=30", "10:10 signal signal=rating_threat"],
         "11:00", ["orange 2300 of 2500 at 10:10 kept", "lock 2300 of 4000 at 10:10 kept"]),
        ("resonance", ["10:00 created", "10:01 failed"], "10:02", ["payment_failures 1 of 2 at 10:01 kept open"]),
        ("resonance", ["10:00 created A customer=C", "10:01 changed A by=C address=work"], "10:02",
         ["address_changed 1 of 2 at 10:01 kept"]),
        ("resonance", ["10:00 created A warehouse=W", "10:01 waybill A ms=900"], "10:02",
         ["waybill_sample 1 of 20 at 10:01 kept"]),
    ],
)  # fmt: skip
def test_the_nearest_that_a_rule_came(rule: str, lines: list[str], until: str, expected: list[str]) -> None:
    found = nearest(rule, lines, until)
    if rule == "merge_candidate":  # its subject is the key of the address
        found = [line.partition(" ")[2] for line in found]
    assert found == expected


def test_doubles_of_a_fallback_order_are_told() -> None:
    lines = [
        "10:00 created A source=fallback phone=13800001234 items=tea",
        "12:00 created B phone=13800001234 items=tea,tea",
    ]
    assert nearest("fallback_match", lines, "13:00", FALLBACK) == ["doubles 1 of 1 at 12:00 met open"]


def test_silence_says_how_long_a_job_has_not_run() -> None:
    context = Context(Environment(SILENCE, 1), "entities")
    context.arm = lambda key, due: None
    silence = Silence(context)
    silence.on_run(JobRun(at("10:00"), "jobs", LINE, "push", None, "1"), at("10:00"))
    (look,) = silence.explain(LINE, at("10:10"))
    assert (look.subject, look.value, look.threshold) == ("job/push", 600_000, 1_200_000)


def test_an_order_is_in_a_window_only_as_long_as_it_is_in_it() -> None:
    lines = ["10:00 created A card=9", "10:06 created B card=9", "10:12 created D card=9", "10:13 created E card=9"]
    looks = [entry for entry in watched(lines, "10:30").timeline() if isinstance(entry, LookEntry)]
    of_the_card = [entry for entry in looks if entry.key == "card:9"]
    assert [(clock(entry.at), entry.change, entry.look.value) for entry in of_the_card] == [
        ("10:00", "began", 1),
        ("10:06", "changed", 2),
        ("10:10", "ended", 2),
    ]


def test_what_another_order_alone_does_is_not_told() -> None:
    lines = ["10:00 created A card=9", "10:30 created B card=8", "10:31 paid B", "10:40 created D card=9"]
    trace = watched(lines, "11:00")
    assert {entry.at for entry in trace.timeline() if entry.key == "B"} == set()
    assert max(each.look.value for each in trace.nearest.values() if each.look.rule == "card_burst") == 1


def test_a_rule_document_is_told_when_it_takes_effect_and_judges_from_then_on() -> None:
    change = document("stage_timeout", 2, at("9:00"), at("10:02"), norms={"paid": "10m"})
    told = [change, event("10:00 created", 1), event("10:03 paid", 2)]
    trace = watched_events(told, "10:04")
    changes = [entry for entry in trace.timeline() if isinstance(entry, RuleEntry)]
    assert [(clock(entry.at), entry.rule, entry.version) for entry in changes] == [("10:02", "stage_timeout", 2)]
    limits = {
        each.look.subject: each.look.threshold for each in trace.nearest.values() if each.look.rule == "stage_timeout"
    }
    assert limits == {"created": 300_000, "paid": 600_000}


def test_a_contract_says_which_share_of_a_field_deviates() -> None:
    contract = Contract(Context(Environment(SETTINGS, 1), "entities"))
    contract.context.arm = lambda key, due: None
    counted = event("10:00 counted - seen=20 lacking=5", 1)
    assert isinstance(counted, ContractCounted)
    contract.on_counted(counted, counted.time)
    contract.on_timer("source:pay", counted.time + 1)
    looks = {look.subject: (look.value, look.threshold) for look in contract.explain("source:pay", counted.time)}
    assert looks == {"no/lacking": (250, int(SETTINGS.detectors.contract.limits.vanished))}


def test_a_condition_that_is_met_is_no_alert() -> None:
    lines = ["10:00 created A customer=C", *(f"10:0{minute} changed A by=C address=work" for minute in (1, 2))]
    found = watched(lines, "10:05").nearest.values()
    (changes,) = (each for each in found if each.look.subject == "address_changed")
    assert changes.met
    assert changes.look.condition
