"""Which versions of a model are served."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input

from tritop.change import VersionChoice
from tritop.errors import UsageError
from tritop.model import ModelState, ModelVersion, Server
from tritop.operation import PreviewChange, SetVersions
from tritop.units import parse_numbers
from tui.desk import Desk
from tui.format import rate
from tui.present.change import known_versions
from tui.present.edit_page import VERSION_KEYS, choice_answer_lines, heading_lines, hint_lines, key_line
from tui.screens.asking_form import ModelForm
from tui.screens.form_row import FormRow
from tui.screens.painting import set_height
from tui.widgets.choice import Choice
from tui.widgets.lines import Lines, LinesView

__all__ = ["VersionsScreen"]

TICKED, ALL, LATEST = "ticked", "all", "latest"
ANSWER_LEAST = 6
_HINT = "Versions that stay are not touched; requests without a version go to the highest one that is served."


class VersionsScreen(ModelForm):
    """Tick what is to be served, or let the server choose.

    Args:
        desk: what every screen works on.
        server: the server.
        model: any version of the model.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority the App moves the focus itself, before it hands on what was typed after these keys.
        Binding("tab,down", "app.focus_next", show=False, priority=True),
        Binding("shift+tab,up", "app.focus_previous", show=False, priority=True),
        Binding("enter", "apply", show=False),
    ]
    DEFAULT_CSS = """
    VersionsScreen {
        background: $background;
        & > #heading { height: 2; }
        & > #form { padding: 0 1; scrollbar-size: 1 1; }
        & > #answer { height: 1fr; padding: 0 1; border-top: solid $panel; }
        &.ascii > #answer { border-top: ascii $panel; }
        & > #hint { height: 2; padding: 0 1; }
        & > #keys { height: 1; }
    }
    """

    heading = getters.query_one("#heading", Lines)
    form = getters.query_one("#form", VerticalScroll)
    answer = getters.query_one("#answer", LinesView)
    hint = getters.query_one("#hint", Lines)
    keys = getters.query_one("#keys", Lines)

    def __init__(self, desk: Desk, server: Server, model: ModelVersion) -> None:
        super().__init__(desk)
        self._server, self._model = server, model
        self._known = known_versions(server, model.name)
        self._served = tuple(sorted(int(version) for version, state in self._known if state is ModelState.READY))
        self._typed_values: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        """Heading, the versions, other choices, the answer."""
        ascii = self.desk.settings.ascii
        yield Lines(id="heading", ascii=ascii)
        with VerticalScroll(id="form", can_focus=False):
            for version, state in self._known:
                on = "on" if state is ModelState.READY else "off"
                yield FormRow(f"v{version}", f"version {version}", on, ("off", "on"), ascii=ascii)
            yield FormRow("others", "other versions", "", ascii=ascii)
            yield FormRow("policy", "serve", TICKED, (TICKED, ALL, LATEST), ascii=ascii)
            yield FormRow("latest", "how many", "1", ascii=ascii)
        view = LinesView(id="answer", ascii=ascii)
        view.can_focus = False
        yield view
        yield Lines(id="hint", ascii=ascii)
        yield Lines(id="keys", ascii=ascii)

    def on_mount(self) -> None:
        """The first version has the keys."""
        self._typed_values = self._values()
        self.query(FormRow).first().field.focus()
        self.call_after_refresh(self.show)

    def _values(self) -> dict[str, str]:
        return {row.key: row.value for row in self.query(FormRow)}

    @on(Input.Changed)
    @on(Choice.Changed)
    def _changed(self, event: Input.Changed | Choice.Changed) -> None:
        event.stop()
        self.take_typed()

    def take_typed(self) -> None:
        """Ask again where something else stands in the fields."""
        if self._values() != self._typed_values:
            self._typed_values = self._values()
            self.typed()

    def choice(self) -> VersionChoice:
        """What is chosen.

        Raises:
            UsageError: a number cannot be used, or no version is chosen.
        """
        values = self._values()
        if values["policy"] == ALL:
            return VersionChoice(all=True)
        if values["policy"] == LATEST:
            number = values["latest"].strip()
            if not number.isdecimal() or not 1 <= int(number[:10]) < 2**32:
                raise UsageError("how many versions must be 1 or more.")
            return VersionChoice(latest=int(number))
        ticked = {int(version) for version, _ in self._known if values[f"v{version}"] == "on"}
        others = " ".join(values["others"].replace(",", " ").split()).replace(" ", ",")
        numbers = ticked | set(parse_numbers(others or "none", "other versions"))
        if not numbers:
            raise UsageError("a model cannot serve no version at all; u unloads it.")
        return VersionChoice(specific=tuple(sorted(numbers)))

    def wanted(self) -> PreviewChange | None:
        """The choice, where it differs from what is served."""
        try:
            choice = self.choice()
        except UsageError:
            return None
        if choice.specific == self._served:
            return None
        return PreviewChange(SetVersions(self._server.name, self._model.name, choice))

    def change(self) -> SetVersions:
        """The choice."""
        return SetVersions(self._server.name, self._model.name, self.choice())

    def complain(self) -> None:
        """Say what is wrong with the choice."""
        try:
            self.choice()
        except UsageError as error:
            self.notify(error.advice or error.sentence, severity="warning", timeout=4, markup=False)
        else:
            super().complain()

    def show_body(self) -> None:
        """The state of each version, and what the choice would do."""
        width, height = self.size
        set_height(self.form, max(3, min(len(self._known) + 3, height - 6 - ANSWER_LEAST)))
        server = next((one for one in self.desk.latest.servers if one.name == self._server.name), self._server)
        model = next((one for one in server.models if one.key == self._model.key), self._model)
        self.heading.show(heading_lines(server, model, width, self.look))
        self._show_notes(server)
        self.answer.show(choice_answer_lines(self._problem(), self.question, width - 4, self.look))
        self.hint.show(hint_lines(_HINT, width - 2))
        self.keys.show([key_line(width, VERSION_KEYS)])
        super().show_body()

    def _show_notes(self, server: Server) -> None:
        values = self._values()
        rows = {row.version: row for row in server.models if row.name == self._model.name}
        for form_row in self.query(FormRow):
            row = rows.get(form_row.key.removeprefix("v"))
            form_row.set_locked(form_row.key.startswith("v") and values["policy"] != TICKED)
            if row is not None:
                form_row.say(
                    f"{self.look.glyphs.of_model(row.state)} {row.state}  {rate(row.requests_per_s)} requests/s"
                )
        self.query_one("#row-others", FormRow).say("as 3,4: those that are on its disk only")
        self.query_one("#row-latest", FormRow).set_locked(values["policy"] != LATEST)
        self.query_one("#row-others", FormRow).set_locked(values["policy"] != TICKED)

    def _problem(self) -> str:
        try:
            self.choice()
        except UsageError as error:
            return error.sentence
        return ""

    def action_scroll_answer(self, lines: int) -> None:
        """Scroll the answer."""
        self.answer.action_go_lines(lines)
