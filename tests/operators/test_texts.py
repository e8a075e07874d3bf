"""Texts of alerts: both languages for all that can be said, and no hole in any of them."""

import re
from string import Formatter

import pytest

from config.checks import SIGNALS
from config.texts import Pair, load_texts
from events.records import AlertRecord
from tests.operators.timeline import SETTINGS, alerts, of_kind, play, settings

TEXTS = load_texts()
LEVELS = {
    "stage_timeout": {"reminder", "breach"},
    "order_timeout": {"reminder", "breach"},
    "no_progress": {"no_progress"},
    "illegal_transition": {"unknown", "backwards", "skipped"},
    "card_burst": {"burst", "same_amount"},
    "merge_candidate": {"candidate"},
    "resonance": {"orange", "lock"},
    "fallback_match": {"doubtful", "shipped"},
    "silence": {"silent", "no_orders", "missed_period"},
    "contract": {
        *("vanished", "unparsable", "unknown_status", "decrypt_failed", "time_offset"),
        *("new_field", "new_header", "scheme_changed"),
    },
}
OF_THE_PLATFORM = {
    "dead_letters": {"share", "consecutive"},
    "backlog": {"records", "delay"},
    "partition_unreachable": {"unreachable"},
    "partition_left_out": {"left_out"},
    "component_waiting": {"waiting"},
    "rule_refused": {"refused"},
}
OF_USERS = {"composite": {"alert", "review", "hold"}}  # tests/operators/test_composite.py
REMINDING = settings(
    contract={"learning": 20},
    stage_timeout={"reminder_lead": "2m"},
    order_timeout={"reminder_lead": "15m"},
    fallback={"enabled": True},
    silence={"enabled": True, "history": 1, "expected": 3, "jobs": {"push": {"period": "15m"}}},
)
RICH = [
    "9:00 created Z customer=D category=fresh",
    "9:01 created Y customer=D",
    "9:02 moved Y stage=teleported",
    "9:03 paid Y",
    "9:04 created Y",
    "9:05 packed Y",
    "9:06 beat - job=push",
    "9:07 counted - seen=100 version=1",
    "9:09 counted - lacking=20 unparsable=20 unknown_status=20 decrypt_failed=20 names=id,coupon",
    "9:09:15 counted - time_offset=20 headers=x-nonce version=2",
    "9:11 counted -",
    *(
        f"10:0{n} created O{n} customer=C address=home card=K ip=203.0.113.7 device=D phone=p amount=990"
        for n in range(6)
    ),
    "10:06:30 paid O0",
    "10:07 signal O1 signal=rating_threat",
    "10:08 chat O1 text='急用,不然差评'",
    "10:09 cancelled O2",
    "10:10 acknowledged order:O1 rule=resonance opened=10:08 operator=mei",
    "10:11 waybill O1 warehouse=W ms=100",
    "10:20 split O0 parcels=P,Q",
    "10:50 queued O0/P",
    "12:10 cancelled Y",
    "12:40 cancelled O0",
    "12:50 paid Z",
    "13:30 cancelled Z",
    *(f"13:31 created F{n} source=fallback phone=1390000111{n} items=cherry" for n in range(2)),
    *(f"13:32 moved F1 stage={stage}" for stage in ("paid", "queued", "accepted", "printed", "picked", "packed")),
    "13:33 moved F1 stage=collected",
    *(f"13:34 created M{n} phone=1390000111{n} items=cherry{',pear' * (1 - n)}" for n in range(2)),
    "13:35 created N0 phone=13900001110",
    "13:36 linked F0 main_order_id=N0",
    "13:37 counted -",
]


def test_every_rule_and_level_and_its_end_has_a_template() -> None:
    assert {rule: set(templates) - {"resolved"} for rule, templates in TEXTS.rules.items()} == (
        LEVELS | OF_THE_PLATFORM | OF_USERS
    )
    assert all("resolved" in templates for templates in TEXTS.rules.values())


