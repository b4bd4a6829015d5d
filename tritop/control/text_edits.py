"""Changes of a text in text format, collected by place and applied at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import text_format

from tritop.control.pbtxt_tree import CannotEdit, Field, Message, Tree, Value

_INDENT = "  "


class TextEdits:
    """Replacements, removals and additions in one text; what they do not name stays as it is.

    Args:
        tree: the text and its fields.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._text = tree.text
        self._newline = "\r\n" if "\r\n" in tree.text else "\n"
        self._edits: list[tuple[int, int, str]] = []

    def apply(self) -> str:
        """The text with all changes.

        Raises:
            CannotEdit: two changes meet in one place.
        """
        parts, at = [], 0
        for start, end, text in sorted(self._edits, key=lambda edit: edit[:2]):
            if start < at:
                raise CannotEdit("Two changes of the file are in one place.", "Edit the file by hand.")
            parts += [self._text[at:start], text]
            at = end
        return "".join([*parts, self._text[at:]])

    def replace_value(self, value: Value, literal: str) -> None:
        """Write another scalar in the place of one; comments between the parts of a string stay."""
        comments = self._comments(value.start, value.end)
        if comments:
            # Something may be added right behind it, which must not become a part of the comment.
            line_break = self._newline + self._indent_at(value.end)
            literal = f"{literal} {line_break.join(comments)}{line_break}"
        self._edits.append((value.start, value.end, literal))

    def remove_field(self, field: Field) -> None:
        """Remove one occurrence, with its line where it is alone on it."""
        comments = self._comments(field.start, field.end)
        if comments:
            self._edits.append((field.start, field.end, self._on_lines(comments, field.end)))
            return
        line_start, line_end = self._line_start(field.start), self._line_end(field.end)
        alone = not self._text[line_start : field.start].strip() and not self._text[field.end : line_end].strip()
        if alone:
            self._edits.append((line_start, self._after_newline(line_end), ""))
        else:
            self._edits.append((field.start, self._after_spaces(field), ""))

    def remove_values(self, field: Field, places: Sequence[int]) -> None:
        """Remove some, but not all, of the values in brackets, and as many commas."""
        first_kept = next(at for at in range(len(field.values)) if at not in places)
        for at in places:
            value = field.values[at]
            if at > first_kept:
                comma = field.commas[at - 1]
                start, end, mark = comma, value.end, comma
            else:
                mark = field.commas[at]
                start, end = value.start, field.values[at + 1].start
            comments = self._comments(start, end)
            if not comments:
                self._edits.append((start, end, ""))
                continue
            inside = self._comments(value.start, value.end)
            self._edits.append((mark, mark + 1, ""))
            self._edits.append((value.start, value.end, self._on_lines(inside, value.end) if inside else ""))

    def add_values(self, field: Field, last: Value | None, holders: Sequence[Any]) -> None:
        """Add values at the end of those in brackets.

        Args:
            field: the occurrence, with brackets.
            last: its last value that is not removed, `None` where the brackets are empty.
            holders: messages of the kind that the field is in, each with one value of it.
        """
        assert field.brackets is not None
        values = [_bare(holder, field.name, one_line=True) for holder in holders]
        if last is None:
            self._edits.append((field.brackets.end, field.brackets.end, f"{', '.join(values)} "))
            return
        line_start = self._line_start(last.start)
        on_lines = not self._text[line_start : last.start].strip()
        indent = self._text[line_start : last.start] if on_lines else ""
        separator = f",{self._newline}{indent}" if on_lines else ", "
        if on_lines and last.message is not None and "\n" in self._text[last.start : last.end]:
            values = [self._indented(_bare(holder, field.name, one_line=False), indent) for holder in holders]
        self._edits.append((last.end, last.end, "".join(separator + value for value in values)))

    def add_fields(self, body: Message, survivors: Sequence[Field], holders: Sequence[Any]) -> None:
        """Add fields at the end of a message.

        Args:
            body: the inside of the message.
            survivors: the fields of it that are not removed.
            holders: messages of its kind, each with nothing but a field that is to be added.
        """
        if not holders:
            return
        if not survivors:
            self._fill(body, holders)
            return
        last = survivors[-1]
        line_end = self._line_end(last.end)
        rest = self._text[last.end : line_end].strip()
        if line_end <= body.end and (not rest or rest.startswith("#")) and self._breaks_lines(body):
            indent = self._indent(survivors)
            self._edits.append((line_end, line_end, "".join(self._newline + self._printed(h, indent) for h in holders)))
        else:
            self._edits.append((last.end, last.end, "".join(f" {_one_line(holder)}" for holder in holders)))

    # -- places ---------------------------------------------------------------------------

    def _fill(self, body: Message, holders: Sequence[Any]) -> None:
        """Add fields to a message that has none, or none that stays."""
        if body is self.tree.root:
            before = self._newline if self._text and not self._text.endswith("\n") else ""
            text = "".join(self._printed(holder, "") + self._newline for holder in holders)
            self._edits.append((body.end, body.end, before + text))
        elif "\n" in self._text[body.start : body.end]:
            line_start = self._line_start(body.end)
            before = self._text[line_start : body.end]
            indent = before if not before.strip() else self._indent_at(body.end)
            lines = [self._printed(holder, indent + _INDENT).removeprefix(indent) + self._newline for holder in holders]
            # The closing brace has its indentation already, which the first line takes over.
            self._edits.append((body.end, body.end, indent.join(lines) + indent))
        else:
            before = "" if self._text[body.start].isspace() else " "
            text = " ".join(_one_line(holder) for holder in holders)
            self._edits.append((body.end, body.end, f"{before}{text} "))

    def _breaks_lines(self, body: Message) -> bool:
        return body is self.tree.root or "\n" in self._text[body.start : body.fields[-1].end]

    def _indent(self, fields: Sequence[Field]) -> str:
        """The indentation of the last field that begins a line."""
        for field in reversed(fields):
            before = self._text[self._line_start(field.start) : field.start]
            if not before.strip():
                return before
        return self._indent_at(fields[-1].start) + _INDENT

    def _indent_at(self, at: int) -> str:
        line = self._text[self._line_start(at) : at]
        return line[: len(line) - len(line.lstrip())]

    def _comments(self, start: int, end: int) -> list[str]:
        return [self._text[one.start : one.end] for one in self.tree.comments if start <= one.start and one.end <= end]

    def _on_lines(self, comments: Sequence[str], end: int) -> str:
        """Comments in the place of something that ended at `end`, each on a line of its own."""
        line_break = self._newline + self._indent_at(end)
        rest = self._text[end : self._line_end(end)].strip()
        at_text_end = self._line_end(end) == len(self._text) and not rest
        return line_break.join(comments) + ("" if not rest or at_text_end else line_break)

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        """Where the line break of a line begins."""
        end = self._text.find("\n", at)
        if end < 0:
            return len(self._text)
        return end - 1 if end > at and self._text[end - 1] == "\r" else end

    def _after_newline(self, line_end: int) -> int:
        end = self._text.find("\n", line_end)
        return len(self._text) if end < 0 else end + 1

    def _after_spaces(self, field: Field) -> int:
        """The end of a field with the blanks after it, where there are also some before it."""
        before = self._text[field.start - 1] if field.start else " "
        if not (before.isspace() or before in "{<"):
            return field.end
        end = field.end
        while end < len(self._text) and self._text[end] in " \t":
            end += 1
        return end

    def _printed(self, holder: Any, indent: str) -> str:
        return indent + self._indented(_lines(holder), indent)

    def _indented(self, text: str, indent: str) -> str:
        return (self._newline + indent).join(text.splitlines())


def _lines(holder: Any) -> str:
    text = text_format.MessageToString(holder, as_utf8=True, use_short_repeated_primitives=_is_short(holder))
    return text.rstrip("\n")


def _one_line(holder: Any) -> str:
    short = _is_short(holder)
    text = text_format.MessageToString(holder, as_utf8=True, as_one_line=True, use_short_repeated_primitives=short)
    return text.strip()


def _is_short(holder: Any) -> bool:
    """Whether lists go in brackets: everywhere but for a single value, which stands beside others without."""
    field, value = holder.ListFields()[0]
    return not field.is_repeated or len(value) > 1


def _bare(holder: Any, name: str, *, one_line: bool) -> str:
    """The value in a message that has nothing else, without the name of its field."""
    text = text_format.MessageToString(holder, as_utf8=True, as_one_line=one_line)
    return text.strip().removeprefix(name).removeprefix(":").strip()
