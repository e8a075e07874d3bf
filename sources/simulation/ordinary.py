"""Orders of every day: they keep their limits, share no key with others, and worry nobody."""

from msgspec.structs import replace

from events.model import BehaviourSignal, OrderFields
from sources.simulation import vocabulary as words
from sources.simulation.chain import MINUTE, Move
from sources.simulation.journey import Emission, Journey
from sources.simulation.plan import HOUR
from sources.simulation.world import Customer, World

LOOK_BACK = 30 * MINUTE
"""How long before its creation an order's first event can be, at most."""

MAY_COME_LATE = 6 * HOUR
FAR_FROM_ORANGE = 1000


def ordinary_order(world: World, time: int) -> Journey:
    """One order that keeps every limit; a few are cancelled, split, paid at the second attempt."""
    journey = Journey(world.chain, world.order(world.customer(), time))
    moves = world.chain.usual_moves(world.rng, journey.order.category, time)
    if world.chance(0.02) and world.chain.cancelled is not None:
        place = world.between(1, min(2, len(moves) - 1))
        moves = [*moves[:place], (moves[place][0], world.chain.cancelled)]
        journey.follow(moves[1:])
    elif world.chance(0.03) and world.chain.shipped is not None:
        follow_in_parcels(world, journey, moves)
        add_handling(world, journey, moves)
    else:
        _follow_maybe_late(journey, moves)
        add_handling(world, journey, moves)
    _add_small_troubles(world, journey, moves)
    return journey


def _follow_maybe_late(journey: Journey, moves: list[Move]) -> None:
    """Each move says up to when it may arrive late: before the next one and before any limit."""
    chain, category = journey.chain, journey.order.category
    handled_by = None
    for place, (time, stage) in enumerate(moves[1:], start=1):
        entered, before = moves[place - 1]
        latest = entered + chain.longest_quiet_stay(before, category)
        if place + 1 < len(moves):
            latest = min(latest, moves[place + 1][0] - 1)
        if handled_by is not None and place <= (chain.handled or 0):
            latest = min(latest, handled_by)
        if place == chain.paid:
            handled_by = time + chain.longest_quiet_handling(category)
        journey.move(stage, time, latest=latest)


