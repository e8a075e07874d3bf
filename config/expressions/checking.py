"""Checks the tree of an expression: names, types, and what it may cost at most.

The cost is counted in steps, each about the time that the engine takes for one operator: docs/composite-rules.md.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final, NoReturn

from msgspec import Struct, field

from config.composite import ListKind
from config.expressions.limits import LIST_LENGTH, MAX_COST, MAX_NESTING, TEXT_LENGTH
from config.expressions.syntax import Binary, Bracketed, Call, Choice, Constant, Node, Path, Several, Unary, refuse
from config.expressions.variables import ROOMS, Type, Variable, variable

_NUMBERS: Final = ("int", "double")
_LISTS: Final[Mapping[Type, Type]] = {
    "bool": "list<bool>",
    "int": "list<int>",
    "double": "list<double>",
    "text": "list<text>",
}
_ELEMENTS: Final[Mapping[Type, Type]] = {of_many: of_one for of_one, of_many in _LISTS.items()}
_KINDS: Final[Mapping[str, str]] = {
    "phone": "phones",
    "card": "cards",
    "ip": "ips",
    "device": "devices",
    "address": "addresses",
}
_HASHED: Final = ("phone", "card", "address")
_TEXT_STEPS: Final = TEXT_LENGTH // 100
_READ_STEPS: Final[Mapping[Type, int]] = {"text": 10, "list<text>": 10 * LIST_LENGTH}
_CALL_STEPS: Final = 10
_TESTS_OF_TEXT: Final = ("contains", "startsWith", "endsWith")
_QUANTIFIERS: Final = ("exists", "all", "exists_one")
FUNCTIONS: Final = ("has", "mentions", "size", "int", "double", *_TESTS_OF_TEXT, *_QUANTIFIERS)


class ListShape(Struct, frozen=True):
    """What an expression must know of a list of the settings."""

    name: str
    kind: ListKind
    size: int


class Edit(Struct, frozen=True, order=True):
    """What stands instead of the characters from ``start`` to before ``end`` in the text that the engine compiles."""

    start: int
    end: int
    text: str


class Checked(Struct):
    """What the checks found: the type and the cost in steps, what is read, and the text for the engine.

    ``reads`` maps the engine's names to variables; ``asks`` to variables of which only the presence is asked.
    ``members`` and ``mentions`` map the engine's functions to names of lists.
    """

    type: Type = "bool"
    cost: int = 0
    reads: dict[str, str] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    mentions: dict[str, str] = field(default_factory=dict)
    engine_text: str = ""


class _Found(Struct, frozen=True):
    """Of one part: its type, its steps, and how many entries it has where it is a list."""

    type: Type
    cost: int
    length: int = LIST_LENGTH


def check(text: str, tree: Node, lists: Mapping[str, ListShape]) -> Checked:
    """Check an expression that must say yes or no; raises ExpressionError. ``lists`` are those of the settings."""
    checker = _Checker(text, lists)
    found = checker.of(tree)
    if found.type != "bool":
        refuse(text, tree.start, f"gives {found.type}, and must be true or false: compare it with something")
    if found.cost > MAX_COST:
        refuse(text, tree.start, f"may take {found.cost} steps; {MAX_COST} are allowed: range over less, or nest less")
    return checker.result(found.cost)


class _Checker:
    def __init__(self, text: str, lists: Mapping[str, ListShape]) -> None:
        self._text = text
        self._lists = lists
        self._bound: dict[str, Type] = {}
        self._edits: list[Edit] = []
        self._checked = Checked()
        self._ways: dict[type[Node], Callable[..., _Found]] = {
            Constant: self._constant,
            Path: self._path,
            Bracketed: self._bracketed,
            Several: self._several,
            Unary: self._unary,
            Binary: self._binary,
            Choice: self._choice,
            Call: self._call,
        }

    def result(self, cost: int) -> Checked:
        """All of it; edits are applied from the end, so that positions stay true."""
        text = self._text
        for edit in sorted(self._edits, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        self._checked.engine_text = text
        self._checked.cost = cost
        return self._checked

    def of(self, node: Node) -> _Found:
        """Type and cost of a part."""
        return self._ways[type(node)](node)

    def _refuse(self, node: Node, what: str) -> NoReturn:
        refuse(self._text, node.start, what)

    def _constant(self, node: Constant) -> _Found:
        if node.kind == "double" and float(self._text[node.start : node.end]) == float("inf"):
            self._refuse(node, "is too large a number")
        return _Found(node.kind, 1)

    def _path(self, node: Path) -> _Found:
        if node.name in self._bound:
            return _Found(self._bound[node.name], 1)
        if node.name.startswith("lists."):
            self._refuse(node, "a list is only for 'in' and mentions(): write order.phone in lists.<name>")
        known = self._variable(node)
        engine_name = known.name.replace(".", "_")
        self._checked.reads[engine_name] = known.name
        self._edits.append(Edit(node.start, node.end, engine_name))
        return _Found(known.type, _READ_STEPS.get(known.type, 1))

    def _bracketed(self, node: Bracketed) -> _Found:
        return self.of(node.inner)

    def _variable(self, node: Path) -> Variable:
        try:
            return variable(node.name)
        except ValueError as error:
            self._refuse(node, str(error))

    def _several(self, node: Several) -> _Found:
        if not node.items:
            self._refuse(node, "an empty list holds nothing")
        items = [self.of(item) for item in node.items]
        if any(item.type != items[0].type or item.type not in _LISTS for item in items):
            self._refuse(node, "the entries of a list must be of one type: numbers, texts, or true and false")
        return _Found(_LISTS[items[0].type], 1 + sum(item.cost for item in items), len(items))

    def _unary(self, node: Unary) -> _Found:
        operand = self.of(node.operand)
        wanted = ("bool",) if node.sign == "!" else _NUMBERS
        if operand.type not in wanted:
            self._refuse(node, f"{node.sign!r} is for {' and '.join(wanted)}, not for {operand.type}")
        return _Found(operand.type, 1 + operand.cost)

    def _binary(self, node: Binary) -> _Found:
        if node.sign == "in":
            return self._within(node)
        left, right = self.of(node.left), self.of(node.right)
        cost = 1 + left.cost + right.cost
        if node.sign in ("&&", "||"):
            for side, found in ((node.left, left), (node.right, right)):
                if found.type != "bool":
                    self._refuse(side, f"{node.sign!r} joins true and false, not {found.type}")
            return _Found("bool", cost)
        if node.sign in ("==", "!="):
            if left.type not in _LISTS or not _comparable(left.type, right.type):
                self._refuse(node, f"{left.type} and {right.type} cannot be compared")
            for side, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(_bare(other), Constant):
                    self._readable(side)
            return _Found("bool", cost + (_TEXT_STEPS if left.type == "text" else 0))
        if left.type not in _NUMBERS or right.type not in _NUMBERS:
            self._refuse(node, f"{node.sign!r} is for numbers, not for {left.type} and {right.type}")
        if node.sign in ("<", "<=", ">", ">="):
            return _Found("bool", cost)
        return _Found(self._number(node, left.type, right.type), cost)

    def _number(self, node: Binary, left: Type, right: Type) -> Type:
        """The type of a calculation: whole numbers and fractions do not mix by themselves."""
        if left != right:
            self._refuse(node, f"{left} {node.sign} {right}: make both the same, as in double(order.amount) * 1.5")
        if node.sign == "%" and left != "int":
            self._refuse(node, "'%' is for whole numbers")
        return left

    def _within(self, node: Binary) -> _Found:
        left = self.of(node.left)
        if isinstance(node.right, Path) and node.right.name.startswith("lists."):
            return self._listed(node, node.left, left, node.right)
        right = self.of(node.right)
        if _ELEMENTS.get(right.type) != left.type:
            self._refuse(node, f"{left.type} cannot be in {right.type}")
        self._readable(node.left)
        steps = (1 + _TEXT_STEPS if left.type == "text" else 1) * right.length
        return _Found("bool", left.cost + right.cost + steps)

    def _listed(self, node: Binary, value: Node, found: _Found, path: Path) -> _Found:
        """``value in lists.name`` becomes a call, for the engine would copy the list each time."""
        name, own = self._list(path)
        if found.type != "text":
            self._refuse(value, f"lists hold texts, and this is {found.type}")
        if own.kind == "words":
            self._refuse(path, f"{path.name} holds words: write mentions(order.detail, {path.name})")
        bare = _bare(value)
        key = variable(bare.name).key if isinstance(bare, Path) and bare.name not in self._bound else None
        wanted = _KINDS.get(key or "", "texts")
        if own.kind != wanted:
            self._refuse(node, f"{path.name} holds {own.kind}, and here {wanted} are needed")
        function = f"in_{name}"
        self._checked.members[function] = name
        self._edits.append(Edit(value.start, value.start, f"{function}("))
        self._edits.append(Edit(value.end, path.end, ")"))
        return _Found("bool", found.cost + _CALL_STEPS)

    def _readable(self, node: Node) -> None:
        """Refuse to look into a keyed hash, and to write down what must not be read."""
        bare = _bare(node)
        if isinstance(bare, Path) and bare.name not in self._bound and variable(bare.name).key in _HASHED:
            kind = _KINDS[variable(bare.name).key or ""]
            what = f"{bare.name} is a keyed hash: compare it with a list of {kind}, {bare.name} in lists.<name>"
            self._refuse(node, what)

    def _list(self, path: Path) -> tuple[str, ListShape]:
        name = path.name.removeprefix("lists.")
        own = self._lists.get(name)
        if own is None:
            close = get_close_matches(name, self._lists, n=1)
            hint = f"did you mean 'lists.{close[0]}'?" if close else f"add a table [lists.{name}]"
            self._refuse(path, f"unknown list {path.name!r}: {hint}")
        return name, own

    def _choice(self, node: Choice) -> _Found:
        condition, yes, no = self.of(node.condition), self.of(node.yes), self.of(node.no)
        if condition.type != "bool":
            self._refuse(node.condition, f"what stands before '?' must be true or false, not {condition.type}")
        if yes.type != no.type:
            self._refuse(node, f"gives {yes.type} or {no.type}: both sides of ':' must be of one type")
        length = max(yes.length, no.length)
        return _Found(yes.type, 1 + condition.cost + max(yes.cost, no.cost), length)

    def _call(self, node: Call) -> _Found:
        if node.name in _QUANTIFIERS and node.target is not None:
            return self._quantified(node, node.target)
        if node.name in ("has", "mentions") and node.target is None:
            return self._has(node) if node.name == "has" else self._mentions(node)
        return self._plain_call(node)

    def _plain_call(self, node: Call) -> _Found:
        if node.name not in FUNCTIONS:
            close = get_close_matches(node.name, FUNCTIONS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(FUNCTIONS)}"
            self._refuse(node, f"unknown function {node.name!r}: {hint}")
        given = (() if node.target is None else (node.target,)) + node.arguments
        found = [self.of(part) for part in given]
        types = [part.type for part in found]
        cost = 1 + sum(part.cost for part in found)
        if node.name == "size" and len(types) == 1 and types[0] in _ELEMENTS:
            return _Found("int", cost)  # not of texts: the engine would count their bytes, not their characters
        if node.name in _NUMBERS and node.target is None and len(types) == 1 and types[0] in _NUMBERS:
            return _Found("int" if node.name == "int" else "double", cost)
        if node.name not in _TESTS_OF_TEXT or node.target is None or types != ["text", "text"]:
            self._refuse(node, f"{node.name} is not for ({', '.join(types)}): docs/composite-rules.md shows each")
        for part in given:
            self._readable(part)
        return _Found("bool", cost + 2 * _TEXT_STEPS)

    def _has(self, node: Call) -> _Found:
        path = node.arguments[0] if len(node.arguments) == 1 else None
        if not isinstance(path, Path):
            self._refuse(node, "has() asks for one variable: has(customer.mean_amount)")
        known = self._variable(path)
        if not known.optional:
            self._refuse(path, f"every order has {known.name}: leave has() out")
        engine_name = "has_" + known.name.replace(".", "_")
        self._checked.asks[engine_name] = known.name
        self._edits.append(Edit(node.start, node.end, engine_name))
        return _Found("bool", 1)

    def _mentions(self, node: Call) -> _Found:
        if len(node.arguments) != 2 or not isinstance(node.arguments[1], Path):
            self._refuse(node, "write mentions(text, lists.<name>)")
        value, path = node.arguments
        assert isinstance(path, Path)
        found = self.of(value)
        name, own = self._list(path)
        if found.type != "text" or own.kind != "words":
            what = f"mentions() looks for a list of words in a text; this is {found.type}, and {own.kind}"
            self._refuse(node, what)
        function = f"mentions_{name}"
        self._checked.mentions[function] = name
        self._edits.append(Edit(node.start, value.start, f"{function}("))
        self._edits.append(Edit(value.end, path.end, ""))
        return _Found("bool", found.cost + _CALL_STEPS + 5 * own.size)

    def _quantified(self, node: Call, target: Node) -> _Found:
        over = self.of(target)
        element = _ELEMENTS.get(over.type)
        if element is None:
            self._refuse(node, f"{node.name} ranges over a list, not over {over.type}")
        name = node.arguments[0] if len(node.arguments) == 2 else None
        if not isinstance(name, Path) or "." in name.name:
            self._refuse(node, f"write {node.name}(x, ... x ...)")
        if name.name in ROOMS or "_" in name.name or name.name in self._bound:
            self._refuse(
                name, "take another name for the entries: letters and digits, and not one that means something"
            )
        if len(self._bound) == MAX_NESTING:
            self._refuse(node, f"{MAX_NESTING} of {', '.join(_QUANTIFIERS)} within each other are allowed")
        self._bound[name.name] = element
        body = self.of(node.arguments[1])
        del self._bound[name.name]
        if body.type != "bool":
            self._refuse(node.arguments[1], f"what {node.name} asks of each entry must be true or false")
        return _Found("bool", 1 + over.cost + over.length * (2 + body.cost))


def _bare(node: Node) -> Node:
    """A part without the brackets around it."""
    while isinstance(node, Bracketed):
        node = node.inner
    return node


def _comparable(left: Type, right: Type) -> bool:
    return left == right or (left in _NUMBERS and right in _NUMBERS)
