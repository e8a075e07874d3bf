"""Cases of bursts of orders on one key, and of orders that could ship together."""

from msgspec.structs import replace

from config.settings import RiskKey
from events.model import OrderFields
from sources.simulation.chain import MINUTE
from sources.simulation.clock_cases import Build
from sources.simulation.journey import Journey
from sources.simulation.ordinary import walked
from sources.simulation.plan import HOUR
from sources.simulation.world import Customer, World


def burst(kind: RiskKey, *, grows: bool = False) -> Build:
    """Enough orders of different amounts on one key within the window; a growing one lasts longer than the window."""

    def build(world: World, time: int) -> list[Journey] | None:
        limit = world.settings.detectors.card_burst.any_amount
        if limit is None:
            return None
        count = limit.count + world.between(3, 7) if grows else world.between(limit.count, max(12, limit.count))
        gap = limit.window // limit.count if grows else limit.window // max(count, 1)
        times = [time + step * gap + world.between(0, gap // 2) for step in range(count)]
        journeys = _on_one_key(world, kind, times, world.amounts(count))
        return _reviewed(world, journeys)

    return build


def same_amount_burst(kind: RiskKey) -> Build:
    """Enough orders of one amount on one key within the window."""

    def build(world: World, time: int) -> list[Journey] | None:
        limit = world.settings.detectors.card_burst.same_amount
        if limit is None:
            return None
        gap = limit.window // limit.count
        times = [time + step * gap + world.between(0, gap // 2) for step in range(limit.count)]
        return _reviewed(world, _on_one_key(world, kind, times, world.amounts(1) * limit.count))

    return build


def one_too_few(kind: RiskKey) -> Build:
    """One order less than a burst takes: nothing to alert."""

    def build(world: World, time: int) -> list[Journey] | None:
        limit = world.settings.detectors.card_burst.any_amount
        if limit is None:
            return None
        count = limit.count - 1
        gap = limit.window // limit.count
        return _walk_all(
            world, _on_one_key(world, kind, [time + step * gap for step in range(count)], world.amounts(count))
        )

    return build


def one_millisecond_too_slow(world: World, time: int) -> list[Journey] | None:
    """The last order comes a millisecond after the window; the first was cancelled unpaid, so nothing keeps it in."""
    limit = world.settings.detectors.card_burst.any_amount
    if limit is None or world.chain.cancelled is None:
        return None
    last = time + limit.window + 1
    times = [time, *(last - MINUTE + step for step in range(limit.count - 2)), last]
    first, *rest = _on_one_key(world, "card", times, world.amounts(limit.count))
    first.move(world.chain.cancelled, time + MINUTE)
    return [first, *_walk_all(world, rest)]


def _on_one_key(world: World, kind: RiskKey, times: list[int], amounts: list[int]) -> list[Journey]:
    """Orders of different customers that share one key alone, which they may spell differently."""
    shared = world.customer()
    journeys = []
    for number, (time, amount) in enumerate(zip(times, amounts, strict=True)):
        buyer = replace(world.customer(), **{kind: _spelled(shared, kind, number)})
        journeys.append(Journey(world.chain, world.order(buyer, time, amount=amount)))
    return journeys


def _spelled(customer: Customer, kind: RiskKey, number: int) -> object:
    value = getattr(customer, kind)
    if kind == "phone":
        return (value, f"+86 {value}", f"{value[:3]}-{value[3:7]}-{value[7:]}")[number % 3]
    if kind == "address":
        return (value, replace(value, detail=value.detail.replace("号", "号 ")))[number % 2]
    return value


def _walk_all(world: World, journeys: list[Journey]) -> list[Journey]:
    return [walked(world, journey) for journey in journeys]


def _reviewed(world: World, journeys: list[Journey]) -> list[Journey]:
    """A reviewer lets half of the orders go on; the others are confirmed and cancelled."""
    confirmed = world.chance(0.5)
    for journey in journeys:
        confirmed = not confirmed
        moves = world.chain.usual_moves(world.rng, journey.order.category, journey.order.time)
        place = world.chain.paid
        if place is None or place + 1 >= len(moves) or world.chain.cancelled is None or not confirmed:
            walked(world, journey)
            journey.review(journey.order.time + 2 * HOUR, confirmed=False)
        else:
            journey.follow(moves[1 : place + 1])
            decided = (moves[place][0] + moves[place + 1][0]) // 2
            journey.review(decided, confirmed=True)
            journey.move(world.chain.cancelled, decided + 1)
    return journeys


def merge_group(world: World, time: int) -> list[Journey]:
    """One customer orders again and again to one address: the orders could ship together."""
    buyer = world.customer()
    window = world.settings.detectors.merge_candidate.window
    times = [time]
    for _ in range(world.between(1, 4)):
        times.append(times[-1] + world.between(window // 8, window))
    return _orders_of(world, buyer, times)


def merge_window_passed(world: World, time: int) -> list[Journey]:
    """The second order comes one millisecond after the window: no group."""
    window = world.settings.detectors.merge_candidate.window
    return _orders_of(world, world.customer(), [time, time + window + 1])


def merge_at_the_last_moment(world: World, time: int) -> list[Journey]:
    """The second order comes exactly at the end of the window: a group."""
    window = world.settings.detectors.merge_candidate.window
    return _orders_of(world, world.customer(), [time, time + window])


def merge_other_address(world: World, time: int) -> list[Journey]:
    """Two orders of one customer to two addresses: no group."""
    buyer = world.customer()
    other = replace(buyer, address=world.address())
    return [*_orders_of(world, buyer, [time]), *_orders_of(world, other, [time + 20 * MINUTE])]


def merge_already_shipped(world: World, time: int) -> list[Journey]:
    """The first order has left when the second comes: no group."""
    buyer = world.customer()
    window = world.settings.detectors.merge_candidate.window
    first = Journey(world.chain, world.order(buyer, time, amount=15_900))
    shipped = world.chain.shipped or len(world.chain.path) - 1
    stays = [world.chain.longest_quiet_stay(stage, first.order.category) for stage in world.chain.path[:shipped]]
    pace = min(window // (shipped + 1), *stays) // 2
    quick = [(time + step * pace, stage) for step, stage in enumerate(world.chain.path[: shipped + 1])]
    usual = world.chain.usual_moves(world.rng, first.order.category, time)
    later = [(at - usual[shipped][0] + quick[-1][0], stage) for at, stage in usual[shipped + 1 :]]
    first.follow([*quick[1:], *later])
    return [first, *_orders_of(world, buyer, [quick[-1][0] + 5 * MINUTE])]


def merge_one_cancelled(world: World, time: int) -> list[Journey] | None:
    """The group loses a cancelled order, and a third order makes it a group again."""
    if world.chain.cancelled is None:
        return None
    buyer = world.customer()
    times = (time, time + 15 * MINUTE, time + 30 * MINUTE)
    first, second, third = (
        Journey(world.chain, world.order(buyer, at, "general", amount))
        for at, amount in zip(times, world.amounts(3), strict=True)
    )
    moves = world.chain.usual_moves(world.rng, "general", time)
    first.follow(moves[1 : (world.chain.paid or 0) + 1])
    first.move(world.chain.cancelled, max(first.moves[-1][0], times[1]) + MINUTE)
    return [first, walked(world, second), walked(world, third)]


def merge_after_address_change(world: World, time: int) -> list[Journey]:
    """The buyer corrects the address of the second order to that of the first."""
    buyer = world.customer()
    first = _orders_of(world, buyer, [time])
    wrong = replace(buyer, address=world.address())
    second = Journey(world.chain, world.order(wrong, time + 20 * MINUTE, amount=25_900))
    second.change(second.order.time + 1, OrderFields(address=buyer.address), by_customer=True)
    return [*first, walked(world, second)]


def _orders_of(world: World, buyer: Customer, times: list[int]) -> list[Journey]:
    journeys = []
    for number, (time, amount) in enumerate(zip(times, world.amounts(len(times)), strict=True)):
        spelled = replace(buyer, address=_spelled(buyer, "address", number))
        journeys.append(walked(world, Journey(world.chain, world.order(spelled, time, amount=amount))))
    return journeys
