"""The oracle itself, against timelines computed by hand."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import count
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.strategies import randoms

from config.loader import load_settings
from config.settings import Settings
from events.model import (
    Address,
    AnyEvent,
    BehaviourChat,
    BehaviourSignal,
    LogisticsScan,
    OrderChanged,
    OrderCreated,
    OrderFields,
    OrderSplit,
    OrderStage,
    PaymentFailed,
    PaymentSucceeded,
    ReviewConfirmed,
    ReviewReleased,
    SystemStatus,
    WaybillPrinted,
)
from tests.oracle import AppliedEvent, expected_alerts, expected_holds
from tests.oracle.generate import event_sets, logs
from tests.oracle.lateness import applied
from tests.oracle.ordering import in_order, name_of

SETTINGS = load_settings()
CHINA = timezone(timedelta(hours=8))
_ids = count(1)


def at(clock: str) -> int:
    """``9:05``, ``9:05:00.001``, ``+1 9:05`` (a day later) on 10 May 2026 in Shanghai, which is in no season."""
    days, _, time = clock.rpartition(" ")
    parts = time.split(":")
    moment = datetime(2026, 5, 10, tzinfo=CHINA).timestamp() * 1000
    milliseconds = sum(round(float(part) * unit) for part, unit in zip(parts, (3_600_000, 60_000, 1000), strict=False))
    return round(moment) + int(days or 0) * 86_400_000 + milliseconds


def clock(time: int) -> str:
    """The reverse of ``at``, without zeros that say nothing."""
    days, rest = divmod(time - at("0:00"), 86_400_000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds = f":{rest / 1000:06.3f}".removesuffix(".000") if rest else ""
    return (f"+{days} " if days else "") + f"{hours}:{minutes:02d}" + seconds


def named(time: str, source: str) -> dict[str, object]:
    return {"id": f"{next(_ids):06d}", "source": source, "time": at(time)}


def created(time: str, order_id: str = "A", **details: object) -> OrderCreated:
    return OrderCreated(**named(time, "oms"), order_id=order_id, **details)  # type: ignore[arg-type]


def stage(time: str, name: str, order_id: str = "A", parcel: str | None = None) -> OrderStage:
    return OrderStage(**named(time, "wms"), order_id=order_id, stage=name, parcel_id=parcel)  # type: ignore[arg-type]


def paid(time: str, order_id: str = "A", card: str | None = None) -> PaymentSucceeded:
    return PaymentSucceeded(**named(time, "pay"), order_id=order_id, card=card)  # type: ignore[arg-type]


def failed(time: str, order_id: str = "A") -> PaymentFailed:
    return PaymentFailed(**named(time, "pay"), order_id=order_id)  # type: ignore[arg-type]


def split(time: str, *parcels: str) -> OrderSplit:
    return OrderSplit(**named(time, "wms"), order_id="A", parcels=parcels)  # type: ignore[arg-type]


def scan(time: str, word: str, parcel: str | None = None) -> LogisticsScan:
    return LogisticsScan(**named(time, "tms"), order_id="A", scan=word, parcel_id=parcel)  # type: ignore[arg-type]


def status(time: str, word: str, system: str = "oms") -> SystemStatus:
    return SystemStatus(**named(time, system), order_id="A", system=system, status=word)  # type: ignore[arg-type]


def changed(time: str, order_id: str = "A", by: str | None = None, **fields: object) -> OrderChanged:
    new = OrderFields(**fields)  # type: ignore[arg-type]
    return OrderChanged(**named(time, "oms"), order_id=order_id, fields=new, customer_id=by)  # type: ignore[arg-type]


def signal(time: str, name: str, order_id: str | None = "A", **more: object) -> BehaviourSignal:
    return BehaviourSignal(**named(time, "probe"), signal=name, order_id=order_id, **more)  # type: ignore[arg-type]


def chat(time: str, text: str, order_id: str | None = "A", customer: str | None = None) -> BehaviourChat:
    return BehaviourChat(**named(time, "crm"), text=text, order_id=order_id, customer_id=customer)  # type: ignore[arg-type]


def printed(time: str, duration: int, order_id: str = "B") -> WaybillPrinted:
    return WaybillPrinted(**named(time, "print"), order_id=order_id, duration_ms=duration, warehouse_id="W")  # type: ignore[arg-type]


def on_time(events: Sequence[AnyEvent]) -> list[AppliedEvent]:
    return [AppliedEvent(event, event.time) for event in events]


def alerts(
    rule: str, *events: AnyEvent, until: str = "23:00", settings: Settings = SETTINGS, entity: str | None = None
) -> list[str]:
    """The rule's steps, one line each: time, step, level, reason, entity where it is not order A."""
    steps = expected_alerts(on_time(events), settings, at(until))
    return [
        " ".join(
            [
                clock(step.time),
                step.step,
                step.level,
                *([step.reason] if step.reason else []),
                *([] if step.entity_id == "A" else [step.entity_id]),
            ]
        )
        for step in steps
        if step.rule == rule and entity in (None, step.entity_type)
    ]


