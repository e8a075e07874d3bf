"""Orders to take, a journal in memory, and a delivery that does as it is told."""

from collections.abc import Callable, Sequence

from config.loader import load_settings
from sources.fallback.form import OrderForm, read_form
from sources.fallback.journal import Entry, Place
from sources.fallback.taking import Taken, take
from sources.reader import Waiting

SETTINGS = load_settings()
NOW = 1_795_341_012_345
PHONE = "13800001234"


def form(**fields: str) -> OrderForm:
    """A form with what it needs."""
    return read_form({"phone": PHONE, "product": "cherry", "quantity": "1", **fields})


def taken(number: str = "FB-1", **fields: str) -> Taken:
    """An order that has its number."""
    return take(form(**fields), number, NOW, SETTINGS.fallback, None)


class MemoryJournal:
    """Keeps, unless it ``fails``."""

    def __init__(self) -> None:
        self.batches: list[tuple[Taken, ...]] = []
        self.writes = 0
        self.fails: OSError | None = None

    def append(self, batches: Sequence[tuple[Taken, ...]]) -> list[Entry]:
        if self.fails is not None:
            raise self.fails
        self.writes += 1
        self.batches += batches
        return [Entry(batch, Place(1, len(self.batches))) for batch in batches]


class FakeDelivery:
    """Delivers at once, or never while it is ``silent``."""

    def __init__(self) -> None:
        self.orders: list[Taken] = []
        self.waiting: Waiting | None = None
        self.silent = False
        self.owed: list[Callable[[], None]] = []

    def hand_over(self, entries: list[Entry], done: Callable[[], None]) -> None:
        self.orders += [order for entry in entries for order in entry.orders]
        if self.silent:
            self.owed.append(done)
        else:
            done()
