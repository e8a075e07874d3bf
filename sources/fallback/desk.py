"""The desk: gives each order its number once it is kept, whatever becomes of the broker."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from msgspec import Struct

from config.settings import FallbackSettings
from sources.fallback.delivery import Delivery
from sources.fallback.form import OrderForm
from sources.fallback.journal import Entry
from sources.fallback.numbers import Numbers, number_of_request
from sources.fallback.taking import Taken, digest_of, take

_REMEMBERED = 100_000
_AT_ONCE = 500


class Kept(Protocol):
    """Where orders are kept: see Journal."""

    def append(self, batches: Sequence[tuple[Taken, ...]]) -> list[Entry]:
        """Write batches, and return when all of them are on the disk. Raises OSError; then none of them is there."""
        ...


class Receipt(Struct, frozen=True):
    """What a caller is told. ``delivered``: the broker has it; otherwise it will. ``repeated``: it had come before."""

    taken: Taken
    delivered: bool
    repeated: bool = False


class NotTakenError(Exception):
    """An order is not taken. ``word`` is counted and logged, ``what`` tells the caller."""

    def __init__(self, status: int, word: str, what: str) -> None:
        super().__init__(status, word, what)
        self.status = status
        self.word = word
        self.what = what


class Desk:
    """Takes orders one by one; lives in one event loop. Orders that come together share a write to the disk."""

    def __init__(
        self,
        settings: FallbackSettings,
        journal: Kept,
        delivery: Delivery,
        earlier: Sequence[Entry] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``earlier``: what stands in the journal from before; it is handed over too."""
        self._settings = settings
        self._journal = journal
        self._delivery = delivery
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._numbers = Numbers(lambda: round(clock() * 1000))
        self._pending: list[tuple[Taken, asyncio.Future[asyncio.Future[None]]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._requests: OrderedDict[str, tuple[Taken, asyncio.Future[asyncio.Future[None]]]] = OrderedDict()
        self.waiting_orders = 0
        for entry in earlier:
            delivered = self._hand_over([entry])
            for taken in entry.orders:
                kept: asyncio.Future[asyncio.Future[None]] = self._loop.create_future()
                kept.set_result(delivered)
                self._requests[taken.order_id] = taken, kept

    async def take(self, form: OrderForm, operator: str | None) -> Receipt:
        """Keep an order; raises NotTakenError. The same request id gives the same number, and one order."""
        number, moment = self._numbers.next()
        if form.request_id is not None:
            number = number_of_request(form.request_id)
            known = self._requests.get(number)
            if known is not None:
                return await self._again(form, *known)
        if self.waiting_orders + len(self._pending) >= self._settings.journal_orders:
            raise NotTakenError(503, "journal_full", "too many orders wait for the broker: tell whoever runs it")
        taken = take(form, number, moment, self._settings, operator)
        kept: asyncio.Future[asyncio.Future[None]] = self._loop.create_future()
        self._pending.append((taken, kept))
        self._remember(taken, kept)
        if self._writing is None:
            self._writing = self._loop.create_task(self._write())
        return Receipt(taken, await self._delivered(taken, kept))

    async def _again(self, form: OrderForm, taken: Taken, kept: "asyncio.Future[asyncio.Future[None]]") -> Receipt:
        if digest_of(form) != taken.digest:
            what = f"this request was taken before, as {taken.order_id}, and said something else"
            raise NotTakenError(409, "conflict", what)
        return Receipt(taken, await self._delivered(taken, kept), repeated=True)

    async def _delivered(self, taken: Taken, kept: "asyncio.Future[asyncio.Future[None]]") -> bool:
        """Return once it is kept: whether the broker has it, for which a moment is waited. Raises NotTakenError."""
        try:
            delivered = await asyncio.shield(kept)
        except OSError as error:
            self._requests.pop(taken.order_id, None)
            what = f"it cannot be kept on this machine ({error.strerror or error}): write it down, and try again"
            raise NotTakenError(503, "not_kept", what) from None
        if self._delivery.waiting is not None:
            return delivered.done()
        try:
            async with asyncio.timeout(self._settings.acknowledge_within / 1000):
                await asyncio.shield(delivered)
        except TimeoutError:
            return False
        return True

    async def _write(self) -> None:
        """Write what has come, all of it at once, until nothing more comes."""
        try:
            while self._pending:
                some, self._pending = self._pending[:_AT_ONCE], self._pending[_AT_ONCE:]
                batch = [(taken,) for taken, _ in some]
                try:
                    entries = await self._loop.run_in_executor(None, self._journal.append, batch)
                except OSError as error:
                    for _, kept in some:
                        kept.set_exception(error)
                        kept.exception()  # its caller may have gone
                    continue
                delivered = self._hand_over(entries)
                for _, kept in some:
                    kept.set_result(delivered)
        finally:
            self._writing = None

    def _hand_over(self, entries: list[Entry]) -> "asyncio.Future[None]":
        delivered: asyncio.Future[None] = self._loop.create_future()
        count = sum(len(entry.orders) for entry in entries)
        self.waiting_orders += count
        done = partial(self._loop.call_soon_threadsafe, self._done, delivered, count)
        self._delivery.hand_over(entries, lambda: _unless_closed(done))
        return delivered

    def _done(self, delivered: "asyncio.Future[None]", count: int) -> None:
        self.waiting_orders -= count
        delivered.set_result(None)

    def _remember(self, taken: Taken, kept: "asyncio.Future[asyncio.Future[None]]") -> None:
        self._requests[taken.order_id] = taken, kept
        if len(self._requests) > _REMEMBERED:
            self._requests.popitem(last=False)


def _unless_closed(call: Callable[[], object]) -> None:
    """At the end of the process nobody waits any more."""
    try:
        call()
    except RuntimeError:
        return