def test_every_text_is_there_in_both_languages() -> None:
    pairs: list[Pair] = [
        TEXTS.acknowledged,
        *(
            pair
            for table in (TEXTS.reasons, TEXTS.kinds, TEXTS.signals, TEXTS.limits, *TEXTS.rules.values())
            for pair in table.values()
        ),
    ]
    for pair in pairs:
        assert re.search(r"[一-鿿]|IP|^ × ", pair.zh)
        assert pair.en
        assert not re.search(r"[一-鿿]", pair.en)


def test_both_languages_of_a_template_say_the_same_things() -> None:
    def named(text: str) -> set[str]:
        names = {name for _, name, _, _ in Formatter().parse(text) if name}
        return {name.removesuffix("_zh").removesuffix("_en") for name in names}

    for rule, templates in TEXTS.rules.items():
        for level, pair in templates.items():
            assert named(pair.zh) == named(pair.en), f"{rule}.{level}"


def test_signals_and_reasons_have_names() -> None:
    assert set(TEXTS.signals) == set(SIGNALS)
    ends = {alert.reason for alert in of_kind(AlertRecord, play(RICH, "+8d 14:00")) if alert.step == "resolved"}
    assert ends <= set(TEXTS.reasons)
    assert len(ends) >= 6


@pytest.fixture(scope="module")
def rich() -> list[AlertRecord]:
    """The steps of a day on which nearly everything goes wrong."""
    return of_kind(AlertRecord, play([*RICH, "+7d 9:30 created X"], "+8d 14:00", REMINDING))


def test_the_rich_day_has_every_rule_and_level(rich: list[AlertRecord]) -> None:
    found: dict[str, set[str]] = {rule: set() for rule in LEVELS}
    for alert in rich:
        found[alert.rule].add(alert.level)
    assert found == LEVELS


def test_no_template_leaves_a_hole_for_what_the_detectors_say(rich: list[AlertRecord]) -> None:
    for alert in rich:
        template = (
            TEXTS.acknowledged
            if alert.step == "acknowledged"
            else TEXTS.rules[alert.rule]["resolved" if alert.step == "resolved" else alert.level]
        )
        for pattern, text in ((template.zh, alert.text.zh), (template.en, alert.text.en)):
            assert re.fullmatch(_as_pattern(pattern), text), f"{alert.id}: {text!r} does not fill {pattern!r}"
            assert "None" not in text
            assert "{" not in text


def _as_pattern(template: str) -> str:
    parts = Formatter().parse(template)
    optional = ("because_zh", "because_en")  # how a limit came about is told where there is something to tell

    def filled(name: str | None) -> str:
        return ".*" if name in optional else r"\s*\S.*?" if name else ""

    return "".join(re.escape(literal) + filled(name) for literal, name, _, _ in parts)


def test_the_deadline_is_written_in_the_configured_zone() -> None:
    (late,) = alerts("stage_timeout", play(["10:00 created"], "10:06"))
    assert late.text.en == (
        "order A has stayed in 'created' beyond its limit of 5m (deadline 2026-05-10 10:05:00+08:00)"
    )
    assert late.text.zh == "订单 A 停留在「已下单」超过时限 5m(截止 2026-05-10 10:05:00+08:00)"


def test_a_long_list_of_orders_is_cut_with_their_number() -> None:
    lines = [f"10:00 created O{n:02d} ip=203.0.113.7" for n in range(12)]
    last = alerts("card_burst", play(lines, "10:00"))[-1]
    assert last.text.en.startswith("12 orders on one IP address within 10m: O00, O01")
    assert last.text.en.endswith("O09, ... (12)")


def test_amounts_are_written_in_yuan() -> None:
    (same, *_) = alerts("card_burst", play([f"10:0{n} created O{n} card=K amount=1205" for n in range(3)], "10:02"))
    assert "(12.05)" in same.text.en
    assert "每单 12.05 元" in same.text.zh


def test_every_stage_has_a_name_in_both_languages() -> None:
    assert all(stage.label_zh and stage.label_en for stage in SETTINGS.stages.values())