def follow_in_parcels(world: World, journey: Journey, moves: list[Move]) -> None:
    """The moves, but the order ships in two parcels: the second at the order's time, the first earlier."""
    shipped = world.chain.shipped or len(moves) - 1
    journey.follow(moves[1:shipped])
    entered, (time, stage) = moves[shipped - 1][0], moves[shipped]
    parcels = (f"{journey.order_id}-P1", f"{journey.order_id}-P2")
    journey.split(entered + (time - entered) // 4, parcels)
    journey.move_parcel(parcels[0], stage, entered + (time - entered) // 2)
    journey.move_parcel(parcels[1], stage, time)
    for later, after in moves[shipped + 1 :]:
        journey.move_parcels(after, later)


def add_handling(world: World, journey: Journey, moves: list[Move]) -> None:
    """What the warehouse and the carrier say beside the stages: waybill, courier, raw statuses, hubs."""
    shipped = world.chain.shipped
    if shipped is None or shipped < 1 or shipped >= len(moves):
        return
    packed, left = moves[shipped - 1][0], moves[shipped][0]
    print_in_usual_time(world, journey, packed + 1)
    if world.chance(0.4):
        fields = OrderFields(courier=world.pick(words.COURIERS))
        journey.change((packed + left) // 2, fields)
    if "LOADED" in world.settings.status.systems.get("wms", {}):
        journey.status("wms", "LOADED", left + 1)
    if world.chance(0.5) and "POSTED" in world.settings.status.systems.get("erp", {}):
        journey.status("erp", "POSTED", left + world.between(2, MINUTE))
    if shipped + 1 < len(moves):
        hubs = world.between(0, 2)
        for hub in range(hubs):
            time = left + (moves[shipped + 1][0] - left) * (hub + 1) // (hubs + 1)
            scan = words.HUB_SCANS[hub]
            if scan not in world.chain.flow.scans and scan not in world.chain.flow.exception_scans:
                journey.scan(scan, time, latest=time + MAY_COME_LATE)


def print_in_usual_time(world: World, journey: Journey, time: int) -> None:
    """A waybill that takes about a second."""
    warehouse = journey.order.warehouse_id or ""
    spread = 3 * min(30, world.settings.detectors.resonance.print_slower_percent)
    journey.print_waybill(time, warehouse, 1000 + world.between(-spread, spread))


def _add_small_troubles(world: World, journey: Journey, moves: list[Move]) -> None:
    """Signs of weakness now and then, all together far from orange."""
    left = int(world.signals.rules.orange) - FAR_FROM_ORANGE
    first, last = moves[0][0], moves[-1][0]
    if world.chance(0.04) and world.settings.detectors.resonance.payment_failures > 1 and moves[1][0] - first > 2:
        journey.fail_payment(first + (moves[1][0] - first) // 2)
    if world.chance(0.1):
        name = world.pick(tuple(world.signals.rules.weights))
        if world.signals.heaviest(name) <= left:
            left -= world.signals.heaviest(name)
            value = world.signals.value_that_counts(name)
            journey.behave(name, world.between(first, last), value=value)
    if world.chance(0.1) and world.signals.quiet_chats and world.signals.heaviest("service_chat") <= left:
        left -= world.signals.heaviest("service_chat")
        journey.chat(world.pick(world.signals.quiet_chats), world.between(first, last))
    if world.chance(0.02) and world.signals.heaviest("address_changed") <= left:
        journey.change(first + 1, OrderFields(address=world.address()), by_customer=True)


def browse(world: World, journey: Journey, count: int, device: str | None) -> None:
    """Add so many looks around before and after the order, none of which says anything."""
    first, last = journey.order.time, journey.moves[-1][0]
    before, after = world.signals.quiet_before, world.signals.quiet_after
    for _ in range(count):
        if world.rng.random() < 0.65:
            time = first - 1 - int(world.rng.random() ** 2 * (LOOK_BACK - 1))
            name = world.pick(before)
            journey.behave(name, time, device=device, names_order=False, latest=time + MAY_COME_LATE)
        else:
            time = first + int(world.rng.random() * (last - first))
            journey.behave(world.pick(after), time, latest=time + MAY_COME_LATE)


def window_shopping(world: World, time: int, count: int) -> list[Emission]:
    """Someone looks around and buys nothing."""
    visitor = world.customer()
    emissions = []
    for number in range(1, count + 1):
        time += world.between(1000, 2 * MINUTE)
        event = _look(world, visitor, number, time)
        emissions.append(Emission(event, None, time + MAY_COME_LATE))
    return emissions


def quiet_marker(world: World, time: int) -> Emission:
    """A look at a page after everything else, by which the end of the input passes every limit."""
    return Emission(_look(world, world.customer(), 1, time))


def _look(world: World, visitor: Customer, number: int, time: int) -> BehaviourSignal:
    return BehaviourSignal(
        id=f"{visitor.customer_id}-{number}",
        source="probe",
        time=time,
        signal=world.pick(world.signals.quiet_before),
        customer_id=visitor.customer_id,
        device=visitor.device,
    )


def frequent_buyer(world: World, time: int) -> list[Journey]:
    """Four orders of one good customer within minutes, each to another friend: no reason to alert."""
    buyer = world.customer()
    journeys = []
    for step, amount in enumerate(world.amounts(4)):
        at = time + step * 2 * MINUTE + world.between(0, MINUTE)
        journey = Journey(world.chain, world.order(replace(buyer, address=world.address()), at, amount=amount))
        journeys.append(walked(world, journey))
    return journeys


def shared_address(world: World, time: int) -> list[Journey]:
    """An office: four people who share its address on the network and its door, each with an order."""
    office = world.customer()
    journeys = []
    for step, amount in enumerate(world.amounts(4)):
        person = world.customer()
        person = replace(person, ip=office.ip, address=office.address, warehouse=office.warehouse)
        at = time + step * MINUTE + world.between(0, 30_000)
        journeys.append(walked(world, Journey(world.chain, world.order(person, at, amount=amount))))
    return journeys


def walked(world: World, journey: Journey) -> Journey:
    """The order goes its whole way at the usual pace."""
    moves = world.chain.usual_moves(world.rng, journey.order.category, journey.order.time)
    journey.follow(moves[1:])
    add_handling(world, journey, moves)
    return journey
