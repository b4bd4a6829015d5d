"""The texts around the form for a new server."""

from __future__ import annotations

from tui.asking import Question
from tui.present.launch_fields import LAUNCH_FIELDS, LaunchDraft
from tui.present.lines import Piece, bullet, rule, wrapped
from tui.present.look import Look
from tui.widgets.lines import Line

__all__ = ["LAUNCH_KEYS", "PROFILE_KEY", "launch_answer_lines", "launch_heading", "launch_note"]

LABEL = 12
LAUNCH_KEYS = (
    ("Enter", "launch"), ("^O", "copy"), ("Esc", "back"), ("Tab", "next"), ("PgDn", "scroll"),
)  # fmt: skip
PROFILE_KEY = ("^R", "profile")
"""Offered where the config file has profiles."""


def launch_heading(draft: LaunchDraft, width: int, look: Look) -> Line:
    """What is launched."""
    pieces = [Piece("new server", "title")]
    if draft.spec is not None:
        pieces.append(Piece(f"container {look.clean(draft.spec.container_name, 80)}", "dim", 1))
    return rule(pieces, width, look.glyphs.horizontal, look.glyphs.separator)


def launch_note(key: str, draft: LaunchDraft) -> tuple[str, str]:
    """(text, tone) beside a field."""
    error = draft.errors.get(key, "")
    if error:
        return error, "error"
    return next(one.bounds for one in LAUNCH_FIELDS if one.key == key), "dim"


def launch_answer_lines(draft: LaunchDraft, question: Question, width: int, look: Look) -> list[Line]:
    """What is wrong with what is typed, or what launching it would do and the command that does the same."""
    if draft.errors:
        labels = {one.key: one.label for one in LAUNCH_FIELDS}
        return [
            line for key, error in draft.errors.items()
            for line in bullet(labels[key], LABEL, look.clean(error, 300), width, "error")
        ]  # fmt: skip
    if question.failure:
        return wrapped(look.clean(question.failure, 600), width, "error")
    answer = question.launch
    if answer is None:
        return [(("asking the engine what it would do", "dim"),)]
    lines: list[Line] = []
    if answer.obstacle:
        lines += bullet("in the way", LABEL, look.clean(answer.obstacle, 600), width, "error")
    for note in answer.notes:
        lines += bullet("note", LABEL, look.clean(note, 400), width, "warn")
    if answer.command:
        lines += [(("The same by hand; ^O copies it:", "dim"),)]
        lines += wrapped(look.clean(answer.command, 8000), width)
    return lines
