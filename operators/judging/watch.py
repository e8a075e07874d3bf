"""Notes down what becomes of each order while a run goes over history."""

from collections.abc import Mapping
from typing import ClassVar

from msgspec import UNSET

from config.outcomes import CANCELLED, CONFIRMED, IN_TIME, LATE, RELEASED, Conditions, delivering
from config.settings import Settings
from events.model import ReviewConfirmed, ReviewReleased
from operators.heart.component import Component, Environment, Handler
from operators.judging.outcomes import Mark
from operators.orders.order_state import FieldsChanged, OrderOpened, StageMoved


class OutcomeBook:
    """What became of orders, as far as any of the conditions asks for it; see docs/backtest.md.

    Each method is told of one thing as it becomes true, in event-time order per order.
    """

    def __init__(self, conditions: Conditions, settings: Settings) -> None:
        self._conditions = conditions
        self._delivering = delivering(settings)
        self._cancelling = frozenset(name for name, stage in settings.stages.items() if stage.cancels)
        self.marks: dict[str, list[Mark]] = {}
        self._promised: dict[str, int] = {}
        self._created: dict[str, int] = {}
        self._delivered: set[str] = set()

    def created(self, order: str, promised_at: int | None, at: int) -> None:
        """An order was created."""
        if self._conditions.duration:
            self._created[order] = at
        self.promised(order, promised_at)

    def promised(self, order: str, promised_at: int | None) -> None:
        """What an order's customer is promised; None: nothing any more."""
        if not self._conditions.promise or order in self._delivered:
            return
        if promised_at is None:
            self._promised.pop(order, None)
        else:
            self._promised[order] = promised_at

    def moved(self, order: str, stage: str, at: int) -> None:
        """An order as a whole entered a stage."""
        conditions = self._conditions
        name = conditions.stages.get(stage)
        if name is not None:
            self._mark(order, at, name)
        if stage in self._cancelling:
            self._promised.pop(order, None)
            if CANCELLED in conditions.plain:
                self._mark(order, at, CANCELLED)
        elif stage in self._delivering and (conditions.promise or conditions.duration):
            self._deliver(order, at)

    def reviewed(self, order: str, condition: str, at: int) -> None:
        """A person judged the order."""
        if condition in self._conditions.plain:
            self._mark(order, at, condition)

    @property
    def reviews(self) -> bool:
        """Whether any condition looks at what persons found."""
        return bool(self._conditions.plain & {CONFIRMED, RELEASED})

    def finish(self, watermark: int) -> None:
        """History ends at ``watermark`` (epoch ms): what was promised for before it, and has not come, is late."""
        for order, promised_at in self._promised.items():
            if promised_at < watermark and LATE in self._conditions.plain:
                self._mark(order, promised_at, LATE)

    def _deliver(self, order: str, at: int) -> None:
        if order in self._delivered:
            return
        self._delivered.add(order)
        promised_at = self._promised.pop(order, None)
        plain = self._conditions.plain
        if promised_at is not None and at > promised_at and LATE in plain:
            self._mark(order, promised_at, LATE)
        if promised_at is not None and at <= promised_at and IN_TIME in plain:
            self._mark(order, at, IN_TIME)
        created = self._created.pop(order, None)
        if created is None:
            return
        for name, longest in self._conditions.over.items():
            if at - created > longest:
                self._mark(order, created + longest, name)
        for name, longest in self._conditions.within.items():
            if at - created <= longest:
                self._mark(order, at, name)

    def _mark(self, order: str, at: int, condition: str) -> None:
        self.marks.setdefault(order, []).append((at, condition))


def watching(book: OutcomeBook) -> dict[str, tuple[type[Component], ...]]:
    """Components that tell ``book`` what becomes of orders, by stage: for one run in memory that is never kept."""
    found: dict[str, tuple[type[Component], ...]] = {"orders": (_watching_orders(book),)}
    if book.reviews:
        found["alerts"] = (_watching_reviews(book),)
    return found


def _watching_orders(book: OutcomeBook) -> type[Component]:
    class OrderOutcomes(Component):
        name: ClassVar[str] = "order_outcomes"
        stage: ClassVar[str] = "orders"

        @classmethod
        def enabled(cls, environment: Environment) -> bool:
            return True

        def handlers(self) -> Mapping[type, Handler]:
            return {OrderOpened: self.on_opened, FieldsChanged: self.on_changed, StageMoved: self.on_moved}

        def on_opened(self, fact: OrderOpened, at: int) -> None:
            book.created(fact.order_id, fact.event.promised_at, at)

        def on_changed(self, fact: FieldsChanged, at: int) -> None:
            promised_at = fact.event.fields.promised_at
            if promised_at is not UNSET:
                book.promised(fact.order_id, promised_at)

        def on_moved(self, fact: StageMoved, at: int) -> None:
            if fact.parcel is None:
                book.moved(fact.order_id, fact.after, at)

    return OrderOutcomes


def _watching_reviews(book: OutcomeBook) -> type[Component]:
    class ReviewOutcomes(Component):
        name: ClassVar[str] = "review_outcomes"
        stage: ClassVar[str] = "alerts"

        @classmethod
        def enabled(cls, environment: Environment) -> bool:
            return True

        def handlers(self) -> Mapping[type, Handler]:
            return {ReviewConfirmed: self.on_confirmed, ReviewReleased: self.on_released}

        def on_confirmed(self, event: ReviewConfirmed, at: int) -> None:
            book.reviewed(event.order_id, CONFIRMED, at)

        def on_released(self, event: ReviewReleased, at: int) -> None:
            book.reviewed(event.order_id, RELEASED, at)

    return ReviewOutcomes