def orders(rule: str, *events: AnyEvent, until: str = "23:00", entity: str | None = None) -> list[tuple[str, ...]]:
    steps = expected_alerts(on_time(events), SETTINGS, at(until))
    return [step.orders for step in steps if step.rule == rule and entity in (None, step.entity_type)]


def with_detectors(**detectors: object) -> Settings:
    return load_settings(overrides={"detectors": detectors})


# stage_timeout


def test_an_unpaid_order_breaches_at_its_limit_and_resolves_when_it_is_paid() -> None:
    assert alerts("stage_timeout", created("10:00"), paid("10:06"), until="10:20") == [
        "10:05 opened breach",
        "10:06 resolved breach paid_late",
    ]


@pytest.mark.parametrize(
    ("when", "steps"),
    [
        ("10:04:59.999", []),
        ("10:05", []),
        ("10:05:00.001", ["10:05 opened breach", "10:05:00.001 resolved breach paid_late"]),
    ],
)
def test_what_happens_exactly_at_the_deadline_is_in_time(when: str, steps: list[str]) -> None:
    assert alerts("stage_timeout", created("10:00"), paid(when), until="10:20") == steps


def test_a_deadline_after_the_last_event_time_does_not_fire() -> None:
    assert alerts("stage_timeout", created("10:00"), until="10:04:59.999") == []
    assert alerts("stage_timeout", created("10:00"), until="10:05") == ["10:05 opened breach"]


def test_a_cancelled_order_resolves_with_the_reason_cancelled() -> None:
    assert alerts("stage_timeout", created("10:00"), stage("10:07", "cancelled")) == [
        "10:05 opened breach",
        "10:07 resolved breach cancelled",
    ]


def test_each_stay_in_a_stage_has_an_alert_of_its_own() -> None:
    events = (created("10:00"), paid("10:01"), stage("10:40", "queued"))
    assert alerts("stage_timeout", *events, until="11:15") == [
        "10:31 opened breach",
        "10:40 resolved breach moved_on",
        "11:10 opened breach",
    ]


def test_a_reminder_opens_the_alert_and_the_deadline_updates_it() -> None:
    settings = with_detectors(stage_timeout={"reminder_lead": "2m"})
    assert alerts("stage_timeout", created("10:00"), paid("10:06"), until="10:20", settings=settings) == [
        "10:03 opened reminder",
        "10:05 updated breach",
        "10:06 resolved breach paid_late",
    ]
    assert alerts("stage_timeout", created("10:00"), paid("10:05"), until="10:20", settings=settings) == [
        "10:03 opened reminder",
        "10:05 resolved reminder paid_late",
    ]


def test_a_reminder_as_long_as_the_limit_is_none() -> None:
    settings = with_detectors(stage_timeout={"reminder_lead": "5m"})
    assert alerts("stage_timeout", created("10:00"), until="10:20", settings=settings) == ["10:05 opened breach"]


