"""Every case that is put in on purpose, by its name."""

from collections.abc import Iterator
from dataclasses import dataclass

from config.settings import RiskKey
from sources.simulation import burst_cases as bursts
from sources.simulation import clock_cases as clocks
from sources.simulation import resonance_cases as signals
from sources.simulation.chain import Chain
from sources.simulation.clock_cases import Build
from sources.simulation.ordinary import frequent_buyer, shared_address

RISK_KEYS: tuple[RiskKey, ...] = ("card", "phone", "ip", "device", "address")
FRESH, GENERAL = "fresh", "general"


@dataclass(frozen=True)
class Case:
    """A case: how to build it, how many orders it takes at most, whether it needs a late event."""

    name: str
    build: Build
    orders: int = 1
    needs_late: bool = False


def all_cases(chain: Chain) -> list[Case]:
    """The cases that this stage chain can show, in a fixed order."""
    return [*_limits(chain), *_handling(chain), *_illegal(chain), *_bursts(), *_merges(), *_resonances()]


def _limits(chain: Chain) -> Iterator[Case]:
    places = [place for place, stage in enumerate(chain.path[:-1]) if chain.stages[stage].norm is not None]
    for place in places:
        yield Case(f"stalls_in_{chain.path[place]}", clocks.stall(place))
        yield Case(f"stays_in_{chain.path[place]}", clocks.never_moves(place))
    for place in places[1:2]:
        yield Case("leaves_at_the_deadline", clocks.in_time_to_the_millisecond(place))
        yield Case("leaves_after_the_deadline", clocks.one_millisecond_late(place))
    if chain.cancelled is not None:
        for place in places[:2]:
            yield Case(f"cancelled_late_in_{chain.path[place]}", clocks.cancelled_late(place))


def _handling(chain: Chain) -> Iterator[Case]:
    if chain.paid is not None and chain.handled is not None and chain.paid < chain.handled:
        for category in (GENERAL, FRESH):
            yield Case(f"handled_late_{category}", clocks.handled_late(category))
    yield Case("status_keeps_alive", clocks.status_keeps_alive)
    yield Case("status_repeats", clocks.status_repeats)
    if chain.payment_place is not None:
        yield Case("payment_arrives_late", clocks.payment_arrives_late, needs_late=True)
    if chain.shipped is not None and chain.shipped > 1:
        yield Case("parcel_stalls", clocks.parcel_stalls)


def _illegal(chain: Chain) -> Iterator[Case]:
    yield Case("unknown_stage", clocks.unknown_stage)
    yield Case("goes_backwards", clocks.goes_backwards)
    yield Case("skips_and_catches_up", clocks.skips_and_catches_up)
    yield Case("created_twice", clocks.created_twice)
    if chain.cancelled is not None and chain.payment_place is not None:
        yield Case("paid_after_cancelling", clocks.paid_after_cancelling)


def _bursts() -> Iterator[Case]:
    for kind in RISK_KEYS:
        yield Case(f"burst_{kind}", bursts.burst(kind), 12)
        yield Case(f"burst_same_amount_{kind}", bursts.same_amount_burst(kind), 3)
        yield Case(f"burst_one_too_few_{kind}", bursts.one_too_few(kind), 4)
    yield Case("burst_grows", bursts.burst("card", grows=True), 12)
    yield Case("burst_too_slow", bursts.one_millisecond_too_slow, 5)
    yield Case("frequent_buyer", frequent_buyer, 4)
    yield Case("shared_office", shared_address, 4)


def _merges() -> Iterator[Case]:
    yield Case("merge_group", bursts.merge_group, 5)
    yield Case("merge_at_the_last_moment", bursts.merge_at_the_last_moment, 2)
    yield Case("merge_window_passed", bursts.merge_window_passed, 2)
    yield Case("merge_other_address", bursts.merge_other_address, 2)
    yield Case("merge_already_shipped", bursts.merge_already_shipped, 2)
    yield Case("merge_one_cancelled", bursts.merge_one_cancelled, 3)
    yield Case("merge_after_address_change", bursts.merge_after_address_change, 2)


def _resonances() -> Iterator[Case]:
    yield Case("resonance_orange", signals.resonance("orange"))
    yield Case("resonance_lock", signals.resonance("lock"))
    yield Case("resonance_customer_only", signals.resonance("lock", names_order=False))
    yield Case("resonance_up_and_down", signals.up_and_down)
    yield Case("resonance_just_below", signals.just_below_orange)
    yield Case("resonance_too_far_apart", signals.too_far_apart)
    yield Case("resonance_numbers_too_small", signals.numbers_too_small)
    chinese = signals.chat("能不能加急?今天必须到!", "再不发货我就给差评,打12315投诉")
    english = signals.chat("This is URGENT, it must arrive today", "One star if it does not, I will report you")
    full_width = signals.chat("URGENT!请处理")
    yield Case("resonance_chat_chinese", signals.resonance("orange", chinese))
    yield Case("resonance_chat_english", signals.resonance("lock", english))
    yield Case("resonance_chat_full_width", signals.resonance("orange", full_width))
    yield Case("resonance_chat_after_payment", signals.resonance("orange", signals.chat_after_payment))
    yield Case("resonance_address_changed", signals.resonance("orange", signals.address_changed_again))
    yield Case("resonance_payment_failures", signals.resonance("lock", signals.payment_fails_again))
    yield Case("resonance_other_device", signals.resonance("orange", signals.other_device))
    yield Case("resonance_courier_exception", signals.resonance("orange", signals.courier_exception))
    yield Case("resonance_slow_waybill", signals.resonance("orange", signals.slow_waybill))
