"""Names of fields and headers, and values of schemes and versions, that a source did not send before."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from config.settings import ContractSettings
from events.model import ContractCounted
from operators.contracts.state import Example, Level, OpenNew, Source

_KNOWN_NAMES: Final = 2_000  # of one source
_KNOWN_VALUES: Final = 64  # of one name
_SEPARATOR: Final = "\n"


class Novelty(Struct, frozen=True):
    """Something new of a source that opens an alert, or that ends one (``reason``)."""

    level: Level
    name: str
    value: str
    alert: OpenNew
    reason: str


def judge(source: Source, counts: Sequence[ContractCounted], at: int, settings: ContractSettings) -> list[Novelty]:
    """What is new in the counts, and what is new no more; both are remembered."""
    learned = source.records >= settings.learning
    found = [
        *_new_names(source, counts, at, settings.names_at_once if learned else 0),
        *_new_values(source, counts, at, learned=learned),
    ]
    found += _ended(source, at, settings)
    _tidy(source)
    return found


def open_novelties(source: Source) -> Iterator[tuple[Level, str, OpenNew]]:
    """Level, name and alert of all that is new."""
    for key, alert in source.new.items():
        level, name, _ = _parts(key)
        yield level, name, alert


def _new_names(source: Source, counts: Sequence[ContractCounted], at: int, room: int) -> Iterator[Novelty]:
    for each in counts:
        for seen in each.names:
            level: Level = "new_field" if seen.kind == "field" else "new_header"
            key = _key(level, seen.name)
            is_new = key not in source.names
            source.names[key] = at
            # Fields and headers apart: a header that appears says too much to be crowded out by a reshaped body.
            alike_open = sum(other.startswith(level) for other in source.new)
            if is_new and alike_open < room:
                example = Example(each.start, each.partition, seen.position)
                yield _opened(source, key, OpenNew(at, example))


def _new_values(source: Source, counts: Sequence[ContractCounted], at: int, *, learned: bool) -> Iterator[Novelty]:
    for each in counts:
        for seen in each.traits:
            known = source.values.setdefault(seen.name, {})
            before = tuple(sorted(known))
            is_new = seen.value not in known
            known[seen.value] = at
            if is_new and before and learned:
                example = Example(each.start, each.partition, seen.position)
                yield _opened(source, _key("scheme_changed", seen.name, seen.value), OpenNew(at, example, before))


def _opened(source: Source, key: str, alert: OpenNew) -> Novelty:
    source.new[key] = alert
    return Novelty(*_parts(key), alert, "appeared")


def _ended(source: Source, at: int, settings: ContractSettings) -> Iterator[Novelty]:
    for key, alert in list(source.new.items()):
        level, name, value = _parts(key)
        known = source.values.get(name, {}) if level == "scheme_changed" else source.names
        last = known.get(value if level == "scheme_changed" else key, alert.opened_at)
        if at - last >= settings.gone_after:
            known.pop(value if level == "scheme_changed" else key, None)
            del source.new[key]
            yield Novelty(level, name, value, alert, "gone")
        elif at - alert.opened_at >= settings.usual_after:
            del source.new[key]
            yield Novelty(level, name, value, alert, "usual")


def _tidy(source: Source) -> None:
    """Forget what was not seen for longest where there is too much."""
    if len(source.names) > _KNOWN_NAMES:
        source.names = _newest(source.names, _KNOWN_NAMES)
    for name, known in source.values.items():
        if len(known) > _KNOWN_VALUES:
            source.values[name] = _newest(known, _KNOWN_VALUES)


def _newest(known: dict[str, int], most: int) -> dict[str, int]:
    ordered = sorted(known.items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[:most])


def _key(level: Level, name: str, value: str = "") -> str:
    return _SEPARATOR.join((level, name, value))


def _parts(key: str) -> tuple[Level, str, str]:
    level, name, value = key.split(_SEPARATOR, 2)
    return level, name, value  # type: ignore[return-value]
