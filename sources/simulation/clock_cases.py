"""Cases of time limits and of moves that the chain does not allow."""

from collections.abc import Callable

from events.model import OrderFields
from sources.simulation.chain import MINUTE, delayed
from sources.simulation.journey import Journey
from sources.simulation.ordinary import add_handling
from sources.simulation.plan import HOUR
from sources.simulation.world import World

Build = Callable[[World, int], list[Journey] | None]
"""Makes the orders of a case that starts at a time; None when the simulated world is not ready for it."""


def stall(place: int) -> Build:
    """The order overstays its limit at this place of the path, then moves on."""

    def build(world: World, time: int) -> list[Journey]:
        journey, moves = _new(world, time)
        overdue = world.between(MINUTE, 3 * HOUR)
        extra = _until_limit(journey, moves, place) + overdue
        moves = delayed(moves, place + 1, extra)
        journey.follow(moves[1:])
        add_handling(world, journey, moves)
        return [journey]

    return build


def never_moves(place: int) -> Build:
    """The order reaches this place of the path and nothing more is heard of it."""

    def build(world: World, time: int) -> list[Journey]:
        journey, moves = _new(world, time)
        journey.follow(moves[1 : place + 1])
        return [journey]

    return build


def cancelled_late(place: int) -> Build:
    """The order overstays its limit and is then cancelled."""

    def build(world: World, time: int) -> list[Journey]:
        journey, moves = _new(world, time)
        journey.follow(moves[1 : place + 1])
        limit = world.chain.longest_quiet_stay(moves[place][1], journey.order.category)
        journey.move(world.chain.cancelled or "", moves[place][0] + limit + world.between(1, 4 * HOUR))
        return [journey]

    return build


def in_time_to_the_millisecond(place: int) -> Build:
    """The order leaves the stage exactly at its deadline: in time."""

    def build(world: World, time: int) -> list[Journey]:
        journey, moves = _new(world, time)
        moves = delayed(moves, place + 1, _until_limit(journey, moves, place))
        journey.follow(moves[1:])
        return [journey]

    return build


def one_millisecond_late(place: int) -> Build:
    """The order leaves the stage one millisecond after its deadline."""

    def build(world: World, time: int) -> list[Journey]:
        journey, moves = _new(world, time)
        moves = delayed(moves, place + 1, _until_limit(journey, moves, place) + 1)
        journey.follow(moves[1:])
        return [journey]

    return build


