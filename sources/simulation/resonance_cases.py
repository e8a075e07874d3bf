"""Cases of weak signals: enough of them together, just too few, given directly or derived from other events."""

from collections.abc import Callable, Iterable
from itertools import pairwise

from msgspec.structs import replace

from events.model import OrderCreated, OrderFields
from sources.simulation.chain import MINUTE
from sources.simulation.clock_cases import Build
from sources.simulation.journey import Journey
from sources.simulation.ordinary import add_handling
from sources.simulation.world import World

STEP = 20_000
"""The ms between the signals of a case."""

Prelude = Callable[[World, Journey, int], int | None]
"""Gives a case its own signal at about a time; says when it was given, or None when the world is not ready for it."""


def resonance(target: str, prelude: Prelude | None = None, *, names_order: bool = True) -> Build:
    """Signals that reach ``orange`` (but not the lock) or ``lock``, after the one that ``prelude`` gives."""

    def build(world: World, time: int) -> list[Journey] | None:
        journey, at = _waiting_order(world, time)
        if prelude is not None:
            given = prelude(world, journey, at)
            if given is None:
                return None
            at = given
        names = _names_that_reach(world, journey, at, target)
        if names is None:
            return None
        _give(world, journey, names, at + STEP, names_order=names_order)
        return [journey]

    return build


def just_below_orange(world: World, time: int) -> list[Journey]:
    """As many signals as there can be without reaching orange."""
    journey, at = _waiting_order(world, time)
    names, total = [], 0
    for name in _by_weight(world, at):
        if total + world.signals.weight(name, at) < world.signals.rules.orange:
            names.append(name)
            total += world.signals.weight(name, at)
    _give(world, journey, names, at)
    return [journey]


def too_far_apart(world: World, time: int) -> list[Journey] | None:
    """Signals that would reach orange, but the first has left the window by a millisecond when the last comes."""
    journey, at = _waiting_order(world, time)
    names = _names_that_reach(world, journey, at, "orange")
    if names is None:
        return None
    _give(world, journey, names[:1], at)
    _give(world, journey, names[1:], at + world.signals.rules.window + 1)
    return [journey]


def numbers_too_small(world: World, time: int) -> list[Journey]:
    """Signals by name whose numbers are just short of counting."""
    journey, at = _waiting_order(world, time)
    for step, name in enumerate(_by_weight(world, at)):
        value = world.signals.value_that_does_not(name)
        if value is not None:
            for again in range(4):
                journey.behave(name, at + (4 * step + again) * STEP, value=value)
    return [journey]


def up_and_down(world: World, time: int) -> list[Journey] | None:
    """To the lock, down to nothing as the window passes, and up to orange once more."""
    journey, at = _waiting_order(world, time)
    lock = _names_that_reach(world, journey, at, "lock")
    if lock is None:
        return None
    _give(world, journey, lock, at)
    again = at + len(lock) * STEP + world.signals.rules.window + MINUTE
    orange = _names_that_reach(world, journey, again, "orange")
    if orange is None:
        return None
    _give(world, journey, orange, again)
    return [journey]


def chat(*texts: str) -> Prelude:
    """The buyer writes these texts to customer service, long after paying."""

    def write(world: World, journey: Journey, at: int) -> int | None:
        for step, text in enumerate(texts):
            said = world.signals.named_in(text)
            if not said:
                return None
            journey.chat(text, at + step * STEP)
            journey.signals += [(at + step * STEP, name) for name in said]
        return at + (len(texts) - 1) * STEP

    return write


def chat_after_payment(world: World, journey: Journey, at: int) -> int | None:
    """The buyer writes something quiet the moment after paying."""
    paid = next((time for time, stage in journey.moves if stage == world.chain.flow.payment_stage), None)
    if paid is None or not world.signals.quiet_chats:
        return None
    said = paid + min(world.between(0, 9_999), world.signals.rules.chat_after_payment)
    journey.chat(world.pick(world.signals.quiet_chats), said)
    journey.signals.append((said, "service_chat"))
    return said