def test_a_category_has_limits_of_its_own_and_the_factor_stretches_all() -> None:
    settings = with_detectors(stage_timeout={"factor": 1.5, "by_category": {"fresh": {"created": "1m"}}})
    fresh = alerts("stage_timeout", created("10:00", category="fresh"), until="10:20", settings=settings)
    usual = alerts("stage_timeout", created("10:00"), until="10:20", settings=settings)
    assert (fresh, usual) == (["10:01:30 opened breach"], ["10:07:30 opened breach"])


def test_the_parcels_of_a_split_take_over_the_clock() -> None:
    events = (created("10:00"), paid("10:01"), split("10:10", "P", "Q"), stage("10:20", "queued", parcel="P"))
    assert alerts("stage_timeout", *events, until="10:45") == ["10:31 opened breach A/Q"]


def test_a_split_ends_the_alert_of_the_order_and_late_parcels_open_their_own() -> None:
    events = (created("10:00"), paid("10:01"), split("10:40", "P", "Q"), stage("10:50", "queued", parcel="P"))
    assert sorted(alerts("stage_timeout", *events, until="11:00")) == [
        "10:31 opened breach",
        "10:40 opened breach A/P",
        "10:40 opened breach A/Q",
        "10:40 resolved breach split",
        "10:50 resolved breach moved_on A/P",
    ]


def test_the_second_parcel_named_starts_where_the_order_stood_before_the_first_was_named() -> None:
    events = (
        created("10:00"),
        paid("10:01"),
        stage("10:10", "queued", parcel="P"),
        stage("10:20", "queued", parcel="Q"),
    )
    assert alerts("stage_timeout", *events, until="10:45") == ["10:40 opened breach A/P"]
    waiting = (*events[:3], scan("10:20", "seen", parcel="Q"))
    assert alerts("stage_timeout", *waiting, until="10:35") == ["10:31 opened breach A/Q"]


def test_a_parcel_named_after_a_split_starts_where_the_order_stood_at_the_split() -> None:
    events = (
        created("10:00"),
        paid("10:01"),
        split("10:05", "P", "Q"),
        stage("10:06", "queued"),
        scan("10:20", "seen", parcel="R"),
    )
    assert alerts("stage_timeout", *events, until="10:35") == ["10:31 opened breach A/R"]


# order_timeout


def test_a_paid_order_must_be_handled_within_the_limit() -> None:
    events = (created("10:00"), paid("10:01"), stage("10:10", "queued"), stage("12:30", "accepted"))
    assert alerts("order_timeout", *events) == ["12:01 opened breach", "12:30 resolved breach moved_on"]


def test_fresh_goods_must_be_handled_sooner() -> None:
    events = (created("10:00", category="fresh"), paid("10:01"), stage("10:31", "cancelled"))
    assert alerts("order_timeout", *events) == []
    assert alerts("order_timeout", *events[:2], stage("10:32", "cancelled")) == [
        "10:31 opened breach",
        "10:32 resolved breach cancelled",
    ]


# no_progress


def test_an_order_without_progress_is_flagged_after_the_longer_of_floor_and_limit() -> None:
    assert alerts("no_progress", created("10:00"), stage("12:30", "cancelled")) == [
        "12:00 opened no_progress",
        "12:30 resolved no_progress cancelled",
    ]
    packed = [stage("10:00", name) for name in ("queued", "accepted", "printed", "picked", "packed")]
    assert alerts("no_progress", created("9:00"), paid("9:00"), *packed, until="14:00") == ["14:00 opened no_progress"]


def test_a_move_exactly_at_the_deadline_is_progress() -> None:
    assert alerts("no_progress", created("10:00"), paid("12:00"), until="13:59") == []


def test_only_a_status_that_is_new_for_its_system_is_progress() -> None:
    events = (created("10:00"), status("11:00", "NEW"), status("12:00", "NEW"), status("13:30", "SEEN"))
    assert alerts("no_progress", *events, until="15:00") == [
        "13:00 opened no_progress",
        "13:30 resolved no_progress moved_on",
    ]


