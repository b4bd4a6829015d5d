"""Lines of toned text as values: cut to a width, made harmless, compared. Pure: no widget."""

from __future__ import annotations

from rich.cells import cell_len

from tui.format import clean, fit

Line = tuple[tuple[str, str], ...]
"""(text, tone) from left to right; the text is clean, and is never read as markup."""

BLANK: Line = ()


def text_of(line: Line) -> str:
    """The text of a line without its tones."""
    return "".join(text for text, _ in line)


def harmless(line: Line) -> Line:
    """The line itself, or a cleaned copy where someone passed text that could move the cursor."""
    if all(text.isprintable() for text, _ in line):
        return line
    return tuple((clean(text), tone) for text, tone in line)


def cut(line: Line, width: int, *, ascii: bool = False) -> Line:
    """The line, ended by an ellipsis where more than spaces would be beyond `width` cells."""
    if cell_len(text_of(line).rstrip()) <= width:
        return line
    left = width
    for index, (text, tone) in enumerate(line):
        taken = cell_len(text)
        if taken >= left:  # the space makes the ellipsis stand even where this piece just fits
            return (*line[:index], (fit(text + " ", left, ascii=ascii), tone))
        left -= taken
    return line


def changed_span(old: Line, new: Line, width: int) -> tuple[int, int] | None:
    """The first changed cell and the one behind the last, `None` where nothing has changed.

    Both lines are taken as padded with spaces to `width` cells. Where wide characters or other
    tones make cells hard to tell apart, the span reaches to the end of the line.
    """
    if old == new:
        return None
    index = 0
    while index < min(len(old), len(new)) and old[index] == new[index]:
        index += 1
    start = cell_len(text_of(new[:index]))
    rest_old, rest_new = old[index:], new[index:]
    same_looks = [(len(text), tone) for text, tone in rest_old] == [(len(text), tone) for text, tone in rest_new]
    text_old, text_new = text_of(rest_old), text_of(rest_new)
    if not same_looks or cell_len(text_old) != len(text_old) or cell_len(text_new) != len(text_new):
        return (min(start, width), width)
    differing = [at for at, (a, b) in enumerate(zip(text_old, text_new, strict=True)) if a != b]
    return (min(start + differing[0], width), min(start + differing[-1] + 1, width))
