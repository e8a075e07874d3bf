"""From the text of an expression to its tree: the part of CEL's grammar that composite rules may use.

The tree serves the checks only; what runs is the text itself, in a CEL engine. So whatever is accepted here must mean
there what it means here, and everything else of CEL (maps, indexes, bytes, comments, ...) is refused.
"""

import re
from collections.abc import Callable
from typing import Final, Literal, NoReturn

from msgspec import Struct

from config.expressions.limits import MAX_DEPTH, MAX_LENGTH, MAX_NODES

Kind = Literal["double", "int", "name", "text", "sign", "end"]
_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<double>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"
    r"|(?P<int>[0-9]+)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"""|(?P<text>"(?:[^"\\\n\r]|\\["'\\])*"|'(?:[^'\\\n\r]|\\["'\\])*')"""
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[-<>+*/%!?:()\[\],.])"
)
_LARGEST_INT: Final = 2**63 - 1
RESERVED: Final = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)


class ExpressionError(Exception):
    """An expression is refused. The text says what, where in it, and what to write instead."""


class Token(Struct, frozen=True):
    """One word of an expression, from character ``start`` to before ``end``."""

    kind: Kind
    text: str
    start: int
    end: int


class Node(Struct, frozen=True):
    """A part of an expression, from character ``start`` to before ``end``."""

    start: int
    end: int


class Constant(Node, frozen=True):
    """A number, a text, true or false."""

    kind: Literal["int", "double", "text", "bool"]


class Path(Node, frozen=True):
    """A name, or names with dots between them: a variable."""

    name: str


class Bracketed(Node, frozen=True):
    """``(a)``."""

    inner: Node


class Several(Node, frozen=True):
    """``[a, b]``."""

    items: tuple[Node, ...]


class Unary(Node, frozen=True):
    """``!a`` or ``-a``."""

    sign: str
    operand: Node


class Binary(Node, frozen=True):
    """``a + b`` and the like; ``in`` is one of the signs."""

    sign: str
    left: Node
    right: Node


class Choice(Node, frozen=True):
    """``condition ? yes : no``."""

    condition: Node
    yes: Node
    no: Node


class Call(Node, frozen=True):
    """``name(arguments)`` or ``target.name(arguments)``."""

    name: str
    target: Node | None
    arguments: tuple[Node, ...]


def parse(text: str) -> Node:
    """The tree of an expression; raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"has {len(text)} characters; {MAX_LENGTH} are allowed: make two conditions of it")
    return _Parser(text, _tokens(text)).whole()


def refuse(text: str, at: int, what: str) -> NoReturn:
    """Refuse an expression because of what stands at character ``at``."""
    near = text[at : at + 20].split("\n", maxsplit=1)[0]
    raise ExpressionError(f"{what} (at character {at + 1}: {near!r})" if near else f"{what} (at its end)")


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            refuse(text, at, "is not an expression here; texts stand in one pair of quotes, without line breaks")
        if match.lastgroup != "space":
            tokens.append(Token(match.lastgroup, match[0], at, match.end()))  # type: ignore[arg-type]
        at = match.end()
    tokens.append(Token("end", "", at, at))
    return tokens


class _Parser:
    """Recursive descent, one method per rank of operators; what it makes is counted."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._nodes = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._next.kind != "end":
            self._unexpected()
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _is(self, *signs: str) -> bool:
        return self._next.kind in ("sign", "name") and self._next.text in signs

    def _expect(self, sign: str) -> Token:
        if not self._is(sign):
            refuse(self._text, self._next.start, f"{sign!r} is missing")
        return self._take()

    def _unexpected(self) -> NoReturn:
        refuse(self._text, self._next.start, "is not an expression: something is missing or too much")

    def _made(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ExpressionError(f"has more than {MAX_NODES} parts: make two conditions of it")
        return node

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            refuse(self._text, self._next.start, f"is nested deeper than {MAX_DEPTH} brackets")
        node = self._either()
        if self._is("?"):
            self._take()
            yes = self._either()
            self._expect(":")
            no = self._expression()
            node = self._made(Choice(node.start, no.end, node, yes, no))
        self._depth -= 1
        return node

    def _either(self) -> Node:
        node = self._both()
        while self._is("||"):
            node = self._binary(node, self._both)
        return node

    def _both(self) -> Node:
        node = self._relation()
        while self._is("&&"):
            node = self._binary(node, self._relation)
        return node

    def _relation(self) -> Node:
        node = self._sum()
        while self._is("==", "!=", "<", "<=", ">", ">=", "in"):
            node = self._binary(node, self._sum)
        return node

    def _sum(self) -> Node:
        node = self._product()
        while self._is("+", "-"):
            node = self._binary(node, self._product)
        return node

    def _product(self) -> Node:
        node = self._unary()
        while self._is("*", "/", "%"):
            node = self._binary(node, self._unary)
        return node

    def _binary(self, left: Node, operand: Callable[[], Node]) -> Node:
        sign = self._take().text
        right = operand()
        return self._made(Binary(left.start, right.end, sign, left, right))

    def _unary(self) -> Node:
        signs: list[Token] = []
        while self._is("!", "-") and (not signs or self._is(signs[0].text)):
            signs.append(self._take())
        node = self._member()
        for sign in reversed(signs):
            node = self._made(Unary(sign.start, node.end, sign.text, node))
        return node

    def _member(self) -> Node:
        node = self._primary()
        while self._is("."):
            self._take()
            name = self._name()
            if self._is("("):
                arguments = self._bracketed(")")
                node = self._made(Call(node.start, self._tokens[self._at - 1].end, name.text, node, arguments))
            elif isinstance(node, Path):
                node = self._made(Path(node.start, name.end, f"{node.name}.{name.text}"))
            else:
                refuse(self._text, name.start, f"{name.text!r} can only be called: write .{name.text}(...)")
        return node

    def _primary(self) -> Node:
        token = self._next
        if token.kind == "name":
            return self._named()
        if token.kind in ("int", "double", "text"):
            self._take()
            if token.kind == "int" and (len(token.text) > 19 or int(token.text) > _LARGEST_INT):
                refuse(self._text, token.start, "is too large a number")
            return self._made(Constant(token.start, token.end, token.kind))
        if self._is("("):
            start = self._take().start
            inner = self._expression()
            end = self._expect(")").end
            return Bracketed(start, end, inner)
        if not self._is("["):
            self._unexpected()
        items = self._bracketed("]")
        return self._made(Several(token.start, self._tokens[self._at - 1].end, items))

    def _named(self) -> Node:
        token = self._take()
        if token.text in ("true", "false"):
            return self._made(Constant(token.start, token.end, "bool"))
        if token.text in RESERVED:
            refuse(self._text, token.start, f"{token.text!r} is a reserved word and means nothing here")
        if self._is("("):
            arguments = self._bracketed(")")
            return self._made(Call(token.start, self._tokens[self._at - 1].end, token.text, None, arguments))
        return self._made(Path(token.start, token.end, token.text))

    def _name(self) -> Token:
        if self._next.kind != "name" or self._next.text in RESERVED:
            refuse(self._text, self._next.start, "a name must follow the dot")
        return self._take()

    def _bracketed(self, closing: str) -> tuple[Node, ...]:
        """Expressions between brackets, with commas; the next word is the opening one."""
        self._take()
        items: list[Node] = []
        while not self._is(closing):
            if items:
                self._expect(",")
            items.append(self._expression())
        self._take()
        return tuple(items)