# illegal_transition


def test_a_skipped_stage_is_flagged_and_caught_up_with() -> None:
    events = (created("10:00"), stage("10:01", "queued"), paid("10:02"), stage("10:03", "accepted"))
    assert alerts("illegal_transition", *events) == ["10:01 opened skipped", "10:02 resolved skipped moved_on"]
    assert alerts("stage_timeout", *events, until="11:02") == []


def test_illegal_moves_update_the_alert_until_the_order_moves() -> None:
    events = (
        created("10:00"),
        paid("10:01"),
        created("10:02"),
        stage("10:03", "nowhere"),
        paid("10:04"),
        stage("10:05", "packed"),
        stage("10:06", "cancelled"),
    )
    assert alerts("illegal_transition", *events) == [
        "10:02 opened backwards",
        "10:03 updated unknown",
        "10:05 updated skipped",
        "10:06 resolved skipped cancelled",
    ]


def test_a_closed_order_is_forgotten_with_its_illegal_moves() -> None:
    events = (created("10:00"), stage("10:01", "cancelled"), paid("10:02"))
    assert alerts("illegal_transition", *events, until="+7 10:01") == [
        "10:02 opened backwards",
        "+7 10:01 resolved backwards forgotten",
    ]


def test_an_order_that_never_began_is_forgotten_a_retention_after_its_last_event_and_chat_does_not_count() -> None:
    events = (stage("10:00", "queued"), chat("+1 10:00", "hello"))
    assert alerts("illegal_transition", *events, created("+7 10:00"), until="+8 10:01") == [
        "10:00 opened skipped",
        "+7 10:00 resolved skipped moved_on",
    ]
    assert alerts("illegal_transition", *events, created("+7 10:00:00.001"), until="+8 10:01") == [
        "10:00 opened skipped",
        "+7 10:00 resolved skipped forgotten",
    ]


def test_the_last_millisecond_of_the_retention_still_knows_the_order() -> None:
    events = (created("10:00"), stage("10:01", "cancelled"))
    assert alerts("illegal_transition", *events, created("+7 10:01"), until="+7 10:02") == [
        "+7 10:01 opened backwards",
        "+7 10:01 resolved backwards forgotten",
    ]
    assert alerts("illegal_transition", *events, created("+7 10:01:00.001"), until="+7 10:02") == []


def test_an_order_whose_creation_comes_last_catches_up_at_that_moment() -> None:
    events = (stage("10:00", "queued"), paid("10:01"), created("10:02"))
    assert alerts("illegal_transition", *events) == [
        "10:00 opened skipped",
        "10:01 updated skipped",
        "10:02 resolved skipped moved_on",
    ]
    assert alerts("stage_timeout", *events, until="10:40") == ["10:32 opened breach"]


def test_a_move_that_names_no_parcel_moves_each_that_it_can() -> None:
    events = (
        created("10:00"),
        paid("10:01"),
        split("10:02", "P", "Q"),
        stage("10:03", "queued", parcel="P"),
        stage("10:04", "accepted"),
        stage("10:05", "queued"),
    )
    assert alerts("illegal_transition", *events) == []
    assert alerts("stage_timeout", *events, until="10:36") == ["10:35 opened breach A/Q"]


# card_burst


def test_the_fifth_order_on_a_card_within_the_window_is_a_burst() -> None:
    times = ("10:00", "10:02", "10:04", "10:06", "10:08")
    events = [created(time, f"O{n}", card="K", amount=100 + n) for n, time in enumerate(times)]
    late = created("10:09", "O5", card="K", amount=7)
    steps = [line.rsplit(" ", 1)[0] for line in alerts("card_burst", *events, late)]
    assert steps == ["10:08 opened burst", "10:09 updated burst", "10:12:00.001 resolved burst window_passed"]
    assert orders("card_burst", *events, late)[-1] == ("O0", "O1", "O2", "O3", "O4", "O5")


