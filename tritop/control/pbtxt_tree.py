"""Protobuf text format as a tree of places in the text: nothing of the text is lost or changed. Pure.

After the Protocol Buffers Text Format Language Specification, as far as messages without extensions
and `Any` need it: `name: value`, `name { ... }`, `name < ... >`, lists in brackets, `;` or `,` after
a field, strings in either quotes and one after the other, `#` comments anywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from tritop.errors import OperationFailed

MAX_DEPTH = 100

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n\f\v]+)
    | (?P<comment>\#[^\n]*)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)
    | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<mark>[{}<>\[\]:,;-])
    """,
    re.VERBOSE,
)
_CLOSING = {"{": "}", "<": ">"}


class CannotEdit(OperationFailed):
    """A text that cannot be changed without the danger of changing something else in it."""


class Span(NamedTuple):
    """A place in the text: offsets of its first character and of the one after its last."""

    start: int
    end: int


class Token(NamedTuple):
    """A piece of the text that means something."""

    kind: str
    """name, number, string, mark or end."""
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Message:
    """The inside of a message: of braces, or the whole text."""

    start: int
    """After the opening brace."""
    end: int
    """Before the closing brace."""
    fields: tuple[Field, ...]

    def named(self, name: str) -> tuple[Field, ...]:
        """The occurrences of a field, in order."""
        return tuple(field for field in self.fields if field.name == name)


@dataclass(frozen=True, slots=True)
class Value:
    """One value: a scalar, or a message with its braces."""

    start: int
    end: int
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One occurrence of a field, from its name to the `;` or `,` after it."""

    name: str
    start: int
    end: int
    values: tuple[Value, ...]
    """One, or any number in brackets."""
    brackets: Span | None = None
    """From after the opening to before the closing one."""
    commas: tuple[int, ...] = ()
    """Between the values in brackets."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole text."""

    text: str
    root: Message
    comments: tuple[Span, ...]
    """From the `#` to the end of the line, without the line break."""


def parse_tree(text: str) -> Tree:
    """Find every field of a text.

    Raises:
        CannotEdit: it is no text format, or holds what a model configuration never does; the
            sentence names the line.
    """
    return _Parser(text).tree()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._comments: list[Span] = []
        self._tokens = self._tokenise()
        self._place = 0
        self._depth = 0

    def tree(self) -> Tree:
        fields = self._fields(closing="")
        return Tree(self._text, Message(0, len(self._text), fields), tuple(self._comments))

    def _tokenise(self) -> list[Token]:
        tokens, at = [], 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None:
                self._refuse(at, f"{self._text[at]!r} has no meaning there")
            kind = found.lastgroup or ""
            if kind == "comment":
                # A carriage return before the line break belongs to the line break.
                end = found.end() - (1 if found.group().endswith("\r") else 0)
                self._comments.append(Span(at, end))
            elif kind != "space":
                tokens.append(Token(kind, found.group(), at, found.end()))
            at = found.end()
        tokens.append(Token("end", "", at, at))
        return tokens

    def _refuse(self, at: int, why: str) -> NoReturn:
        line = self._text.count("\n", 0, at) + 1
        raise CannotEdit(f"The text cannot be edited: {why} (line {line}).")

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._tokens[self._place]
        self._place += 1
        return token

    def _take_mark(self, *marks: str) -> Token | None:
        return self._take() if self._next.kind == "mark" and self._next.text in marks else None

    def _fields(self, closing: str) -> tuple[Field, ...]:
        """Fields up to the closing brace, or up to the end of the text where that is ""."""
        fields = []
        while self._next.kind == "name":
            fields.append(self._field())
        at_end = self._next.kind == "mark" and self._next.text == closing if closing else self._next.kind == "end"
        if not at_end:
            wanted = f"a field or {closing!r}" if closing else "a field"
            self._refuse(self._next.start, f"{wanted} should stand there")
        return tuple(fields)

    def _field(self) -> Field:
        name = self._take()
        colon = self._take_mark(":")
        brackets: Span | None = None
        commas: list[int] = []
        values: list[Value] = []
        opening = self._take_mark("[")
        if opening is None:
            values.append(self._value(scalar_too=colon is not None))
        else:
            while not (closing := self._take_mark("]")):
                if values:
                    comma = self._take_mark(",")
                    if comma is None:
                        self._refuse(self._next.start, "',' or ']' should stand there")
                    commas.append(comma.start)
                values.append(self._value(scalar_too=colon is not None))
            brackets = Span(opening.end, closing.start)
        self._take_mark(";", ",")
        return Field(name.text, name.start, self._tokens[self._place - 1].end, tuple(values), brackets, tuple(commas))

    def _value(self, *, scalar_too: bool) -> Value:
        opening = self._take_mark("{", "<")
        if opening is not None:
            return self._message(opening)
        if not scalar_too:
            self._refuse(self._next.start, "':' or a brace should stand there")
        first = self._take()
        if first.kind == "string":
            while self._next.kind == "string":
                self._take()
        elif first.kind == "mark" and first.text == "-" and self._next.kind in {"name", "number"}:
            self._take()
        elif first.kind not in {"name", "number"}:
            self._refuse(first.start, "a value should stand there")
        return Value(first.start, self._tokens[self._place - 1].end)

    def _message(self, opening: Token) -> Value:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(opening.start, f"messages are nested more than {MAX_DEPTH} deep")
        fields = self._fields(_CLOSING[opening.text])
        closing = self._take()
        self._depth -= 1
        return Value(opening.start, closing.end, Message(opening.end, closing.start, fields))
