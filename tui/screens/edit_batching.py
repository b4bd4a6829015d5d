"""The batching editor: a form with the values that run, and what a change of them would do as it is typed."""

from __future__ import annotations

from typing import ClassVar

from textual import events, getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.widgets import Input

from tritop.change import Preview
from tritop.model import ModelConfig, ModelVersion, Server
from tritop.operation import EditConfig, PreviewEdit
from tui.desk import Desk
from tui.present.change import command_of, config_in
from tui.present.edit_fields import BATCHING, OFF, ON, Draft, draft_of, fields_of, locked_reason, values_of
from tui.present.edit_page import answer_lines, heading_lines, hint_lines, key_line, note_of
from tui.screens.asking_form import ModelForm
from tui.screens.dialogs import ChoiceDialog
from tui.screens.form_row import FormRow, row_of
from tui.screens.painting import set_height
from tui.screens.trial_form import TrialForm, TrialTerms
from tui.widgets.choice import Choice
from tui.widgets.lines import Lines, LinesView

__all__ = ["EditBatchingScreen"]

WIDE = 112
"""From so many cells on, form and answer stand side by side."""
FORM_COLUMNS = 72
ANSWER_LEAST = 6
"""Lines of the answer below the form."""


class EditBatchingScreen(ModelForm):
    """Everything about how a model batches and how many instances it has.

    Args:
        desk: what every screen works on.
        server: the server.
        model: the model version whose configuration is edited; all versions share it.
        config: what runs when the editor opens.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+t", "trial", "trial", show=False),
        Binding("ctrl+o", "copy", "copy", show=False),
        Binding("ctrl+r", "revert", "revert", show=False),
        # With priority the App moves the focus itself, before it hands on what was typed after these keys.
        Binding("tab,down", "app.focus_next", show=False, priority=True),
        Binding("shift+tab,up", "app.focus_previous", show=False, priority=True),
        Binding("enter", "apply", show=False),
        # The common edit is a delay: where the switch has the keys, which takes no digits, they are for the delay.
        *(Binding(digit, f"begin_delay('{digit}')", show=False, priority=True) for digit in "0123456789"),
    ]
    DEFAULT_CSS = """
    EditBatchingScreen {
        background: $background;
        & > #heading { height: 2; }
        & > #parts { height: 1fr; layout: vertical; }
        & > #hint { height: 2; padding: 0 1; }
        & > #keys { height: 1; }
        & #form { padding: 0 1; scrollbar-size: 1 1; }
        & #answer { height: 1fr; padding: 0 1; border-top: solid $panel; }
        &.ascii #answer { border-top: ascii $panel; }
        & > #parts.wide { layout: horizontal; }
        & > #parts.wide > #form { width: 72; height: 1fr; }
        & > #parts.wide > #answer { border-top: none; border-left: solid $panel; }
        &.ascii > #parts.wide > #answer { border-left: ascii $panel; }
    }
    """

    heading = getters.query_one("#heading", Lines)
    parts = getters.query_one("#parts", Container)
    form = getters.query_one("#form", VerticalScroll)
    answer = getters.query_one("#answer", LinesView)
    hint = getters.query_one("#hint", Lines)
    keys = getters.query_one("#keys", Lines)

    def __init__(self, desk: Desk, server: Server, model: ModelVersion, config: ModelConfig) -> None:
        super().__init__(desk)
        self._server, self._model, self._config = server, model, config
        self._fields = {field.key: field for field in fields_of(config, desk.look)}
        self._before = values_of(config)
        self._typed_values = self._before
        self._draft: Draft = draft_of(config, self._before, desk.look)
        self._terms: TrialTerms | None = None
        """Of the trial that is to be applied; `None` applies for good."""

    def compose(self) -> ComposeResult:
        """Heading, form beside or above the answer, hint, keys."""
        ascii = self.desk.settings.ascii
        yield Lines(id="heading", ascii=ascii)
        with Container(id="parts"):
            with VerticalScroll(id="form", can_focus=False):
                for field in self._fields.values():
                    options = field.options if field.kind == "choice" else ()
                    yield FormRow(field.key, field.label, self._before[field.key], options, ascii=ascii)
            view = LinesView(id="answer", ascii=ascii)
            view.can_focus = False
            yield view
        yield Lines(id="hint", ascii=ascii)
        yield Lines(id="keys", ascii=ascii)

    def on_mount(self) -> None:
        """The first field has the keys."""
        self._show_notes()
        first = next((row for row in self.query(FormRow) if not row.field.disabled), None)
        if first is not None:
            first.field.focus()
        self.watch(self, "focused", self._show_hint)
        self.call_after_refresh(self.show)

    # -- typing -----------------------------------------------------------------------------

    @on(Input.Changed)
    @on(Choice.Changed)
    def _changed(self, event: Input.Changed | Choice.Changed) -> None:
        event.stop()
        self.take_typed()

    def take_typed(self) -> None:
        """Make the edit of what stands in the fields."""
        values = self._values()
        if values == self._typed_values:
            return
        changed = [self._fields[key] for key, value in values.items() if value != self._typed_values[key]]
        if values["batching"] == OFF and BATCHING not in changed and any(field.of_batching for field in changed):
            values["batching"] = ON  # whoever sets a delay wants batching
            self._row(BATCHING.key).hold(ON)
        self._typed_values = values
        self._draft = draft_of(self._config, values, self.look)
        self._show_notes()
        self.typed()

    def _values(self) -> dict[str, str]:
        return {row.key: row.value for row in self.query(FormRow)}

    def wanted(self) -> PreviewEdit | None:
        """The edit, where every field can be used."""
        if self._draft.empty or self._draft.errors:
            return None
        return PreviewEdit(self._server.name, self._model.name, self._draft.edit)

    def change(self) -> EditConfig:
        """The edit, for good or on trial."""
        server, model, edit, terms = self._server.name, self._model.name, self._draft.edit, self._terms
        if terms is None:
            return EditConfig(server, model, edit)
        return EditConfig(server, model, edit, trial_s=terms.trial_s, rails=terms.rails)

    def complain(self) -> None:
        """Name the field that cannot be used."""
        if not self._draft.errors:
            super().complain()
            return
        key, error = next(iter(self._draft.errors.items()))
        self.notify(error, title=self._fields[key].label, severity="warning", timeout=4, markup=False)
        self._row(key).field.focus()

    # -- painting ---------------------------------------------------------------------------

    def show_body(self) -> None:
        """Live numbers above, the answer beside the form."""
        width, height = self.size
        wide = width >= WIDE
        self.parts.set_class(wide, "wide")
        if not wide:
            set_height(self.form, max(3, min(len(self._fields), height - 5 - ANSWER_LEAST)))
        server = next((one for one in self.desk.latest.servers if one.name == self._server.name), self._server)
        model = next((one for one in server.models if one.key == self._model.key), self._model)
        self.heading.show(heading_lines(server, model, width, self.look))
        current = config_in(server, self._model.name)
        overtaken = current is not None and current.pbtxt != self._config.pbtxt
        answer_width = (width - FORM_COLUMNS if wide else width) - 4
        self.answer.show(answer_lines(self._draft, self.question, answer_width, self.look, overtaken=overtaken))
        self.keys.show([key_line(width)])
        self._show_hint()
        super().show_body()

    def _show_notes(self) -> None:
        values = self._values()
        for row in self.query(FormRow):
            field = self._fields[row.key]
            locked = locked_reason(field, self._config)
            row.set_locked(bool(locked))
            changed = values[row.key].strip() != self._before[row.key]
            error = self._draft.errors.get(row.key, "")
            before = self._before[row.key] if changed else None
            idle = field.of_batching and values["batching"] == OFF
            row.say(*note_of(field, locked=locked, error=error, before=before, idle=idle))

    def _show_hint(self) -> None:
        row = row_of(self.focused)
        sentence = self._fields[row.key].sentence if row is not None else ""
        self.hint.show(hint_lines(sentence, self.size.width - 2))

    # -- what the keys do -------------------------------------------------------------------

    def action_apply(self) -> None:
        """For good."""
        self._terms = None
        super().action_apply()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Digits begin a delay where the switch for batching has the keys."""
        if action == "begin_delay":
            row = row_of(self.focused)
            return row is not None and row.key == BATCHING.key and not self._row("delay").field.disabled
        return super().check_action(action, parameters)

    def action_begin_delay(self, digit: str) -> None:
        """Type on in the field for the delay."""
        field = self._row("delay").field
        self.set_focus(field)
        field.post_message(events.Key(digit, digit))

    def _row(self, key: str) -> FormRow:
        return self.query_one(f"#row-{key}", FormRow)

    def action_trial(self) -> None:
        """Ask for how long and within what bounds, then whether."""
        self.go_on(self._ask_terms)

    def _ask_terms(self, preview: Preview) -> None:
        if preview.file:
            sentence = "a trial is for a server that takes configurations: this one reads files"
            self.notify(sentence, severity="warning", timeout=4, markup=False)
            return

        def given(terms: TrialTerms | None) -> None:
            if terms is not None:
                self._terms = terms
                self.accept(preview)

        self.app.push_screen(TrialForm(self.desk, self._terms or TrialTerms()), given)

    def action_copy(self) -> None:
        """Choose what to copy, as soon as the server has said what it comes to."""
        self.go_on(self._choose_copy)

    def _choose_copy(self, preview: Preview) -> None:
        command = command_of(self._server, self._model.name, self._draft.edit, preview.pbtxt_after)
        texts = {"command": command, "pbtxt": preview.pbtxt_after, "json": preview.json_after}
        names = {"command": "the tritop command", "pbtxt": "config.pbtxt", "json": "JSON for Triton's load API"}
        choices = [(key, names[key]) for key in texts if texts[key]]

        def chosen(key: str | None) -> None:
            if key is not None:
                self.app.copy_to_clipboard(texts[key])
                self.notify(f"copied: {names[key]}", timeout=4, markup=False)

        self.app.push_screen(ChoiceDialog("Copy", choices), chosen)

    def action_revert(self) -> None:
        """Put what runs into the fields again."""
        server = next((one for one in self.desk.latest.servers if one.name == self._server.name), self._server)
        current = config_in(server, self._model.name)
        if current is not None and fields_of(current, self.look) == fields_of(self._config, self.look):
            self._config, self._before = current, values_of(current)
        for row in self.query(FormRow):
            row.hold(self._before[row.key])
        self._draft = draft_of(self._config, self._before, self.look)
        self._show_notes()
        self.typed()

    def action_scroll_answer(self, lines: int) -> None:
        """Scroll the answer."""
        self.answer.action_go_lines(lines)