def test_a_window_holds_its_first_millisecond_and_not_the_one_before() -> None:
    within = [created(time, f"O{n}", card="K", amount=5) for n, time in enumerate(("10:00", "10:05", "10:10"))]
    beside = [*within[:2], created("10:10:00.001", "O2", card="K", amount=5)]
    assert [line.rsplit(" ", 1)[0] for line in alerts("card_burst", *within)] == [
        "10:10 opened same_amount",
        "10:10:00.001 resolved same_amount window_passed",
    ]
    assert alerts("card_burst", *beside) == []


def test_a_payment_uses_the_card_that_it_names_and_keeps_the_order_in_the_window() -> None:
    events = (
        created("10:00", "O1", card="K", amount=5),
        created("10:01", "O2", card="K", amount=5),
        paid("10:09", "O1"),
        created("10:11:00.001", "O3", amount=5),
        paid("10:11:00.001", "O3", card="K"),
    )
    assert alerts("card_burst", *events) == []
    sooner = (*events[:3], created("10:11", "O3", amount=5), paid("10:11", "O3", card="K"))
    assert orders("card_burst", *sooner) == [("O1", "O2", "O3")] * 2


def test_orders_without_an_amount_are_no_burst_of_the_same_amount() -> None:
    assert alerts("card_burst", *[created("10:00", f"O{n}", ip="203.0.113.7") for n in range(4)]) == []


def test_an_order_already_named_does_not_update_the_burst_but_stays_longer() -> None:
    events = [created(f"10:0{n}", f"O{n}", ip="203.0.113.7", amount=5) for n in range(3)]
    assert [line.rsplit(" ", 1)[0] for line in alerts("card_burst", *events, paid("10:08", "O0"))] == [
        "10:02 opened same_amount",
        "10:11:00.001 resolved same_amount window_passed",
    ]


def test_an_order_that_leaves_the_window_and_comes_back_in_one_millisecond_starts_another_burst() -> None:
    times = ("10:00", "10:05", "10:06")
    events = [created(time, f"O{n}", ip="203.0.113.7", amount=5) for n, time in enumerate(times)]
    again = paid("10:10:00.001", "O0")
    assert [line.rsplit(" ", 1)[0] for line in alerts("card_burst", *events, again, until="10:12")] == [
        "10:06 opened same_amount",
        "10:10:00.001 resolved same_amount window_passed",
        "10:10:00.001 opened same_amount",
    ]
    assert orders("card_burst", *events, again, until="10:12")[-1] == ("O1", "O2", "O0")


def test_a_burst_holds_its_orders_until_a_review_says_so() -> None:
    burst = [created(f"10:0{n}", f"O{n}", card="K", amount=5) for n in range(4)]
    release = ReviewReleased(id="r", source="risk", time=at("10:20"), order_id="O0")
    confirm = ReviewConfirmed(id="c", source="risk", time=at("10:21"), order_id="O1")
    again = [created(f"10:3{n}", order, card="K", amount=5) for n, order in enumerate(("O5", "O6"))]
    events = on_time([*burst, release, confirm, *again, paid("10:32", "O0"), paid("10:33", "O1")])
    holds = expected_holds(events, SETTINGS, at("23:00"))
    assert [(clock(hold.time), hold.order_id, hold.version, hold.status) for hold in holds] == [
        ("10:02", "O0", 1, "held"),
        ("10:02", "O1", 1, "held"),
        ("10:02", "O2", 1, "held"),
        ("10:03", "O3", 1, "held"),
        ("10:20", "O0", 2, "released"),
        ("10:21", "O1", 2, "confirmed"),
        ("10:32", "O5", 1, "held"),
        ("10:32", "O6", 1, "held"),
        ("10:32", "O0", 3, "held"),
    ]


# merge_candidate

HOME = Address(city="上海市", detail="世纪大道1号")
WORK = Address(city="上海市", detail="南京路2号")


