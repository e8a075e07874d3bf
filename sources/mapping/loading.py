"""Profiles from files: everything that is wrong is reported at once, each with its place and its remedy."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

import config
from config.problems import ConfigurationError, Problem
from config.units import decode_unit
from events.model import Item
from sources.mapping.canonical import EVENTS, Target, targets_of, targets_of_rule
from sources.mapping.checks import references
from sources.mapping.profile import (
    Choice,
    CleanRules,
    Condition,
    EachSpec,
    EventRule,
    Field,
    IgnoreRule,
    InputSpec,
    MoneyRules,
    Parts,
    Profile,
    RelationSpec,
    SetSpec,
    Test,
    TimeRules,
    ValueSpec,
)

T = TypeVar("T", bound=msgspec.Struct)

SHIPPED = Path(config.__file__).parent / "profiles"
_TOP = (
    *("extends", "name", "source", "description", "missing", "time", "money", "clean"),
    *("inputs", "sets", "relations", "events", "ignore"),
)
_RULE_WORDS = ("name", "from", "type", "when", "for_each", "optional", "once")
_ITEM = Target("table", required=True, table=targets_of(Item))


def load_profile(name_or_path: str | Path) -> Profile:
    """A shipped profile by its name, or one's own file.

    Raises ConfigurationError with every problem of the file.
    """
    path = profile_file(name_or_path)
    return parse_profile(_toml(path), str(path))


def shipped_profiles() -> list[str]:
    """The names of the profiles that come with the program."""
    return sorted(file.stem for file in SHIPPED.glob("*.toml"))


def profile_file(name_or_path: str | Path) -> Path:
    """The file of a shipped profile's name, or of one's own; raises ConfigurationError when there is none."""
    shipped = SHIPPED / f"{name_or_path}.toml"
    if shipped.is_file():
        return shipped
    own = Path(name_or_path)
    if own.is_file():
        return own
    what = f"no such profile: name one of {', '.join(shipped_profiles())}, or the path of a .toml file"
    raise ConfigurationError(str(name_or_path), [Problem("(file)", what)])


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(str(path), [Problem("(file)", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), [Problem("(file)", f"is not UTF-8: {error.reason}")]) from None
    except tomllib.TOMLDecodeError as error:
        what = f"is not TOML: {error}"
        if "initial character for a key" in what:
            what += '; a name with letters other than a to z stands in quotes: "支付时间" = { present = true }'
        raise ConfigurationError(str(path), [Problem("(file)", what)]) from None


def parse_profile(raw: Mapping[str, Any], where: str) -> Profile:
    """A profile from its parsed TOML; raises ConfigurationError with every problem. ``where`` names the file."""
    reader = _Reader()
    profile = reader.profile(_extended(raw, where))
    problems = reader.problems or references(profile)
    if problems:
        raise ConfigurationError(where, problems)
    return profile


def _extended(raw: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The raw profile on top of the shipped one that it extends: tables by their words, rules by their names."""
    if "extends" not in raw:
        return raw
    base_name = raw["extends"]
    if base_name not in shipped_profiles():
        what = f"{base_name!r} is no shipped profile: write one of {', '.join(shipped_profiles())}"
        raise ConfigurationError(where, [Problem("extends", what)])
    return _laid_over(_toml(SHIPPED / f"{base_name}.toml"), raw)


