"""Expressions ready to run: checked, compiled once by the CEL engine, judged as often as one likes."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from config.composite import ListSettings
from config.expressions.checking import Checked, ListShape, check
from config.expressions.syntax import ExpressionError, parse
from config.expressions.variables import Type, variable

if TYPE_CHECKING:
    from cel import Context, Program

Failure = Literal["missing", "division_by_zero", "overflow", "failed"]
Function = Callable[[str], bool]
_SAMPLES: Final[Mapping[Type, Any]] = {"bool": True, "int": 1, "double": 1.0, "text": "a", "list<text>": ["a", "b"]}


class Answer(Struct, frozen=True):
    """What an expression says of an order. ``failure``: why it says nothing, which counts as no."""

    met: bool
    failure: Failure | None = None
    missing: tuple[str, ...] = ()


class Expression:
    """One compiled expression.

    ``text`` is what was written, ``cost`` its steps at most. ``reads`` are the variables that it names, ``members`` and
    ``mentions`` the lists: the keys are the engine's names for them.
    """

    def __init__(self, text: str, checked: Checked) -> None:
        from cel import compile as compiled  # noqa: PLC0415 - it loads a whole command line: only who has rules pays

        self.text = text
        self.cost = checked.cost
        self.reads = checked.reads
        self.asks = checked.asks
        self.members = checked.members
        self.mentions = checked.mentions
        self.variables = tuple(sorted({*checked.reads.values(), *checked.asks.values()}))
        self._program: Program = compiled(checked.engine_text)

    def run(self, context: "Context") -> bool:
        """Evaluate it; raises whatever the engine raises."""
        return self._program.execute(context) is True


def compile_expression(text: str, lists: Mapping[str, ListSettings]) -> Expression:
    """Check and compile an expression, and try it on sample values; raises ExpressionError.

    All key groups of a process share what was compiled: only kinds and sizes of ``lists`` matter to it.
    """
    shapes = tuple(ListShape(name, own.kind, len(own.values)) for name, own in sorted(lists.items()))
    return _compiled(text, shapes)


@lru_cache(maxsize=4_096)
def _compiled(text: str, shapes: tuple[ListShape, ...]) -> Expression:
    checked = check(text, parse(text), {shape.name: shape for shape in shapes})
    try:
        expression = Expression(text, checked)
    except Exception as error:
        raise ExpressionError(f"does not compile: {str(error).splitlines()[0][:200]}") from None
    sample = {name: _SAMPLES[variable(name).type] for name in expression.variables}
    functions = dict.fromkeys((*expression.members, *expression.mentions), _always)
    answer = Evaluator([expression], functions).answer(expression, sample)
    if answer.failure == "failed":
        raise ExpressionError("cannot be evaluated: its types do not fit together")
    return expression


def _always(_: str) -> bool:
    return True


class Evaluator:
    """Answers expressions from the values of one order after the other.

    The engine asks for a variable only when it comes to it, so what is not read is not converted. One evaluator is for
    one thread.
    """

    def __init__(self, expressions: Iterable[Expression], functions: Mapping[str, Function]) -> None:
        from cel import Context  # noqa: PLC0415 - as above

        self._names: dict[str, str] = {}
        self._asks: dict[str, str] = {}
        for expression in expressions:
            self._names |= expression.reads
            self._asks |= expression.asks
        self._values: Mapping[str, Any] = {}
        self._context = Context(functions=dict(functions))
        self._context.set_variable_resolver(self._resolve)

    def answer(self, expression: Expression, values: Mapping[str, Any]) -> Answer:
        """What the expression says of these values (variable -> value; None or absent: there is none)."""
        self._values = values
        try:
            return Answer(expression.run(self._context))
        except ZeroDivisionError:
            return Answer(False, "division_by_zero")
        except OverflowError:
            return Answer(False, "overflow")
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise  # somebody stops the program; a panic of the engine is only its way to fail
            missing = tuple(sorted(name for name in expression.reads.values() if values.get(name) is None))
            return Answer(False, "missing" if missing else "failed", missing)

    def _resolve(self, name: str) -> Any:
        """The engine asks for a variable by its own name for it; None: there is none."""
        known = self._names.get(name)
        if known is not None:
            return self._values.get(known)
        asked = self._asks.get(name)
        return None if asked is None else self._values.get(asked) is not None