def bought(time: str, order_id: str, address: Address = HOME) -> OrderCreated:
    return created(time, order_id, customer_id="C", address=address)


def merges(*events: AnyEvent, until: str = "23:00") -> list[str]:
    lines = alerts("merge_candidate", *events, until=until)
    return [line.removesuffix(" C").replace(" candidate", "") for line in lines]


def test_orders_of_one_customer_to_one_address_are_a_group_until_the_window_closes() -> None:
    events = (bought("10:00", "A"), bought("12:00", "B"), bought("13:00", "D"))
    assert merges(*events) == ["12:00 opened", "13:00 updated joined", "15:00 resolved window_closed"]
    assert merges(events[0], bought("12:00:00.001", "B")) == []


def test_an_order_leaves_its_group_when_it_is_cancelled_and_the_last_one_stays() -> None:
    events = (
        bought("10:00", "A"),
        bought("10:10", "B"),
        bought("10:20", "D"),
        stage("10:30", "cancelled", "A"),
        stage("10:40", "cancelled", "B"),
        bought("12:20", "E"),
    )
    assert merges(*events, until="12:30") == [
        "10:10 opened",
        "10:20 updated joined",
        "10:30 updated cancelled",
        "10:40 resolved cancelled",
        "12:20 opened",
    ]
    assert orders("merge_candidate", *events, until="12:30")[-1] == ("D", "E")


def test_an_order_that_gets_another_address_joins_the_group_there() -> None:
    events = (
        bought("10:00", "A"),
        bought("10:10", "B"),
        bought("10:20", "D", WORK),
        changed("10:30", "B", address=WORK),
    )
    assert merges(*events, until="10:40") == ["10:10 opened", "10:30 resolved address_changed", "10:30 opened"]


def test_an_order_that_is_in_no_group_joins_none_by_another_address() -> None:
    events = (bought("10:00", "A"), bought("12:30", "B", WORK), changed("12:31", "A", address=WORK))
    assert merges(*events) == []


def test_orders_that_join_in_one_millisecond_do_so_by_order_id() -> None:
    assert orders("merge_candidate", bought("10:00", "B"), bought("10:00", "A"), until="10:01") == [("A", "B")]


def test_a_parcel_that_ships_takes_its_order_out_of_the_group() -> None:
    stages = [stage("10:20", name) for name in ("queued", "accepted", "printed", "picked", "packed")]
    events: tuple[AnyEvent, ...] = (
        bought("10:00", "A"),
        bought("10:10", "B"),
        paid("10:15"),
        *stages,
        split("10:30", "P", "Q"),
    )
    assert merges(*events, scan("10:40", "collected", parcel="Q")) == ["10:10 opened", "10:40 resolved shipped"]


# resonance


def test_weak_signals_add_up_and_fade() -> None:
    events = (
        created("10:00"),
        signal("10:00", "rating_threat"),
        signal("10:10", "urgency_words"),
        signal("10:20", "rating_threat"),
    )
    assert alerts("resonance", *events) == [
        "10:10 opened orange",
        "10:20 updated lock",
        "10:30:00.001 updated orange",
        "10:40:00.001 resolved orange quiet",
    ]


def test_all_that_one_message_says_counts_at_once() -> None:
    events = (created("10:00"), paid("10:01"), chat("10:01:10", "急用,不然差评! urgent"))
    assert alerts("resonance", *events, until="10:02") == ["10:01:10 opened orange"]  # 1.2 + 1.0 + 1.5
    late = chat("10:01:10.001", "ＵＲＧＥＮＴ", customer="C")  # 1.0: no service chat any more, full-width letters
    assert alerts("resonance", *events[:2], late, signal("10:02", "rating_threat"), until="10:03") == [
        "10:02 opened orange"
    ]