def address_changed_again(world: World, journey: Journey, at: int) -> int | None:
    """The buyer changes the address, and soon changes it again."""
    changes = world.signals.rules.address_changes
    for step in range(changes):
        journey.change(at + step * STEP, OrderFields(address=world.address()), by_customer=True)
    given = at + (changes - 1) * STEP
    journey.signals.append((given, "address_changed"))
    return given


def payment_fails_again(world: World, journey: Journey, at: int) -> int | None:
    """The payment fails often enough, and then succeeds."""
    created, paid = journey.moves[0][0], journey.moves[1][0]
    failures = world.signals.rules.payment_failures
    gap = (paid - created) // (failures + 1)
    if gap < 1:
        return None
    for step in range(1, failures + 1):
        journey.fail_payment(created + step * gap)
    given = created + failures * gap
    journey.signals.append((given, "payment_failures"))
    return given


def other_device(world: World, journey: Journey, at: int) -> int | None:
    """The order is looked at from a device that did not make it."""
    journey.behave(world.signals.quiet_before[0], at, device=f"dev-other-{journey.order_id}")
    journey.signals.append((at, "device_change"))
    return at


def courier_exception(world: World, journey: Journey, at: int) -> int | None:
    """The carrier reports trouble with the parcel."""
    if not world.chain.flow.exception_scans:
        return None
    journey.scan(world.pick(world.chain.flow.exception_scans), at)
    journey.signals.append((at, "courier_exception"))
    return at


def slow_waybill(world: World, journey: Journey, at: int) -> int | None:
    """The waybill prints far slower than the warehouse's recent ones."""
    warehouse = journey.order.warehouse_id or ""
    if not world.prints.has_mean(warehouse, at):
        return None
    journey.print_waybill(at, warehouse, 5 * 10 * (100 + world.signals.rules.print_slower_percent))
    journey.signals.append((at, "waybill_slow"))
    return at


def _waiting_order(world: World, time: int) -> tuple[Journey, int]:
    """An order that goes its usual way, and a moment in the longest of its stays."""
    order: OrderCreated = replace(world.order(world.customer(), time), category="general")
    moves = world.chain.usual_moves(world.rng, "general", time)
    journey = Journey(world.chain, order)
    journey.follow(moves[1:])
    if world.chance(0.5):
        add_handling(world, journey, moves)
    stays = [(later[0] - earlier[0], earlier[0]) for earlier, later in pairwise(moves)]
    length, entered = max(stays)
    return journey, entered + length // 10 + 7


def _by_weight(world: World, at: int) -> list[str]:
    """The direct signals in a new order; heaviest first would always give the same."""
    names = [name for name in world.signals.rules.weights if world.signals.weight(name, at) > 0]
    return sorted(names, key=lambda name: world.rng.random())


def _names_that_reach(world: World, journey: Journey, at: int, target: str) -> list[str] | None:
    """Names of direct signals that bring the order just to the target, given what it already has at that time."""
    rules = world.signals.rules
    total = sum(world.signals.weight(name, time) for time, name in journey.signals if at - rules.window <= time <= at)
    names: list[str] = []
    low, high = (rules.lock, None) if target == "lock" else (rules.orange, rules.lock)
    for name in _by_weight(world, at) * 3:
        if total >= low:
            return names
        if high is None or total + world.signals.weight(name, at) < high:
            names.append(name)
            total += world.signals.weight(name, at)
    return names if total >= low else None


def _give(world: World, journey: Journey, names: Iterable[str], at: int, *, names_order: bool = True) -> None:
    for step, name in enumerate(names):
        value = world.signals.value_that_counts(name)
        journey.behave(name, at + step * STEP, value=value, names_order=names_order)
        journey.signals.append((at + step * STEP, name))
