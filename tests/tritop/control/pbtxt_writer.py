"""Configurations at random, changes of them at random, and text format written in every way that is allowed."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from tritop.control.pbtxt import literal
from tritop.protocol import model_config_pb2

STRINGS = ("", "matrix", "a b", 'quo"te', "it's", "two\nlines", "# no comment", "{ [ < é", "back\\slash", "\x01")
_DEEPEST = 4


def random_config(random: Random) -> Any:
    """A ModelConfig with some fields of every kind."""
    config = model_config_pb2.ModelConfig()
    _fill(config, random, depth=0, share=0.3)
    return config


def _fill(message: Any, random: Random, *, depth: int, share: float) -> None:
    for field in message.DESCRIPTOR.fields:
        if random.random() < share and (depth < _DEEPEST or field.message_type is None):
            for _ in range(random.choice((1, 1, 2, 3)) if field.is_repeated else 1):
                _set(message, field, random, depth)


def _set(message: Any, field: FieldDescriptor, random: Random, depth: int) -> None:
    target = getattr(message, field.name)
    if is_map(field):
        entry = field.message_type
        assert entry is not None
        key = _scalar(entry.fields_by_name["key"], random)
        value_field = entry.fields_by_name["value"]
        if value_field.message_type is None:
            target[key] = _scalar(value_field, random)
        else:
            target[key].SetInParent()
            _fill(target[key], random, depth=depth + 1, share=0.5)
    elif field.message_type is not None:
        inner = target.add() if field.is_repeated else target
        inner.SetInParent()
        _fill(inner, random, depth=depth + 1, share=0.4)
    elif field.is_repeated:
        target.append(_scalar(field, random))
    else:
        setattr(message, field.name, _scalar(field, random))


def _scalar(field: FieldDescriptor, random: Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return random.choice(STRINGS)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return random.random() < 0.5
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        return random.choice(field.enum_type.values).number
    if field.type in {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}:
        return random.choice((0.0, 0.5, -1.5, 1e20))
    signed = field.type in {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64}
    return random.choice((0, 1, 2, 8, 1000, -1 if signed else 3))


def changed(config: Any, random: Random) -> Any:
    """A copy of a message with a few changes, at the top or deep inside."""
    copy = type(config)()
    copy.CopyFrom(config)
    other = type(config)()
    _fill(other, random, depth=1, share=0.3)
    for field in config.DESCRIPTOR.fields:
        if random.random() < 0.3:
            _change_field(copy, field, other, random)
    return copy


def _change_field(message: Any, field: FieldDescriptor, other: Any, random: Random) -> None:
    value = getattr(message, field.name)
    choice = random.randrange(4)
    if choice == 0:
        message.ClearField(field.name)
    elif is_map(field):
        for key in list(value):
            if random.random() < 0.5:
                del value[key]
        _set(message, field, random, depth=2)
    elif field.is_repeated:
        _change_list(value, field, random)
        if choice == 1:
            value.extend(getattr(other, field.name))
    elif field.message_type is None:
        setattr(message, field.name, _scalar(field, random))
    elif choice == 1 or not message.HasField(field.name):
        value.SetInParent()
        value.CopyFrom(getattr(other, field.name))
    else:
        value.CopyFrom(changed(value, random))


def _change_list(values: Any, field: FieldDescriptor, random: Random) -> None:
    for at in reversed(range(len(values))):
        if random.random() < 0.4:
            del values[at]
        elif random.random() < 0.4:
            if field.message_type is None:
                values[at] = _scalar(field, random)
            else:
                values[at].CopyFrom(changed(values[at], random))


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


class UnusualWriter:
    """Writes a message as text in a way that nobody would choose.

    Attributes:
        comments: every comment that was written.
        owners: for each character of the text, the top-level field that it belongs to, "" for none.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._newline = random.choice(("\n", "\n", "\r\n"))
        self._parts: list[str] = []
        self._owner = ""
        self.owners: list[str] = []
        self.comments: list[str] = []

    def write(self, message: Any) -> str:
        """The text of a message; call it once."""
        self._gap(needed=False)
        self._message(message, top=True)
        if self._random.random() < 0.2:
            self._comment(last=True)
        return "".join(self._parts)

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self.owners += [self._owner] * len(text)

    def _comment(self, *, last: bool = False) -> None:
        text = f"# c{len(self.comments)} " + self._random.choice(("", "a: 1", "}", '"', "[ <", "'"))
        self.comments.append(text)
        self._put(text + ("" if last else self._newline))

    def _gap(self, *, needed: bool) -> None:
        choice = self._random.randrange(8)
        if choice == 0:
            self._put(" ")
            self._comment()
        elif choice <= 3:
            self._put(self._newline + " " * self._random.choice((0, 2, 4)))
        elif choice == 4:
            self._put("\t")
        elif choice <= 6 or needed:
            self._put(" " * self._random.choice((1, 1, 2)))

    def _message(self, message: Any, *, top: bool = False) -> None:
        fields = list(message.ListFields())
        self._random.shuffle(fields)
        for field, value in fields:
            if top:
                self._owner = field.name
            self._field(message, field, value)
            if top:
                self._owner = ""
            self._gap(needed=True)

    def _field(self, message: Any, field: FieldDescriptor, value: Any) -> None:
        if is_map(field):
            values = [_entry(message, field, key) for key in value]
        else:
            values = list(value) if field.is_repeated else [value]
        if field.is_repeated and self._random.random() < 0.6:
            self._put(field.name)
            if field.message_type is None or self._random.random() < 0.5:
                self._colon()
            self._put("[")
            for at, one in enumerate(values):
                if at:
                    self._put(",")
                self._gap(needed=False)
                self._value(field, one)
            self._gap(needed=False)
            self._put("]")
            self._end()
            return
        for at, one in enumerate(values):
            if at:
                self._gap(needed=True)
            self._put(field.name)
            if field.message_type is None or self._random.random() < 0.5:
                self._colon()
            self._value(field, one)
            self._end()

    def _colon(self) -> None:
        self._gap(needed=False)
        self._put(":")
        self._gap(needed=False)

    def _end(self) -> None:
        if self._random.random() < 0.3:
            self._gap(needed=False)
            self._put(self._random.choice(";,"))

    def _value(self, field: FieldDescriptor, value: Any) -> None:
        if field.message_type is not None:
            opening, closing = self._random.choice(("{}", "{}", "<>"))
            self._put(opening)
            self._gap(needed=False)
            if isinstance(value, list):
                self._entry(value)
            else:
                self._message(value)
            self._put(closing)
        elif field.type == FieldDescriptor.TYPE_STRING and value:
            self._string(literal(field, value)[1:-1])
        elif field.type == FieldDescriptor.TYPE_ENUM and self._random.random() < 0.3:
            self._put(str(value))
        elif field.type == FieldDescriptor.TYPE_BOOL:
            self._put(self._random.choice(("true", "1", "t", "True") if value else ("false", "0", "f", "False")))
        elif isinstance(value, int) and value > 0 and self._random.random() < 0.3:
            self._put(hex(value))
        else:
            self._put(literal(field, value))

    def _entry(self, pairs: list[tuple[FieldDescriptor, Any]]) -> None:
        self._random.shuffle(pairs)
        for field, value in pairs:
            self._put(field.name)
            self._colon()
            self._value(field, value)
            self._gap(needed=True)

    def _string(self, escaped: str) -> None:
        """In one part or two, in either quotes; the escaped text holds no bare quote of either kind."""
        cut = self._random.randrange(len(escaped) + 1)
        if "\\" in escaped or self._random.random() < 0.6:
            cut = 0
        for part in (escaped[:cut], escaped[cut:]) if cut else (escaped,):
            quote = self._random.choice("\"'") if "'" not in part and '"' not in part else '"'
            self._put(quote + part + quote)
            if cut:
                self._gap(needed=False)


def _entry(message: Any, field: FieldDescriptor, key: Any) -> list[tuple[FieldDescriptor, Any]]:
    entry = field.message_type
    assert entry is not None
    return [(entry.fields_by_name["key"], key), (entry.fields_by_name["value"], getattr(message, field.name)[key])]