def test_behaviour_of_a_customer_counts_for_each_open_order() -> None:
    events = (
        bought("10:00", "A"),
        bought("10:00", "B"),
        bought("10:00", "D"),
        stage("10:01", "cancelled", "D"),
        chat("10:02", "急用,不然差评", order_id=None, customer="C"),
    )
    assert alerts("resonance", *events, until="10:03") == ["10:02 opened orange", "10:02 opened orange B"]


def test_a_closed_order_drops_its_signals() -> None:
    events = (
        created("10:00"),
        signal("10:01", "urgency_words"),
        chat("10:02", "急用,不然差评"),
        stage("10:03", "cancelled"),
        chat("10:04", "急用,不然差评"),
    )
    assert alerts("resonance", *events) == ["10:02 opened orange", "10:03 resolved orange closed"]


@pytest.mark.parametrize(
    ("value", "counts"),
    [(None, True), (2999, True), (3000, True), (3001, False), (179_999, False), (180_000, True)],
)
def test_a_form_filled_too_fast_or_too_slowly_is_a_signal(value: int | None, counts: bool) -> None:
    events = (created("10:00"), signal("10:01", "rating_threat"), signal("10:01", "courier_exception"))
    quiet = with_detectors(resonance={"orange": 3.2})
    found = alerts("resonance", *events, signal("10:02", "form_fill_time", value=value), settings=quiet)
    assert bool(found) is counts


@pytest.mark.parametrize(
    ("facts", "weight"),
    [
        ([failed("10:00"), failed("10:20")], 0.9),
        ([failed("10:00"), failed("10:10"), failed("10:20")], 1.8),
        ([scan("10:20", "lost")], 1.3),
        ([scan("10:20", "seen")], 0),
        ([signal("10:10", "x", device="D1"), signal("10:20", "x", device="D2"), signal("10:20", "x")], 0.7),
        ([changed("10:00", "B", by="C", address=HOME), changed("10:30", by="C", address=WORK)], 0.8),
        ([changed("10:00", by="C", address=HOME), changed("10:30:00.001", by="C", address=WORK)], 0),
        ([changed("10:00", address=HOME), changed("10:01", address=WORK)], 0),
        ([*[printed("10:00", 100) for _ in range(20)], printed("10:20", 147, "A")], 0.7),
        ([*[printed("10:00", 100) for _ in range(20)], printed("10:20", 146, "A")], 0),
        ([*[printed("10:00", 100) for _ in range(19)], printed("10:20", 1000, "A")], 0),
        ([signal("10:20", "scrolled")], 0),
    ],
)
def test_a_fact_weighs_what_the_settings_say(facts: list[AnyEvent], weight: float) -> None:
    def reaches(orange: float) -> bool:
        return bool(alerts("resonance", *facts, settings=with_detectors(resonance={"orange": orange, "lock": 9})))

    assert not reaches(weight + 0.001)
    assert weight == 0 or reaches(weight)


def test_a_season_starts_at_local_midnight() -> None:
    def urgent(moment: str) -> list[str]:
        time = round(datetime.fromisoformat(moment).timestamp() * 1000)
        event = BehaviourChat(id="1", source="crm", time=time, order_id="A", text="urgent")
        settings = with_detectors(resonance={"orange": 1.3})
        steps = expected_alerts([AppliedEvent(event, time)], settings, time)
        return [step.level for step in steps]

    assert urgent("2026-05-31T23:59:59.999+08:00") == []
    assert urgent("2026-06-01T00:00:00+08:00") == ["orange"]


def test_signals_of_facts_count_after_the_other_events_of_their_millisecond() -> None:
    events = (created("10:00"), failed("10:00"), failed("10:01"), stage("10:01", "cancelled"))
    settings = with_detectors(resonance={"orange": 0.9})
    assert alerts("resonance", *events[:3], until="10:02", settings=settings) == ["10:01 opened orange"]
    assert alerts("resonance", *events, settings=settings) == []


# order of events, lateness