def _laid_over(base: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    merged = {**base}
    for key, value in own.items():
        old = base.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and key in ("time", "money", "clean", "inputs"):
            merged[key] = {**old, **value}
        elif key == "events" and isinstance(value, list) and isinstance(old, list):
            names = {_rule_name(rule) for rule in value}
            merged[key] = [*(rule for rule in old if _rule_name(rule) not in names), *value]
        elif key == "ignore" and isinstance(value, list) and isinstance(old, list):
            merged[key] = [*old, *value]
        else:
            merged[key] = value
    return merged


def _rule_name(rule: Any) -> str:
    return str(rule.get("name", rule.get("type", ""))) if isinstance(rule, Mapping) else ""


class _Reader:
    """Walks the raw tables and notes every problem; what is wrong is left out of the result."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def profile(self, raw: Mapping[str, Any]) -> Profile:
        self._unknown(raw, _TOP, "")
        missing = raw.get("missing", [])
        return Profile(
            name=self._required_text(raw, "name"),
            source=self._required_text(raw, "source"),
            description=str(raw.get("description", "")),
            missing=self._value(tuple[str, ...], missing, "missing") or (),
            time=self._struct(TimeRules, raw.get("time", {}), "time") or TimeRules(),
            money=self._struct(MoneyRules, raw.get("money", {}), "money") or MoneyRules(),
            clean=self._struct(CleanRules, raw.get("clean", {}), "clean") or CleanRules(),
            inputs=self._tables(InputSpec, raw, "inputs"),
            sets=self._tables(SetSpec, raw, "sets"),
            relations=self._tables(RelationSpec, raw, "relations"),
            events=tuple(
                rule for at, table in self._rules(raw, "events") for rule in self._event(table, f"events[{at}]")
            ),
            ignore=tuple(
                rule for at, table in self._rules(raw, "ignore") for rule in self._ignore(table, f"ignore[{at}]")
            ),
        )

    def note(self, field: str, what: str) -> None:
        self.problems.append(Problem(field, what))

    def _event(self, raw: Mapping[str, Any], path: str) -> Iterator[EventRule]:
        name = str(raw.get("name", raw.get("type", "")))
        path = f"{path} ({name})" if name else path
        event = EVENTS.get(str(raw.get("type")))
        fields: dict[str, Field] = {}
        if event is None:
            close = get_close_matches(str(raw.get("type")), EVENTS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "write one of " + ", ".join(EVENTS)
            self.note(f"{path}.type", f"{raw.get('type')!r} is no event type; {hint}")
        else:
            targets = targets_of_rule(str(raw.get("type")))
            own = {key: value for key, value in raw.items() if key not in _RULE_WORDS}
            fields = self._parts(own, targets, path, known=(*_RULE_WORDS, *targets))
        for_each = raw.get("for_each")
        if isinstance(for_each, str):
            for_each = {"field": for_each}
        each = None if for_each is None else self._struct(EachSpec, for_each, f"{path}.for_each")
        when = self._condition(raw.get("when", []), f"{path}.when")
        for input_name in self._inputs(raw, path):
            yield EventRule(
                name=name,
                input=input_name,
                type=str(raw.get("type")),
                when=when,
                for_each=each,
                fields=fields,
                optional=self._value(bool, raw.get("optional", False), f"{path}.optional") is True,
                once=self._value(bool, raw.get("once", False), f"{path}.once") is True,
            )

    def _ignore(self, raw: Mapping[str, Any], path: str) -> Iterator[IgnoreRule]:
        self._unknown(raw, ("from", "when"), path)
        when = self._condition(raw.get("when", []), f"{path}.when")
        for input_name in self._inputs(raw, path):
            yield IgnoreRule(input_name, when)

    def _inputs(self, raw: Mapping[str, Any], path: str) -> list[str]:
        """The input, or the inputs, that a rule is for."""
        names = raw.get("from")
        if isinstance(names, list) and names and all(isinstance(name, str) and name for name in names):
            return list(names)
        return [self._required_text(raw, "from", path)]

    def _parts(
        self, raw: Mapping[str, Any], targets: Mapping[str, Target], path: str, known: Sequence[str] = ()
    ) -> dict[str, Field]:
        self._unknown(raw, known or tuple(targets), path)
        for name, target in targets.items():
            if target.required and name not in raw and name != "source":
                self.note(f"{path}.{name}", "is missing: name the field that holds it")
        found = {
            name: self._field(value, targets[name], f"{path}.{name}") for name, value in raw.items() if name in targets
        }
        return {name: field for name, field in found.items() if field is not None}

    def _field(self, raw: Any, target: Target, path: str) -> Field | None:
        if target.table is not None:
            if not isinstance(raw, Mapping):
                one_text = f"; an address in one text is {{ detail = {raw!r} }}" if "detail" in target.table else ""
                self.note(path, f'has parts: name each of them, e.g. {{ city = "receiver_city" }}{one_text}')
                return None
            return Parts(self._parts(raw, target.table, path))
        options = raw if isinstance(raw, list) else [raw]
        values = [
            self._option(option, target, f"{path}[{at}]" if len(options) > 1 else path)
            for at, option in enumerate(options)
        ]
        items = None
        if target.kind == "items" and values and values[0] is not None:
            items = Parts(self._parts(values[0].each or {}, _ITEM.table or {}, f"{path}.each"))
        return Choice(tuple(value for value in values if value is not None), items)

    def _option(self, raw: Any, target: Target, path: str) -> ValueSpec | None:
        if isinstance(raw, str):
            return ValueSpec(field=raw)
        if not isinstance(raw, Mapping):
            self.note(path, f"names no field: write {{ value = {raw!r} }} for a constant")
            return None
        if (target.kind == "items") != ("each" in raw):
            wrong = "needs each = { sku = ..., quantity = ... }" if target.kind == "items" else "takes no `each`"
            self.note(f"{path}.each", wrong)
        return self._struct(ValueSpec, raw, path)

    def _condition(self, raw: Any, path: str) -> Condition:
        groups = raw if isinstance(raw, list) else [raw]
        return tuple(self._tests(group, path) for group in groups)

    def _tests(self, raw: Any, path: str) -> dict[str, Test]:
        if not isinstance(raw, Mapping):
            self.note(path, 'must be a table of fields: write e.g. { status = "paid", paid_at = { present = true } }')
            return {}
        tests = {}
        for field, wanted in raw.items():
            table = dict(wanted) if isinstance(wanted, Mapping) else {"is": wanted}
            for word in ("is", "not"):
                if word in table:
                    table[word] = _texts(table[word])
            test = self._struct(Test, table, f"{path}.{field}")
            if test is not None:
                tests[field] = test
        return tests

    def _tables(self, kind: type[T], raw: Mapping[str, Any], name: str) -> dict[str, T]:
        tables = raw.get(name, {})
        if not isinstance(tables, Mapping):
            self.note(name, f"must hold named tables: write [{name}.some_name]")
            return {}
        found = {key: self._struct(kind, _with_texts(table), f"{name}.{key}") for key, table in tables.items()}
        return {key: table for key, table in found.items() if table is not None}

    def _rules(self, raw: Mapping[str, Any], name: str) -> list[tuple[int, Mapping[str, Any]]]:
        rules = raw.get(name, [])
        if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
            self.note(name, f"must be a list of tables: write [[{name}]]")
            return []
        return list(enumerate(rules, start=1))

    def _struct(self, kind: type[T], raw: Any, path: str) -> T | None:
        """One table, field by field, so that one wrong field does not hide another."""
        if not isinstance(raw, Mapping):
            self.note(path, f"must be a table, not {raw!r}")
            return None
        before = len(self.problems)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        self._unknown(raw, tuple(fields), path)
        values = {}
        for name, field in fields.items():
            if name in raw:
                values[field.name] = self._value(field.type, raw[name], f"{path}.{name}")
            elif field.required:
                self.note(f"{path}.{name}", "is missing")
        return kind(**values) if len(self.problems) == before else None

    def _value(self, kind: Any, raw: Any, path: str) -> Any:
        try:
            return msgspec.convert(raw, kind, dec_hook=decode_unit)
        except (msgspec.ValidationError, ValueError) as error:
            words = _words_of(kind)
            self.note(path, f"{error}; write one of {', '.join(words)}" if words else str(error))
            return None

    def _required_text(self, raw: Mapping[str, Any], name: str, path: str = "") -> str:
        value = raw.get(name)
        if not isinstance(value, str) or not value:
            self.note(f"{path}.{name}" if path else name, "is missing: write a text")
            return ""
        return value

    def _unknown(self, raw: Mapping[str, Any], known: Sequence[str], path: str) -> None:
        for key in raw:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else "known here: " + ", ".join(known)
                self.note(f"{path}.{key}" if path else key, f"is not known; {hint}")


def _words_of(kind: Any) -> list[str]:
    """The words that a setting takes, where it takes nothing else."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if not all(member is NoneType or get_origin(member) is Literal for member in kinds):
        return []
    return [str(word) for member in kinds for word in get_args(member)]


def _texts(raw: Any) -> list[str]:
    """One value or several, as texts to compare with."""
    items = raw if isinstance(raw, list) else [raw]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in items]


def _with_texts(table: Any) -> Any:
    """``where.is`` may be one text or several."""
    if isinstance(table, Mapping) and isinstance(table.get("where"), Mapping) and "is" in table["where"]:
        return {**table, "where": {**table["where"], "is": _texts(table["where"]["is"])}}
    return table
