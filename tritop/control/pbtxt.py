"""Edits a `config.pbtxt`: changes the fields that must change and not a character of the rest. Pure.

What is written is read again before it is given out: the configuration must be exactly the one
that is wanted, and every comment must still be there. Anything else is refused.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, TypeAlias

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from tritop.control.pbtxt_tree import CannotEdit, Field, Message, Tree, Value, parse_tree
from tritop.control.text_edits import TextEdits
from tritop.protocol import model_config_pb2

Config: TypeAlias = model_config_pb2.ModelConfig

_NOTHING_WRITTEN = "Nothing was written; edit the file by hand."


def edit_pbtxt(text: str, wanted: Config) -> str:
    """Change a text so that it says what is wanted.

    Args:
        text: text format of a ModelConfig, in any formatting that protobuf reads.
        wanted: what it shall say; fields that it says already are not touched.

    Returns:
        The text with the changes. New fields follow the indentation, the line ends and the style
        (one line, several lines, lists in brackets or not) of what stands beside them. A comment
        inside something that is removed stays where that was.

    Raises:
        CannotEdit: it is no ModelConfig, or the change cannot be made in the text for certain.
    """
    tree = parse_tree(text)
    edit = _Edit(tree)
    edit.reconcile(tree.root, _parse(text), wanted)
    result = edit.edits.apply()
    _check(tree, result, wanted)
    return result


def _parse(text: str) -> Config:
    try:
        return text_format.Parse(text, Config())
    except (text_format.ParseError, UnicodeError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise CannotEdit(f"The file is no model configuration: {said}.", _NOTHING_WRITTEN) from error


def _check(tree: Tree, result: str, wanted: Config) -> None:
    """Make sure of the promises.

    Raises:
        CannotEdit: one of them would be broken.
    """
    after = parse_tree(result)
    # Blanks at the end of a line belong to its comment, and there may be more of them now.
    before = Counter(tree.text[start:end].rstrip() for start, end in tree.comments)
    lost = before - Counter(result[start:end].rstrip() for start, end in after.comments)
    if lost:
        raise CannotEdit(f"The comment {next(iter(lost))!r} would be lost.", _NOTHING_WRITTEN)
    if _parse(result) != wanted:
        raise CannotEdit("The change cannot be made in the file without changing more of it.", _NOTHING_WRITTEN)


@dataclass(slots=True)
class _Inside:
    """The inside of one message while it is being changed."""

    body: Message
    present: Any
    wanted: Any
    added: list[Any] = dataclass_field(default_factory=list)
    """Messages of its kind, each with nothing but a field to be added."""
    removed: set[Field] = dataclass_field(default_factory=set)


class _Edit:
    """Collects the changes of one text."""

    def __init__(self, tree: Tree) -> None:
        self.edits = TextEdits(tree)

    def reconcile(self, body: Message, present: Any, wanted: Any) -> None:
        """Change the inside of a message from what is present to what is wanted."""
        inside = _Inside(body, present, wanted)
        for field in wanted.DESCRIPTOR.fields:
            if _same(field, present, wanted):
                continue
            if _is_map(field):
                self._map(field, inside)
            elif field.is_repeated:
                self._repeated(field, inside)
            else:
                self._single(field, inside)
        for gone in inside.removed:
            self.edits.remove_field(gone)
        survivors = [field for field in body.fields if field not in inside.removed]
        self.edits.add_fields(body, survivors, inside.added)

    def _single(self, field: FieldDescriptor, inside: _Inside) -> None:
        found, wanted = inside.body.named(field.name), inside.wanted
        if field.has_presence and not wanted.HasField(field.name):
            inside.removed.update(found)
        elif not found:
            inside.added.append(_only(wanted, field))
        elif field.message_type is not None:
            self.reconcile(_sole_message(found[0]), getattr(inside.present, field.name), getattr(wanted, field.name))
        else:
            self.edits.replace_value(_sole(found[0]), literal(field, getattr(wanted, field.name)))

    def _repeated(self, field: FieldDescriptor, inside: _Inside) -> None:
        found = inside.body.named(field.name)
        old, new = list(getattr(inside.present, field.name)), list(getattr(inside.wanted, field.name))
        places = [value for one in found for value in one.values]
        if len(places) != len(old):
            raise CannotEdit(f"{field.name} cannot be told apart in the file.", _NOTHING_WRITTEN)
        pairs = _aligned(field, old, new)
        for before, after in pairs:
            if old[before] == new[after]:
                continue
            if field.message_type is None:
                self.edits.replace_value(places[before], literal(field, new[after]))
            else:
                self.reconcile(_message_of(places[before]), old[before], new[after])
        kept = {before for before, _ in pairs}
        self._remove_values(found, [value for at, value in enumerate(places) if at not in kept], inside.removed)
        matched = {after for _, after in pairs}
        more = [value for at, value in enumerate(new) if at not in matched]
        if more:
            self._append(field, [value for at, value in enumerate(places) if at in kept], more, inside)

    def _append(self, field: FieldDescriptor, kept: Sequence[Value], values: Sequence[Any], inside: _Inside) -> None:
        """Add values of a repeated field in the way in which the last one is written."""
        found = inside.body.named(field.name)
        last = found[-1] if found else None
        if last is None and field.message_type is None:
            inside.added.append(_only(inside.wanted, field, values))
            return
        holders = [_only(inside.wanted, field, [value]) for value in values]
        if last is not None and last.brackets is not None and last not in inside.removed:
            self.edits.add_values(last, kept[-1] if last.values else None, holders)
        else:
            inside.added.extend(holders)

    def _map(self, field: FieldDescriptor, inside: _Inside) -> None:
        found = inside.body.named(field.name)
        old, new = getattr(inside.present, field.name), getattr(inside.wanted, field.name)
        places = self._map_places(field, found, type(inside.wanted))
        gone: dict[Any, Value] = {}
        for key, value in places.items():
            if key in new and new[key] == old[key]:
                continue
            values = _message_of(value).named("value")
            if key in new and values and values[0].values[0].message is not None:
                self.reconcile(_sole_message(values[0]), old[key], new[key])
            else:
                gone[key] = value
        self._remove_values(found, list(gone.values()), inside.removed)
        added = (key for key in new if key in gone or key not in places)
        inside.added.extend(_only_entry(inside.wanted, field, key) for key in added)

    def _map_places(self, field: FieldDescriptor, found: Sequence[Field], kind: type[Any]) -> Mapping[Any, Value]:
        """Key -> its entry. The last of several entries of one key would win, so they are refused."""
        places: dict[Any, Value] = {}
        text = self.edits.tree.text
        for one in found:
            for value in one.values:
                entry = kind()
                text_format.Parse(f"{field.name} {text[value.start : value.end]}", entry)
                key = next(iter(getattr(entry, field.name)))
                if key in places:
                    raise CannotEdit(f"{field.name} has the key {key!r} twice.", _NOTHING_WRITTEN)
                places[key] = value
        return places

    def _remove_values(self, found: Sequence[Field], values: Sequence[Value], removed: set[Field]) -> None:
        for one in found:
            gone = [at for at, value in enumerate(one.values) if value in values]
            if gone and len(gone) == len(one.values):
                removed.add(one)
            elif gone:
                self.edits.remove_values(one, gone)


def literal(field: FieldDescriptor, value: Any) -> str:
    """A scalar as text format writes it."""
    out = io.StringIO()
    text_format.PrintFieldValue(field, value, out, as_utf8=True)
    return out.getvalue()


def _same(field: FieldDescriptor, one: Any, other: Any) -> bool:
    if field.has_presence and one.HasField(field.name) != other.HasField(field.name):
        return False
    return bool(getattr(one, field.name) == getattr(other, field.name))


def _only(message: Any, field: FieldDescriptor, values: Iterable[Any] | None = None) -> Any:
    """A message of the same kind with nothing but one field, or with these values of it."""
    made = type(message)()
    if values is not None:
        getattr(made, field.name).extend(values)
    elif field.message_type is not None:
        getattr(made, field.name).CopyFrom(getattr(message, field.name))
    else:
        setattr(made, field.name, getattr(message, field.name))
    return made


def _only_entry(message: Any, field: FieldDescriptor, key: Any) -> Any:
    made = type(message)()
    target, source = getattr(made, field.name), getattr(message, field.name)
    if hasattr(source[key], "DESCRIPTOR"):
        target[key].CopyFrom(source[key])
    else:
        target[key] = source[key]
    return made


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _aligned(field: FieldDescriptor, old: Sequence[Any], new: Sequence[Any]) -> list[tuple[int, int]]:
    """Which old value becomes which new one, in rising order on both sides; new ones are at the end.

    Messages with names are matched by name where that keeps their order, everything else by place.
    """
    by_place = [(at, at) for at in range(min(len(old), len(new)))]
    key = next((name for name in ("name", "model_name") if _has(field, name)), "")
    old_names = [getattr(one, key) for one in old] if key else []
    new_names = [getattr(one, key) for one in new] if key else []
    if not key or len(set(old_names)) < len(old_names) or len(set(new_names)) < len(new_names):
        return by_place
    pairs = [(at, new_names.index(name)) for at, name in enumerate(old_names) if name in new_names]
    in_order = [after for _, after in pairs] == list(range(len(pairs)))
    return pairs if in_order and pairs else by_place


def _has(field: FieldDescriptor, name: str) -> bool:
    return field.message_type is not None and name in field.message_type.fields_by_name


def _sole(field: Field) -> Value:
    if len(field.values) != 1:
        raise CannotEdit(f"{field.name} has {len(field.values)} values, and should have one.", _NOTHING_WRITTEN)
    return field.values[0]


def _message_of(value: Value) -> Message:
    assert value.message is not None, "protobuf reads no scalar as a message"
    return value.message


def _sole_message(field: Field) -> Message:
    return _message_of(_sole(field))