def test_events_of_one_millisecond_follow_the_chain_and_then_their_names() -> None:
    events: list[AnyEvent] = [
        chat("10:00", ""),
        stage("10:00", "accepted"),
        stage("10:00", "queued"),
        split("10:00", "P", "Q"),
        paid("10:00"),
        created("10:00"),
    ]
    ordered = [item.event for item in in_order(on_time(events), SETTINGS, at("10:00"))]
    assert ordered == [events[5], events[4], events[3], events[2], events[1], events[0]]
    assert in_order(on_time([*events, *events]), SETTINGS, at("10:00")) == in_order(
        on_time(events), SETTINGS, at("10:00")
    )


def test_two_orders_may_share_an_id_but_the_copy_of_one_counts_once() -> None:
    first, second = (msgspec.structs.replace(created("10:00", order), id="1") for order in "AB")
    chatted = msgspec.structs.replace(chat("10:01", ""), id="1", source=first.source)
    ordered = in_order(on_time([first, second, chatted, first, chatted]), SETTINGS, at("10:01"))
    assert [item.event for item in ordered] == [first, second, chatted]


def test_lateness_is_judged_in_each_partition_by_itself() -> None:
    ahead = created("10:00", "B")
    behind = [stage("9:59:50", "paid"), stage("9:59:49.999", "queued")]
    log: list[tuple[bytes | AnyEvent, int | None]] = [(ahead, None), *((event, None) for event in behind)]
    other: list[tuple[bytes | AnyEvent, int | None]] = [(created("9:00"), None)]
    events, dead, end = applied({"a": log, "b": other}, SETTINGS.time)
    assert [clock(item.time) for item in events] == ["9:00", "9:59:50", "9:59:50", "10:00"]
    assert (dead, end) == ([], at("10:00"))


def test_an_arrival_makes_an_event_late_or_a_dead_letter() -> None:
    log: list[tuple[bytes | AnyEvent, int | None]] = [
        (created("10:00", "A"), at("10:00:30")),
        (created("10:00:01", "B"), at("10:00:31.001")),
        (created("10:06", "D"), at("10:01")),
        (created("10:06:00.001", "E"), at("10:01")),
        (b"{", at("10:01")),
        (b"\xff", at("10:01")),
    ]
    assert applied({"a": log[:1]}, SETTINGS.time)[2] == at("10:00")  # not late, or time would not come this far
    events, dead, end = applied({"a": log}, SETTINGS.time)
    assert [clock(item.time) for item in events] == ["10:00", "10:00:01.001", "10:06"]
    assert [(letter.index, letter.reason) for letter in dead] == [(3, "future"), (4, "undecodable"), (5, "undecodable")]
    assert end == at("10:06")


# properties

few = hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(event_sets(SETTINGS), randoms(use_true_random=False))
def test_the_order_in_which_events_are_handed_over_does_not_matter(events: list[AppliedEvent], chance: Random) -> None:
    end = max(item.time for item in events)
    expected = expected_alerts(events, SETTINGS, end)
    chance.shuffle(events)
    assert expected_alerts(events, SETTINGS, end) == expected


@few
@given(event_sets(SETTINGS))
def test_what_stands_at_an_earlier_end_is_not_changed_by_what_follows(events: list[AppliedEvent]) -> None:
    ends = sorted(item.time for item in events)
    early, late = ends[len(ends) // 2], ends[-1]
    later = [step for step in expected_alerts(events, SETTINGS, late) if step.time <= early]
    assert sorted(map(repr, later)) == sorted(map(repr, expected_alerts(events, SETTINGS, early)))


@few
@given(logs(SETTINGS))
def test_each_record_is_applied_dead_or_a_duplicate(
    partitions: dict[str, list[tuple[bytes | AnyEvent, int | None]]],
) -> None:
    events, dead, _ = applied(partitions, SETTINGS.time)
    refused = {(letter.partition, letter.index) for letter in dead}
    used = {
        name_of(record)
        for name, log in partitions.items()
        for index, (record, _) in enumerate(log)
        if (name, index) not in refused and not isinstance(record, bytes)
    }
    assert sorted(used) == sorted(name_of(item.event) for item in events)
