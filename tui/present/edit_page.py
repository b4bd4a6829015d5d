"""The texts of the batching editor around its form."""

from __future__ import annotations

from collections.abc import Sequence

from tritop.change import ChangeClass
from tritop.model import ModelVersion, Server
from tui.asking import Question
from tui.format import batch, latency_us, percent, rate
from tui.present.change import preview_lines
from tui.present.edit_fields import Draft, EditField
from tui.present.lines import Piece, one_line, rule, wrapped
from tui.present.look import Look
from tui.present.pane import model_title
from tui.present.table import compute_us
from tui.widgets.lines import Line

__all__ = ["VERSION_KEYS", "answer_lines", "choice_answer_lines", "heading_lines", "hint_lines", "key_line", "note_of"]

EDIT_KEYS = (
    ("^S", "apply"),
    ("^T", "on trial"),
    ("^O", "copy"),
    ("^R", "as it runs"),
    ("Esc", "back"),
    ("Tab", "next"),
    ("Space", "switch"),
    ("PgDn", "scroll"),
)


VERSION_KEYS = (EDIT_KEYS[0], ("Esc", "back"), ("Tab", "next"), ("Space", "switch"), ("PgDn", "scroll"))


def heading_lines(server: Server, model: ModelVersion, width: int, look: Look) -> list[Line]:
    """What is edited, and what it does at the moment."""
    title = rule(model_title(model, look, server.name), width, look.glyphs.horizontal, look.glyphs.separator)
    numbers = [
        Piece(f" now {rate(model.requests_per_s)} requests/s"),
        Piece(f"batch {batch(model.batch_avg)}", rank=1),
        Piece(f"queue {latency_us(model.queue_us)}", rank=2),
        Piece(f"compute {latency_us(compute_us(model))}", rank=3),
        Piece(f"p99 {latency_us(model.p99_us)}", rank=4),
        Piece(f"busy {percent(model.busy_ratio)}", rank=5),
    ]
    return [title, one_line(numbers, [Piece(str(server.control_mode), "dim", 6)], width)]


def answer_lines(draft: Draft, question: Question, width: int, look: Look, *, overtaken: bool) -> list[Line]:
    """What the typed values would do.

    Args:
        draft: what is typed.
        question: what was asked about it.
        width: cells.
        look: characters to draw with.
        overtaken: whether somebody else has changed the configuration since the editor opened.
    """
    lines: list[Line] = []
    if overtaken:
        lines += wrapped("The configuration has changed since the editor opened; ^R takes it over.", width, "warn")
    if draft.errors:
        many = len(draft.errors)
        return [*lines, ((f"{many} field{'s' if many > 1 else ''} cannot be used as typed", "error"),)]
    if draft.empty:
        return [*lines, *wrapped("Nothing differs from what runs.", width, "dim")]
    return lines + _asked_lines(question, width, look)


def choice_answer_lines(problem: str, question: Question, width: int, look: Look) -> list[Line]:
    """What a choice of versions, or a text, would do; `problem` says why it cannot be used."""
    if problem:
        return wrapped(look.clean(problem, 300), width, "error")
    if not question.asked:
        return wrapped("Nothing differs from what runs.", width, "dim")
    return _asked_lines(question, width, look)


def _asked_lines(question: Question, width: int, look: Look) -> list[Line]:
    if question.failure:
        return wrapped(look.clean(question.failure, 600), width, "error")
    preview = question.preview
    if preview is None:
        return [(("asking the server what it would do", "dim"),)]
    if preview.change is ChangeClass.NOTHING and not preview.obstacle:
        return wrapped("The server has it like that already: nothing to do.", width, "dim")
    return preview_lines(preview, width, look)


def note_of(field: EditField, *, locked: str, error: str, before: str | None, idle: bool) -> tuple[str, str]:
    """(text, tone) beside a field.

    Args:
        field: which one.
        locked: why it can hold nothing else.
        error: what is wrong with what stands there.
        before: what stood there, `None` where that is still so.
        idle: it means nothing while dynamic batching is off.
    """
    if locked:
        return locked, "dim"
    if error:
        return error, "error"
    if idle:
        return "not used: dynamic batching is off", "dim"
    if before is not None:
        return f"was {before}", "accent"
    return field.bounds, "dim"


def hint_lines(sentence: str, width: int) -> list[Line]:
    """What the field with the cursor does."""
    return wrapped(sentence, width)


def key_line(width: int, keys: Sequence[tuple[str, str]] = EDIT_KEYS) -> Line:
    """The keys of a form; those on the right go first."""
    spans: list[tuple[str, str]] = []
    taken = 0
    for key, label in keys:
        taken += len(key) + len(label) + 3
        if taken > width:
            break
        spans += [(f" {key}", "key"), (f" {label} ", "dim")]
    return tuple(spans)
