"""Generated messages: any instance that a message class allows, limits of its fields included."""

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct, inspect

from events.model import EVENT_TYPES, Event

# What msgspec writes as an integer; wider numbers have no place on the wire.
INT64 = (-(2**63), 2**63 - 1)


def messages(kind: type[Struct]) -> st.SearchStrategy[Any]:
    """Instances of a message class; fields that have a default are left out at times."""
    return _values(inspect.type_info(kind))


def events() -> st.SearchStrategy[Event]:
    """Events of every kind."""
    return st.sampled_from(EVENT_TYPES).flatmap(messages)


def _values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StructType():
            return _structs(kind)
        case inspect.Metadata(type=inner):
            return _values(inner)
        case inspect.UnionType(types=types):
            return st.one_of(*map(_values, types))
        case inspect.VarTupleType() | inspect.TupleType() | inspect.DictType():
            return _collections(kind)
        case _:
            return _scalars(kind)


def _collections(kind: inspect.VarTupleType | inspect.TupleType | inspect.DictType) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.VarTupleType(item_type=item, min_length=least):
            return st.lists(_values(item), min_size=least or 0, max_size=3).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(_values, items))
        case inspect.DictType(value_type=value):
            return st.dictionaries(st.text(max_size=5), _values(value), max_size=3)


def _scalars(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StrType(min_length=least, max_length=most):
            return _texts(least or 0, most)
        case inspect.IntType(ge=least, le=most):
            low, high = (INT64[0] if least is None else least), (INT64[1] if most is None else most)
            return st.integers(low, high) | st.sampled_from([low, high])
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.NoneType():
            return st.none()
        case inspect.AnyType():
            return _json_values()
        case _:
            raise NotImplementedError(f"no strategy for {kind!r}: add one to tests/events/strategies.py")


def _structs(kind: inspect.StructType) -> st.SearchStrategy[Any]:
    required = {field.name: _values(field.type) for field in kind.fields if field.required}
    optional = {field.name: _values(field.type) for field in kind.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind.cls(**fields))


def _texts(least: int, most: int | None) -> st.SearchStrategy[str]:
    short = st.text(min_size=least, max_size=max(least, 12))
    if most is None or most > 1024:  # long ones only make the tests slow; test_wire.py has the chat's limit
        return short
    return short | st.sampled_from(["界" * most, "\U0001f4e6" * most])


def _json_values() -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers(*INT64) | st.text(max_size=5)
    return plain | st.lists(plain, max_size=2)
