"""The steps behind the sinks that keep the state of key groups in the recovery store; see ``dataflows.keeping``."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from bytewax.operators import StatefulBatchLogic
from msgspec import Struct

from dataflows.run_parts import Run

_UNKNOWN: Final = -1


class Keep(Struct, frozen=True, gc=False):
    """A group's state is to be kept at the end of this epoch, in its head and in ``place``."""

    number: int
    place: int


class Hello(Struct, frozen=True, gc=False):
    """The first that a source says to each process. Bytewax hands a step what is stored for it before the first item:
    so when this comes to the heads, all of them are there.
    """


class HeadLogic(StatefulBatchLogic[Keep | Hello, Keep, bytes]):
    """Keeps the head of a group. It stands behind the sinks: all that an epoch writes was handed to them before."""

    def __init__(self, run: Run, number: int, stored: bytes) -> None:
        self._run = run
        self._number = number
        self._stored = stored

    def on_batch(self, values: list[Keep | Hello]) -> tuple[Iterable[Keep], bool]:
        """The group's state is to be kept."""
        keeps = [value for value in values if isinstance(value, Keep)]
        if not keeps:
            with self._run.control.guarded():
                self._run.worker.heads_came()
            return (), StatefulBatchLogic.DISCARD
        self._number = keeps[0].number
        return keeps, StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[Keep], bool]:
        """The flow ends."""
        keeper = self._run.worker.keepers.get(self._number)
        if keeper is not None:
            keeper.end()
        return (), StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """The head; the rest is ready for its place from here on."""
        worker = self._run.worker
        keeper = worker.keepers.get(self._number)
        if keeper is None:
            return self._stored
        with self._run.control.guarded():
            outputs = self._run.outlet.positions()
            return self._run.observer.snapshot(self._number, lambda: worker.lay_down(keeper, outputs))


class PlaceLogic(StatefulBatchLogic[Keep, Any, bytes]):
    """Keeps what a group has laid down for one of its places."""

    def __init__(self, run: Run, place: int, number: int) -> None:
        self._run = run
        self._place = place
        self._number = number

    def on_batch(self, values: list[Keep]) -> tuple[Iterable[Any], bool]:
        """Something will be laid down."""
        self._number = values[0].number
        return (), StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """The base, or the changes of this epoch.

        No epoch counts before all that it wrote is acknowledged: the places come after the heads, whose making takes
        about as long as the acknowledgements.
        """
        with self._run.control.guarded():
            self._run.outlet.settle()
            part = self._run.worker.take(self._number, self._place)
            self._run.observer.laid(self._number, len(part))
            return part


def head_logic(run: Run) -> Callable[[bytes | None], HeadLogic]:
    """How Bytewax makes the logic of a head, from what is stored."""

    def build(stored: bytes | None) -> HeadLogic:
        with run.control.guarded():
            if stored is None:
                return HeadLogic(run, _UNKNOWN, b"")
            return HeadLogic(run, run.worker.add_head(stored), stored)

    return build


def place_logic(place: int, run: Run) -> Callable[[bytes | None], PlaceLogic]:
    """How Bytewax makes the logic of a place, from what is stored."""

    def build(stored: bytes | None) -> PlaceLogic:
        with run.control.guarded():
            return PlaceLogic(run, place, _UNKNOWN if stored is None else run.worker.add_part(place, stored))

    return build
