from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from operators.heart.component import Arm, StatefulComponent
from operators.heart.headers import Kind
from operators.heart.lateness import PartitionClock
from operators.heart.messages import Note
from operators.heart.sorting import Indexes, Judge, Unusual
from operators.heart.walker import Heard

class Walker:
    def __new__(
        cls,
        components: Sequence[StatefulComponent[Any]],
        live_limit: int,
        horizon: int,
        *,
        encode: Callable[[Any], bytes],
        decode: Callable[[Any], tuple[Any, ...]],
        digest: Callable[[bytes, int], bytes],
        seeds: dict[str, int],
    ) -> Walker: ...
    def hear(self, heard: Heard, /) -> None: ...
    def armer(self, slot: int, /) -> Arm: ...
    def walk(self, ready: list[Any], watermark: int, /) -> tuple[int, int]: ...
    def tidy(self) -> None: ...
    def changes(self) -> dict[str, bytes | None]: ...
    def all(self) -> dict[str, bytes]: ...
    def restore(self, parts: Iterable[Mapping[str, bytes | None]], *, recording: bool) -> None: ...
    def __len__(self) -> int: ...

class Sorter:
    def __new__(cls, by_order: dict[Kind, str], by_customer: dict[Kind, str], groups: int) -> Sorter: ...
    def sort(
        self,
        kinds: list[Kind] | None,
        headers: list[Any],
        arrivals: list[int] | None,
        clock: PartitionClock,
        ceiling: Callable[[], int],
        unusual: Unusual,
        judge: Judge,
        /,
    ) -> tuple[dict[str, Indexes], dict[int, int]]: ...

def release(buffer: list[Any], watermark: int, /) -> tuple[list[Any], list[Any], bool]: ...
def picked(items: list[Any], indexes: list[int], /) -> list[Any]: ...
def post(notes: dict[str, dict[int, list[Note]]], stage: str, note: Note, groups: int, /) -> None: ...
