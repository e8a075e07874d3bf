"""Shares of records that deviate: when they are an alert, and when they are none any more. Whole numbers alone."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from config.settings import ContractSettings
from operators.contracts.state import Deviated, Level, Looks, OpenShare, Past, Slice

LEVELS: Final[tuple[Level, ...]] = ("vanished", "unparsable", "unknown_status", "decrypt_failed", "time_offset")
# What counts for a level whatever was before, and what only against a past.
_ABSOLUTE: Final[Mapping[str, tuple[str, ...]]] = {
    "vanished": ("lacking",),
    "unparsable": ("unparsable",),
    "unknown_status": ("unknown_status",),
    "decrypt_failed": ("decrypt_failed",),
    "time_offset": (),
}
_RELATIVE: Final[Mapping[str, tuple[str, ...]]] = {"vanished": ("missing", "lacking"), "time_offset": ("time_offset",)}
_DEVIATIONS_SQUARED: Final = 64  # eight standard deviations: chance does not do that
_LEAST_SHARE: Final = 10  # thousandths: the past may have been too short to show a rarity


class Excess(Struct, frozen=True):
    """Too large a share: of which deviations, above which limit (thousandths)."""

    counted: tuple[str, ...]
    limit: int


def joined(slices: Iterable[Slice]) -> dict[str, Looks]:
    """The looks of several slices, by field."""
    found: dict[str, Looks] = {}
    for part in slices:
        for name, looks in part.fields.items():
            add(found.setdefault(name, Looks()), looks)
    return found


def add(into: Looks, more: Looks) -> None:
    """Add looks at a field to others."""
    into.seen += more.seen
    for what, deviated in more.wrong.items():
        known = into.wrong.get(what)
        if known is None:
            into.wrong[what] = Deviated(deviated.count, deviated.first)
        else:
            known.count += deviated.count
            known.first = min(known.first, deviated.first)


def excess(level: Level, looks: Looks, past: Past, settings: ContractSettings) -> Excess | None:
    """Why a field is an alert of this level, if it is."""
    limit = int(getattr(settings.limits, level))
    return _absolute(_ABSOLUTE[level], looks, past, limit, settings) or (
        _relative(_RELATIVE[level], looks, past, limit, settings) if level in _RELATIVE else None
    )


def is_over(alert: OpenShare, looks: Looks, settings: ContractSettings) -> bool:
    """Whether the share fell to half of its limit, with enough looks to say so."""
    return looks.seen >= settings.at_least and 2000 * count_of(looks, alert.counted) <= looks.seen * alert.limit


def count_of(looks: Looks, counted: Iterable[str]) -> int:
    """How many records deviate in one of these ways."""
    return sum(deviated.count for deviated in _wrong(looks, counted))


def first_of(looks: Looks, counted: Iterable[str]) -> Deviated:
    """The deviations of these ways with the first record of all."""
    return min(_wrong(looks, counted), key=lambda deviated: deviated.first)


def absorb(past: Past, looks: Looks, memory: int) -> None:
    """Let looks become past; an older past weighs half each time that it grows beyond ``memory``."""
    past.seen += looks.seen
    for what, deviated in looks.wrong.items():
        past.wrong[what] = past.wrong.get(what, 0) + deviated.count
    if past.seen > memory:
        past.seen //= 2
        past.wrong = {what: count // 2 for what, count in past.wrong.items() if count > 1}


def past_share(past: Past, counted: Iterable[str], settings: ContractSettings) -> int | None:
    """The share of the past, in thousandths; None where there is too little of it."""
    if past.seen < settings.past:
        return None
    return sum(past.wrong.get(what, 0) for what in counted) * 1000 // past.seen


def _absolute(
    counted: tuple[str, ...], looks: Looks, past: Past, limit: int, settings: ContractSettings
) -> Excess | None:
    count = count_of(looks, counted)
    if count < settings.at_least:
        return None
    before = past_share(past, counted, settings)
    if before is not None and before >= limit:
        limit = before + int(settings.rise)
    return Excess(counted, limit) if count * 1000 >= looks.seen * limit else None


def _relative(
    counted: tuple[str, ...], looks: Looks, past: Past, limit: int, settings: ContractSettings
) -> Excess | None:
    count, before = count_of(looks, counted), past_share(past, counted, settings)
    if count < settings.at_least or before is None:
        return None
    limit = max(limit, before + int(settings.rise))
    if count * 1000 < looks.seen * limit or not _beyond_chance(count, looks.seen, before):
        return None
    return Excess(counted, limit)


def _beyond_chance(count: int, seen: int, before: int) -> bool:
    share = min(max(before, _LEAST_SHARE), 1000 - _LEAST_SHARE)
    return (count * 1000 - seen * share) ** 2 >= _DEVIATIONS_SQUARED * seen * share * (1000 - share)


def _wrong(looks: Looks, counted: Iterable[str]) -> Iterator[Deviated]:
    return (looks.wrong[what] for what in counted if what in looks.wrong)
