"""How one raw value becomes a canonical one, settled once per field of a profile: form, unit, zone, word map."""

from collections.abc import Callable
from typing import Any

from sources.mapping.canonical import Kind
from sources.mapping.paths import Scope
from sources.mapping.profile import Profile, ValueSpec
from sources.mapping.values import (
    EPOCH_UNITS,
    MoneyForm,
    TimeForm,
    as_integer,
    as_money,
    as_text,
    as_time,
    plain_moment,
)

Read = Callable[[Any, Scope], Any]  # a raw value to a canonical one


class UnmappedError(ValueError):
    """A word that the profile's map does not know: a new status, most likely."""

    reason = "unmapped"


def reader(spec: ValueSpec, kind: Kind, profile: Profile) -> Read:
    """What reads the values of one field; it raises ValueError with the remedy."""
    read = _quick(_plain(spec, kind, profile), spec, kind, profile)
    if spec.map is None:
        return read
    known, unmapped = spec.map, spec.unmapped

    def mapped(value: Any, scope: Scope) -> Any:
        text = value if type(value) is str else as_text(value)
        if text in known:
            return read(known[text], scope)
        if unmapped == "leave_out":
            return None
        if unmapped == "keep":
            return read(value, scope)
        raise UnmappedError(f"{text!r} is not in the map: add it, or set unmapped = 'keep' or 'leave_out'")

    return mapped


def _quick(read: Read, spec: ValueSpec, kind: Kind, profile: Profile) -> Read:
    """The shortest way for the plainest values, which are most: an ISO time, an amount written like ``58.90`` or 5890.

    Whatever is not plain goes the long way, ``read``; so does all where the form of a field allows no short one.
    """
    if kind == "money":
        form = _money_form(spec, profile)
        if form.decimal == ".":
            return _quick_whole(read) if form.unit == "minor" else _quick_major(read)
    elif kind == "integer":
        return _quick_whole(read)
    elif kind == "time":
        time_form = _time_form(spec, profile)
        if time_form.formats[0] == "iso" and not time_form.midnight_is_date:
            return _quick_time(read, time_form)
        if time_form.formats[0] in EPOCH_UNITS:
            return _quick_epoch(read, time_form)
    return read


def _quick_whole(read: Read) -> Read:
    return lambda value, scope: value if type(value) is int else read(value, scope)


def _quick_major(read: Read) -> Read:
    def quick(value: Any, scope: Scope) -> Any:
        if type(value) is str and value[-3:-2] == "." and scope.digits == 2 and value.isascii():
            digits = value[:-3] + value[-2:]
            if digits.isdecimal():
                return int(digits)
        return read(value, scope)

    return quick


def _quick_epoch(read: Read, form: TimeForm) -> Read:
    unit, earliest, latest = EPOCH_UNITS[form.formats[0]], form.earliest, form.latest

    def quick(value: Any, scope: Scope) -> Any:
        if type(value) is int:
            moment = value * unit
            if earliest <= moment <= latest:
                return moment
        return read(value, scope)

    return quick


def _quick_time(read: Read, form: TimeForm) -> Read:
    earliest, latest = form.earliest, form.latest

    def quick(value: Any, scope: Scope) -> Any:
        if type(value) is str:
            moment = plain_moment(value, form)
            if earliest <= moment <= latest:
                return moment
        return read(value, scope)

    return quick


def constant(value: str | int | bool, read: Read) -> Callable[[Scope], Any]:
    """A value that is the same for each record, read once."""
    try:
        fixed = read(value, Scope({}, 0))
    except ValueError:
        return lambda scope: read(value, scope)  # the dead letters say what is wrong with it
    return lambda _scope: fixed


def _plain(spec: ValueSpec, kind: Kind, profile: Profile) -> Read:
    if kind == "money":
        form = _money_form(spec, profile)
        return lambda value, scope: as_money(value, form, scope.digits, scope.currency, scope.told)
    if kind == "time":
        time_form = _time_form(spec, profile)
        return lambda value, scope: as_time(value, time_form, scope.told)
    if kind == "integer":
        return lambda value, _scope: as_integer(value)
    if kind == "texts":
        return lambda value, _scope: [as_text(item) for item in (value if isinstance(value, list) else [value])]
    return lambda value, _scope: as_text(value)


def _money_form(spec: ValueSpec, profile: Profile) -> MoneyForm:
    if spec.value is not None:
        return MoneyForm("minor")  # a constant is written as it comes out
    rules = profile.money
    return MoneyForm(spec.unit or rules.unit or "minor", spec.decimal or rules.decimal, spec.round or rules.round)


def _time_form(spec: ValueSpec, profile: Profile) -> TimeForm:
    rules = profile.time
    formats = spec.format or rules.format
    return TimeForm(
        formats=(formats,) if isinstance(formats, str) else formats,
        zone=spec.zone or rules.zone,
        date_only_at=spec.date_only_at or rules.date_only_at,
        midnight_is_date=rules.midnight_is_date if spec.midnight_is_date is None else spec.midnight_is_date,
        ambiguous=spec.ambiguous or rules.ambiguous,
        nonexistent=spec.nonexistent or rules.nonexistent,
        earliest=int(rules.earliest),
        latest=int(rules.latest),
    )