def handled_late(category: str) -> Build:
    """The warehouse takes the order up only after the handling limit of its class of goods."""

    def build(world: World, time: int) -> list[Journey]:
        chain = world.chain
        paid, handled = chain.paid or 0, chain.handled or 0
        journey, moves = _new(world, time, category)
        taken = moves[handled][0] - moves[paid][0]
        extra = chain.handling_limit(category) - taken + world.between(1, 20 * MINUTE)
        gaps = handled - paid
        for gap in range(gaps):
            moves = delayed(moves, paid + 1 + gap, extra // gaps + (extra % gaps if gap == 0 else 0))
        journey.follow(moves[1:])
        add_handling(world, journey, moves)
        return [journey]

    return build


def status_keeps_alive(world: World, time: int) -> list[Journey]:
    """The order stands still in its stage, but a system's status changes: over the limit, yet not without progress."""
    return _stands_with_statuses(world, time, ("CHECKING", "WAITING_FOR_STOCK", "RELEASED"))


def status_repeats(world: World, time: int) -> list[Journey]:
    """A system says the same status again and again: that is no progress."""
    return _stands_with_statuses(world, time, ("CHECKING", "CHECKING", "CHECKING"))


def _stands_with_statuses(world: World, time: int, statuses: tuple[str, ...]) -> list[Journey]:
    chain = world.chain
    place = chain.paid or 0
    journey, moves = _new(world, time, "general")
    journey.follow(moves[1 : place + 1])
    entered, stage = moves[place]
    pause = chain.patience(stage, "general") * 3 // 4
    for step, status in enumerate(statuses, start=1):
        journey.status("oms", status, entered + step * pause)
    extra = (len(statuses) * pause) + MINUTE
    journey.follow(delayed(moves, place + 1, extra)[place + 1 :])
    return [journey]


def payment_arrives_late(world: World, time: int) -> list[Journey]:
    """The buyer paid in time, but the confirmation comes hours later: an alert opens, then resolves.

    A note of customer service stands right before the confirmation in the log, so the largest time before it
    is known, and with it the time at which it is applied.
    """
    chain = world.chain
    place = chain.payment_place or 1
    journey, moves = _new(world, time)
    journey.follow(moves[1:place])
    entered, stage = moves[place - 1]
    arrival = entered + chain.longest_quiet_stay(stage, journey.order.category) + world.between(30 * MINUTE, 3 * HOUR)
    applied = arrival - world.settings.time.out_of_orderness
    journey.change(arrival, OrderFields(discount=journey.order.discount + 100), arrival=arrival)
    journey.move(moves[place][1], applied, own_time=moves[place][0], arrival=arrival)
    rest = delayed(moves, place + 1, applied - moves[place][0])[place + 1 :]
    journey.follow([(max(at, arrival + 1 + step), after) for step, (at, after) in enumerate(rest)])
    return [journey]


def parcel_stalls(world: World, time: int) -> list[Journey]:
    """The order is split; one parcel leaves in time, the other one late."""
    chain = world.chain
    shipped = chain.shipped or 1
    journey, moves = _new(world, time)
    entered, stage = moves[shipped - 1]
    limit = chain.longest_quiet_stay(stage, journey.order.category)
    parcels = (f"{journey.order_id}-P1", f"{journey.order_id}-P2")
    journey.follow(moves[1:shipped])
    journey.split(entered + 1, parcels)
    journey.move_parcel(parcels[0], chain.path[shipped], entered + limit // 2)
    late = entered + limit + limit // 10 + 1
    journey.move_parcel(parcels[1], chain.path[shipped], late)
    for at, after in delayed(moves, shipped, late - moves[shipped][0])[shipped + 1 :]:
        journey.move_parcels(after, at)
    return [journey]


def goes_backwards(world: World, time: int) -> list[Journey]:
    """A stage that the order has left is reported again."""
    journey, moves = _new(world, time)
    place = len(moves) // 2
    journey.follow(moves[1 : place + 1])
    for step in range(world.between(1, 2)):
        journey.attempt(moves[place - 1][1], moves[place][0] + 1 + step, "backwards")
    journey.follow(delayed(moves, place + 1, 3)[place + 1 :])
    return [journey]


def unknown_stage(world: World, time: int) -> list[Journey]:
    """A stage that nobody configured is reported."""
    journey, moves = _new(world, time)
    place = world.between(1, len(moves) - 3)
    journey.follow(moves[1 : place + 1])
    journey.attempt("re_labelled", moves[place][0] + 1, "unknown")
    journey.follow(delayed(moves, place + 1, 2)[place + 1 :])
    return [journey]


def skips_and_catches_up(world: World, time: int) -> list[Journey]:
    """A stage is left out, is reported after all, and the order catches up."""
    journey, moves = _new(world, time)
    place = min(3, len(moves) - 2)
    journey.follow(moves[1:place])
    (missing_at, missing), (_, ahead) = moves[place], moves[place + 1]
    entered = moves[place - 1][0]
    journey.attempt(ahead, entered + (missing_at - entered) // 2, "skipped")
    journey.move(missing, missing_at)
    journey.catch_up(ahead, missing_at)
    journey.follow(delayed(moves, place + 2, missing_at - moves[place + 1][0])[place + 2 :])
    return [journey]


def created_twice(world: World, time: int) -> list[Journey]:
    """A channel creates an order again that is already on its way."""
    journey, moves = _new(world, time)
    journey.follow(moves[1:3])
    journey.create_again(moves[2][0] + 1)
    journey.follow(delayed(moves, 3, 2)[3:])
    return [journey]


def paid_after_cancelling(world: World, time: int) -> list[Journey]:
    """The buyer cancels, and the payment comes after all."""
    journey, moves = _new(world, time)
    place = world.chain.payment_place or 1
    journey.follow(moves[1:place])
    at, stage = moves[place]
    journey.move(world.chain.cancelled or "", at)
    journey.attempt(stage, at + world.between(1000, 10 * MINUTE), "backwards")
    return [journey]


def _new(world: World, time: int, category: str | None = None) -> tuple[Journey, list[tuple[int, str]]]:
    journey = Journey(world.chain, world.order(world.customer(), time, category))
    return journey, world.chain.usual_moves(world.rng, journey.order.category, time)


def _until_limit(journey: Journey, moves: list[tuple[int, str]], place: int) -> int:
    """How much longer the order must stay at this place to leave exactly at its deadline."""
    limit = journey.chain.longest_quiet_stay(moves[place][1], journey.order.category)
    return moves[place][0] + limit - moves[place + 1][0]
