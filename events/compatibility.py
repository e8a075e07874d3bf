"""Whether a new schema keeps what an old one promised.

Who is on the other side decides what breaks. An **input** is written by others: all that was right has to stay right,
and no field may fall silent. An **output** is read by others: nothing may come that they were never told of, and all
that they count on has to stay. So types and limits of an input may only get wider, those of an output only narrower.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Schema = dict[str, Any]
Direction = Literal["input", "output"]

# Of a pair (keyword, sign), a larger value times sign means that less is allowed.
_LIMITS = (
    ("minimum", 1),
    ("exclusiveMinimum", 1),
    ("minLength", 1),
    ("minItems", 1),
    ("maximum", -1),
    ("exclusiveMaximum", -1),
    ("maxLength", -1),
    ("maxItems", -1),
)


def breaking_changes(old: Schema, new: Schema, direction: Direction) -> list[str]:
    """Every change that breaks the other side, as ``$.path: what``, empty when there is none.

    Knows what the generated schemas use: objects, maps, lists, unions, enums, limits and references into ``$defs``.
    """
    return list(_Comparison(old, new, direction).changes("$", old, new, frozenset()))


@dataclass(frozen=True)
class _Comparison:
    old_root: Schema
    new_root: Schema
    direction: Direction

    def changes(self, path: str, old: Schema, new: Schema, above: frozenset[str]) -> Iterator[str]:
        """``above`` holds the references that are being compared already, so types may hold themselves."""
        reference = f"{old.get('$ref')} {new.get('$ref')}"
        if "$ref" in old and reference in above:
            return
        above |= {reference}
        olds, news = _options(old, self.old_root), _options(new, self.new_root)
        yield from self._kinds(path, olds, news)
        if self.direction == "input" and old.get("default") != new.get("default"):
            yield f"{path}: the default was {old.get('default')!r} and is {new.get('default')!r}"
        for kind in sorted(olds.keys() & news.keys()):
            yield from self._option(_step_into(path, kind), olds[kind], news[kind], above)

    def _kinds(self, path: str, olds: dict[str, Schema], news: dict[str, Schema]) -> Iterator[str]:
        if self.direction == "input":
            missing = [kind for kind in olds if not _allows(news, kind)]
            yield from (f"{path}: {kind} was allowed and is no longer" for kind in sorted(missing))
        else:
            added = [kind for kind in news if not _allows(olds, kind)]
            yield from (f"{path}: {kind} is new, readers do not expect it" for kind in sorted(added))

    def _option(self, path: str, old: Schema, new: Schema, above: frozenset[str]) -> Iterator[str]:
        yield from self._enum(path, old, new)
        yield from self._limits(path, old, new)
        yield from self._properties(path, old, new, above)
        yield from self._parts(path, old, new, above)

    def _enum(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        before, now = _values(old), _values(new)
        # who writes an input loses a value, who reads an output waits for it in vain
        if now is not None and before is not None and before - now:
            yield f"{path}: the values {_listed(before - now)} are gone"
        if self.direction == "input" and now is not None and before is None:
            yield f"{path}: only {_listed(now)} are allowed now"
        if self.direction == "output" and before is not None and now is None:
            yield f"{path}: was one of {_listed(before)} and is now free"
        if self.direction == "output" and now is not None and before is not None and now - before:
            yield f"{path}: the values {_listed(now - before)} are new, readers do not expect them"

    def _limits(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        for keyword, sign in _LIMITS:
            before, now = old.get(keyword), new.get(keyword)
            if before == now:
                continue
            tighter = before is None or (now is not None and (now - before) * sign > 0)
            if tighter == (self.direction == "input"):
                yield f"{path}: {keyword} was {before} and is {now}"
        if old.get("pattern") != new.get("pattern"):
            yield f"{path}: the pattern was {old.get('pattern')!r} and is {new.get('pattern')!r}"

    def _properties(self, path: str, old: Schema, new: Schema, above: frozenset[str]) -> Iterator[str]:
        before, now = old.get("properties", {}), new.get("properties", {})
        was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
        for name in before:
            if name not in now:
                yield f"{path}.{name}: the field is gone"
            else:
                yield from self.changes(f"{path}.{name}", before[name], now[name], above)
        if self.direction == "input":
            yield from (f"{path}.{name}: is required now" for name in sorted(is_required - was_required))
        else:
            optional = (was_required - is_required) & now.keys()
            yield from (f"{path}.{name}: may be absent now" for name in sorted(optional))

    def _parts(self, path: str, old: Schema, new: Schema, above: frozenset[str]) -> Iterator[str]:
        """Items of lists, places of fixed lists, values of maps."""
        for keyword, step in (("items", "[]"), ("additionalProperties", ".*")):
            if keyword in old or keyword in new:
                yield from self.changes(path + step, _part(old, keyword), _part(new, keyword), above)
        before, now = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(before) != len(now):
            yield f"{path}: the list had {len(before)} places and has {len(now)}"
        for index, (place, new_place) in enumerate(zip(before, now, strict=False)):
            yield from self.changes(f"{path}[{index}]", place, new_place, above)


def _options(schema: Schema, root: Schema) -> dict[str, Schema]:
    """The alternatives of a schema by what tells them apart: the JSON type, for tagged objects the tag."""
    if "$ref" in schema:
        return _options(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return {kind: found for option in schema["anyOf"] for kind, found in _options(option, root).items()}
    return {_kind(schema): schema}


def _kind(schema: Schema) -> str:
    tag = schema.get("properties", {}).get("type", {}).get("enum", ())
    if len(tag) == 1:
        return f"object {tag[0]}"
    if "enum" in schema:
        return "string"
    return str(schema.get("type", "nothing" if schema.get("not") == {} else "any"))


def _allows(kinds: dict[str, Schema], kind: str) -> bool:
    return kind in kinds or "any" in kinds or kind == "nothing" or (kind == "integer" and "number" in kinds)


def _part(schema: Schema, keyword: str) -> Schema:
    """A sub-schema as an object: absent or true allows everything, false nothing."""
    found: Any = schema.get(keyword, {})
    if isinstance(found, bool):
        return {} if found else {"not": {}}
    return dict(found)


def _values(schema: Schema) -> set[str] | None:
    return set(schema["enum"]) if "enum" in schema else None


def _listed(values: set[str]) -> str:
    return ", ".join(f"`{value}`" for value in sorted(values))


def _step_into(path: str, kind: str) -> str:
    tag = kind.partition(" ")[2]
    return f"{path}<{tag}>" if tag and path == "$" else path
