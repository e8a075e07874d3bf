"""Puts the orders' events into the logs in the order of arrival, with copies, late events and bad records."""

from collections.abc import Iterable, Iterator
from zlib import crc32

import msgspec

from config.settings import Settings
from events.model import Behaviour, Event, OrderEvent, ReviewConfirmed, ReviewReleased
from sources.simulation.arrivals import Arrivals, Debt, Pending, copy_delay
from sources.simulation.bad_records import BAD_CASES, bad_record
from sources.simulation.chain import MINUTE
from sources.simulation.journey import Emission
from sources.simulation.ordinary import LOOK_BACK, browse, quiet_marker, window_shopping
from sources.simulation.plan import HOUR, Counts, ExpectedAlert, ExpectedDeadLetter, Line, SimulationPlan
from sources.simulation.stories import Story, stories
from sources.simulation.truth import Truth
from sources.simulation.world import World

KINDS = ("order", "behaviour", "actions")


class Simulation:
    """Iterate once over the lines of all logs in the order of arrival; then the truth is known.

    ``truth`` is then sorted by time, rule and entity, ``dead_letters`` by log and position. ``counts`` grow on the way.
    """

    def __init__(self, plan: SimulationPlan, settings: Settings) -> None:
        self.plan = plan
        self.counts = Counts()
        self.truth: list[ExpectedAlert] = []
        self.dead_letters: list[ExpectedDeadLetter] = []
        self.logs = tuple(f"events/{kind}-{part}.ndjson" for kind in KINDS for part in range(plan.partitions))
        self._world = World(plan, settings)
        self._rng = self._world.rng
        self._truth = Truth(settings, self._world.chain, self._world.signals, plan.hash_key)
        self._out_of_orderness = int(settings.time.out_of_orderness)
        self._horizon = int(settings.time.duplicate_horizon)
        self._arrivals = Arrivals(plan.start - LOOK_BACK, len(self.logs), self._out_of_orderness)
        self._encode = msgspec.json.Encoder().encode
        self._position = [0] * len(self.logs)
        self._last_time = plan.start
        self._late = Debt(plan.late, self._rng)
        self._copies = Debt(plan.duplicates, self._rng)
        self._bad = Debt(plan.bad, self._rng)

    def __iter__(self) -> Iterator[Line]:
        for story in stories(self._world):
            yield from self._lines(self._arrivals.release(story.time - LOOK_BACK))
            self._add(story)
        self._finish()
        yield from self._lines(self._arrivals.release_all())

    def _add(self, story: Story) -> None:
        if story.case is not None:
            self.truth += self._truth.alerts(story.journeys, story.case)
        self.counts.orders += len(story.journeys)
        for journey in story.journeys:
            self._send_all(journey.emissions)
        self._browse(story)

    def _browse(self, story: Story) -> None:
        """Behaviour up to its share of the events: most of it around the orders, some by people who do not buy."""
        share, counts = self.plan.behaviour, self.counts
        owed = int((counts.order_events + counts.action_events) * share / (1 - share)) - counts.behaviour_events
        if owed > 0 and self._world.chance(0.3):
            visit = min(owed, self._world.between(2, 12))
            self._send_all(window_shopping(self._world, story.time, visit))
            owed -= visit
        for journey in story.journeys:
            known = len(journey.emissions)
            device = journey.order.device if story.case is None and self._world.chance(0.5) else None
            browse(self._world, journey, max(0, owed) // len(story.journeys), device)
            self._send_all(journey.emissions[known:])

    def _finish(self) -> None:
        """Something quiet after the last event and the last deadline, so that every expected alert has its time."""
        self.truth.sort(key=lambda alert: (alert.time, alert.rule, alert.entity_type, alert.entity_id))
        self.counts.alerts = len(self.truth)
        last = max(self._last_time, self.truth[-1].time if self.truth else 0)
        self._send_all([quiet_marker(self._world, last + HOUR)])

    def _send_all(self, emissions: Iterable[Emission]) -> None:
        for emission in emissions:
            self._send(emission)

    def _send(self, emission: Emission) -> None:
        """Count the event, find out when it arrives, and let it wait."""
        event, arrival, latest = emission
        time = event.time
        self._last_time = max(self._last_time, time)
        if self.plan.late:
            self._late.grow()
        late_until = None
        if arrival is None:
            delay = self._lateness(time, latest)
            if delay is None:
                delay = int(self._rng.random() ** 3 * self._out_of_orderness)
            else:
                late_until = latest
            arrival = time + delay
        elif arrival > time + self._out_of_orderness:
            late_until = arrival
            self._late.pay()
        self._arrivals.add(arrival, self._log_of(event), time, self._encode(event), late_until=late_until)

    def _lateness(self, time: int, latest: int | None) -> int | None:
        """How many ms late the event arrives; None: it is on time."""
        if latest is None or not self._late.is_due():
            return None
        least, most = self._out_of_orderness + MINUTE, latest - time
        if most < least:
            return None
        self._late.pay()
        return least + int(self._rng.random() ** 2 * (most - least))

    def _log_of(self, event: Event) -> int:
        """Which log the event stands in: by its kind, and by a stable hash of its order, else its customer."""
        counts = self.counts
        counts.events += 1
        if isinstance(event, Behaviour):
            kind, key = 1, event.order_id or event.customer_id or ""
            counts.behaviour_events += 1
        elif isinstance(event, ReviewReleased | ReviewConfirmed):
            kind, key = 2, event.order_id
            counts.action_events += 1
        else:
            kind, key = 0, event.order_id if isinstance(event, OrderEvent) else event.id
            counts.order_events += 1
        return kind * self.plan.partitions + crc32(key.encode()) % self.plan.partitions

    def _lines(self, pendings: Iterable[Pending]) -> Iterator[Line]:
        troubled = self.plan.duplicates > 0 or self.plan.bad > 0
        for pending in pendings:
            if pending.late_until is not None:
                self.counts.late += self._arrivals.is_late(pending)
            self._arrivals.arrived(pending)
            yield self._line(pending.log, pending.data)
            if troubled and not pending.is_copy:
                yield from self._copy(pending)
                yield from self._spoil(pending)

    def _copy(self, pending: Pending) -> Iterator[Line]:
        """Now and then the same line again."""
        self._copies.grow()
        if not self._copies.is_due():
            return
        self._copies.pay()
        self.counts.duplicates += 1
        delay = copy_delay(self._rng, self._horizon)
        if delay == 0:
            yield self._line(pending.log, pending.data)
        else:
            self._arrivals.add(pending.arrival + delay, pending.log, pending.time, pending.data, is_copy=True)

    def _spoil(self, pending: Pending) -> Iterator[Line]:
        """Now and then a record that cannot be used, of each case in turn."""
        self._bad.grow()
        if not self._bad.is_due():
            return
        self._bad.pay()
        case = BAD_CASES[self.counts.bad % len(BAD_CASES)]
        self.counts.bad += 1
        log = pending.log
        self.dead_letters.append(ExpectedDeadLetter(self.logs[log], self._position[log], case))
        kind = KINDS[log // self.plan.partitions]
        yield self._line(log, bad_record(case, self.counts.bad, kind, pending.time))

    def _line(self, log: int, data: bytes) -> Line:
        self._position[log] += len(data) + 1
        return Line(self.logs[log], data)
