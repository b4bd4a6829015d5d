"""The terms of a trial: for how long, and what takes it back before."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from tui.desk import Desk
from tui.present.edit_page import hint_lines
from tui.present.trial_terms import TERM_FIELDS, TrialTerms, term_values, terms_of
from tui.screens.form_row import FormRow, row_of
from tui.screens.live_dialog import LiveDialog
from tui.widgets.lines import Lines

__all__ = ["TrialForm", "TrialTerms"]


class TrialForm(LiveDialog[TrialTerms | None]):
    """Enter goes on with what stands there, Esc goes back.

    Args:
        desk: what every screen works on.
        terms: what stands there at the beginning.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "back", show=False),
        Binding("ctrl+s,ctrl+t", "go_on", "go on", show=False),
        # With priority the App moves the focus itself, before it hands on what was typed after these keys.
        Binding("tab,down", "app.focus_next", show=False, priority=True),
        Binding("shift+tab,up", "app.focus_previous", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    TrialForm {
        align: center middle;
        & > Vertical {
            width: 72; max-width: 100%; height: auto; max-height: 100%; border: round $primary; padding: 0 1;
            background: $surface; border-title-color: $foreground;
        }
        &.ascii > Vertical { border: ascii $primary; }
        & #hint { height: 2; margin-top: 1; }
    }
    """

    hint = getters.query_one("#hint", Lines)

    def __init__(self, desk: Desk, terms: TrialTerms) -> None:
        super().__init__(desk)
        self._values = term_values(terms)

    def compose(self) -> ComposeResult:
        """A frame with the fields, what the field with the cursor means, and the keys."""
        ascii = self.desk.settings.ascii
        with Vertical() as frame:
            frame.border_title = Content("On trial: taken back by itself")
            for key, label, _, _ in TERM_FIELDS:
                yield FormRow(key, label, self._values[key], ascii=ascii)
            yield Lines(id="hint", ascii=ascii)
            keys = Lines(ascii=ascii)
            keys.show([((" Enter", "key"), (" go on ", "dim"), (" Esc", "key"), (" back ", "dim"))])
            yield keys

    def on_mount(self) -> None:
        """The duration has the keys."""
        self._show_notes()
        self.query(FormRow).first().field.focus()
        self.watch(self, "focused", self._show_hint)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._show_notes()

    def _show_notes(self) -> None:
        errors = terms_of(self._typed_values())[1]
        for row, (key, _, bounds, _) in zip(self.query(FormRow), TERM_FIELDS, strict=True):
            row.say(errors.get(key, bounds), "error" if key in errors else "dim")

    def _typed_values(self) -> dict[str, str]:
        return {row.key: row.value for row in self.query(FormRow)}

    def _show_hint(self) -> None:
        row = row_of(self.focused)
        sentences = {key: sentence for key, _, _, sentence in TERM_FIELDS}
        self.hint.show(hint_lines(sentences[row.key] if row is not None else "", 66))

    @on(Input.Submitted)
    def action_go_on(self) -> None:
        """Give the terms back, if all of them can be used."""
        terms, errors = terms_of(self._typed_values())
        if errors:
            self.query_one(f"#row-{next(iter(errors))}", FormRow).field.focus()
        else:
            self.dismiss(terms)

    def action_leave(self) -> None:
        """Try nothing."""
        self.dismiss(None)
