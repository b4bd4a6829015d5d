"""The whole configuration of a model in a text editor, checked while it is typed."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import TextArea

from tritop.change import ConfigEdit
from tritop.model import ModelConfig, ModelVersion, Server
from tritop.operation import EditConfig, PreviewChange, PreviewEdit
from tui.asking import Question
from tui.desk import Desk
from tui.present.config_text import escaped, line_of
from tui.present.edit_page import choice_answer_lines, heading_lines, hint_lines
from tui.screens.asking_form import ModelForm
from tui.screens.confirm import AskDialog
from tui.widgets.lines import Lines, LinesView

__all__ = ["EditTextScreen"]

_HINT = "config.pbtxt or JSON.  ^S apply   ^O copy   F2 to the line that is wrong   Esc back   ^Z undo typing"


class EditTextScreen(ModelForm):
    """What is typed replaces the whole configuration; what would be lost is asked for by name.

    Args:
        desk: what every screen works on.
        server: the server.
        model: the model version whose configuration is edited; all versions share it.
        config: what runs when the editor opens.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "copy", "copy", show=False),
        Binding("escape", "leave", "back", show=False, priority=True),  # the text would take it for itself
        Binding("f2", "go_to_problem", "problem", show=False),
    ]
    DEFAULT_CSS = """
    EditTextScreen {
        background: $background;
        & > #heading { height: 2; }
        & > TextArea { height: 2fr; border: none; padding: 0; }
        &.ascii > #answer { border-top: ascii $panel; }
        & > #answer { height: 1fr; min-height: 5; padding: 0 1; border-top: solid $panel; }
        & > #hint { height: 1; padding: 0 1; }
    }
    """

    heading = getters.query_one("#heading", Lines)
    text = getters.query_one(TextArea)
    answer = getters.query_one("#answer", LinesView)
    hint = getters.query_one("#hint", Lines)

    def __init__(self, desk: Desk, server: Server, model: ModelVersion, config: ModelConfig) -> None:
        super().__init__(desk)
        self._server, self._model = server, model
        self._before = escaped(config.pbtxt)
        self._opening = Question(desk)
        self._seen = ""
        """What the server says runs, with the version policy in force, which a version on its own does not know."""

    def compose(self) -> ComposeResult:
        """Heading, the text, what it would do."""
        ascii = self.desk.settings.ascii
        yield Lines(id="heading", ascii=ascii)
        yield TextArea(self._before, soft_wrap=False, show_line_numbers=True, tab_behavior="indent", compact=True)
        view = LinesView(id="answer", ascii=ascii)
        view.can_focus = False
        yield view
        yield Lines(id="hint", ascii=ascii)

    def on_mount(self) -> None:
        """The text has the keys; the server is asked what runs right now."""
        self._opening.ask(PreviewEdit(self._server.name, self._model.name, ConfigEdit()))
        self.text.focus()
        self.call_after_refresh(self.show)

    @on(TextArea.Changed)
    def _changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self.typed()

    @property
    def _edit(self) -> ConfigEdit:
        return ConfigEdit(pbtxt=self.text.text)

    def wanted(self) -> PreviewChange | None:
        """The text, where it differs from the one that runs."""
        return None if self.text.text == self._before else PreviewChange(self.change())

    def change(self) -> EditConfig:
        """The text, which replaces what was there when the editor opened and nothing that came later."""
        return EditConfig(self._server.name, self._model.name, self._edit, based_on=self._seen)

    def _open_newest(self) -> None:
        """Take what the server says runs, unless something was typed already."""
        preview = self._opening.preview
        if preview is None or self._seen or self.text.text != self._before:
            return
        self._seen = preview.pbtxt_before
        if self._seen and escaped(self._seen) != self._before:
            self._before = escaped(self._seen)
            self.text.text = self._before

    def show_body(self) -> None:
        """What it would do, and what is wrong with it."""
        self._open_newest()
        width = self.size.width
        server = next((one for one in self.desk.latest.servers if one.name == self._server.name), self._server)
        model = next((one for one in server.models if one.key == self._model.key), self._model)
        self.heading.show(heading_lines(server, model, width, self.look))
        self.answer.show(choice_answer_lines("", self.question, width - 4, self.look))
        self.hint.show(hint_lines(_HINT, width - 2)[:1])
        super().show_body()

    def action_go_to_problem(self) -> None:
        """Put the cursor where the first problem is."""
        preview = self.question.preview
        for problem in preview.problems if preview is not None else ():
            line = line_of(problem, self.text.text)
            if line is not None:
                self.text.move_cursor((line, 0), center=True)
                return
        self.notify("no problem names a line", timeout=4, markup=False)

    def action_copy(self) -> None:
        """The text as it stands."""
        self.app.copy_to_clipboard(self.text.text)
        self.notify("copied: the text", timeout=4, markup=False)

    def action_scroll_answer(self, lines: int) -> None:
        """Scroll the answer."""
        self.answer.action_go_lines(lines)

    def action_leave(self) -> None:
        """Send nothing; what was typed is asked for."""
        if self.text.text == self._before:
            self.dismiss(None)
            return

        def left(sure: bool | None) -> None:
            if sure:
                self.dismiss(None)

        self.app.push_screen(AskDialog(self.desk, "Throw away what was typed?", "Throw away"), left)
