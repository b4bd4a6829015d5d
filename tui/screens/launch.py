"""The form for a new server in a container: what is typed, what stands against it, and the docker run line."""

from __future__ import annotations

import os
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input

from tritop.operation import LaunchPreview, LaunchServer, PreviewLaunch
from tritop.settings import LaunchProfile
from tui.desk import Desk
from tui.present.edit_page import hint_lines, key_line
from tui.present.launch_fields import LAUNCH_FIELDS, Places, launch_draft, launch_values, profile_values
from tui.present.launch_page import LAUNCH_KEYS, PROFILE_KEY, launch_answer_lines, launch_heading, launch_note
from tui.screens.asking_form import AskingForm
from tui.screens.dialogs import ChoiceDialog
from tui.screens.form_row import FormRow, row_of
from tui.screens.painting import set_height
from tui.widgets.lines import Lines, LinesView

__all__ = ["LaunchScreen"]

WIDE = 100
"""From so many cells on, the fields are as wide as paths and images are."""
ANSWER_LEAST = 6
TEXT_MOST = 2000


class LaunchScreen(AskingForm[str, LaunchPreview]):
    """Enter launches what is typed and gives back the name of the server.

    Args:
        desk: what every screen works on.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "copy", "copy", show=False),
        Binding("ctrl+r", "profile", "profile", show=False, priority=True),
        # With priority the App moves the focus itself, before it hands on what was typed after these keys.
        Binding("tab,down", "app.focus_next", show=False, priority=True),
        Binding("shift+tab,up", "app.focus_previous", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    LaunchScreen {
        background: $background;
        & > #heading { height: 1; }
        & > #form { padding: 0 1; scrollbar-size: 1 1; }
        & FormRow > Input, & FormRow > Input:focus { width: 30; }
        &.wide FormRow > Input, &.wide FormRow > Input:focus { width: 56; }
        & > #hint { height: 2; padding: 0 1; }
        & > #answer { height: 1fr; padding: 0 1; border-top: solid $panel; }
        &.ascii > #answer { border-top: ascii $panel; }
        & > #keys { height: 1; }
    }
    """

    heading = getters.query_one("#heading", Lines)
    form = getters.query_one("#form", VerticalScroll)
    hint = getters.query_one("#hint", Lines)
    answer = getters.query_one("#answer", LinesView)
    keys = getters.query_one("#keys", Lines)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._places = Places(os.getcwd(), os.path.expanduser("~"))
        self._typed_values = launch_values(desk.latest)
        self._draft = launch_draft(self._typed_values, self._places)

    def compose(self) -> ComposeResult:
        """Heading, the fields, what the one with the cursor means, the answer, the keys."""
        ascii = self.desk.settings.ascii
        yield Lines(id="heading", ascii=ascii)
        with VerticalScroll(id="form", can_focus=False):
            for field in LAUNCH_FIELDS:
                value = self._typed_values[field.key]
                yield FormRow(field.key, field.label, value, most=TEXT_MOST, ascii=ascii)
        yield Lines(id="hint", ascii=ascii)
        view = LinesView(id="answer", ascii=ascii)
        view.can_focus = False
        yield view
        yield Lines(id="keys", ascii=ascii)

    def on_mount(self) -> None:
        """The first field has the keys."""
        self.query(FormRow).first().field.focus()
        self.watch(self, "focused", self._show_hint)
        self.call_after_refresh(self.show)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.take_typed()

    def take_typed(self) -> None:
        """Make the spec of what stands in the fields."""
        values = {row.key: row.value for row in self.query(FormRow)}
        if values != self._typed_values:
            self._typed_values = values
            self._draft = launch_draft(values, self._places)
            self.typed()

    def wanted(self) -> PreviewLaunch | None:
        """What is typed, where every field can be used."""
        return PreviewLaunch(self._draft.spec) if self._draft.spec is not None else None

    def answered(self) -> LaunchPreview | None:
        """What the engine says of it."""
        return self.question.launch

    def accept(self, answer: LaunchPreview) -> None:
        """Launch it, unless something is known to be in the way."""
        if answer.obstacle:
            self._say(answer.obstacle)
        elif self._draft.spec is not None:
            self.desk.submit(LaunchServer(self._draft.spec))
            self.dismiss(self._draft.spec.name)

    def complain(self) -> None:
        """Name the field that cannot be used."""
        key, error = next(iter(self._draft.errors.items()))
        self._say(error)
        self.query_one(f"#row-{key}", FormRow).field.focus()

    def _say(self, text: str) -> None:
        self.notify(self.look.clean(text, 300), title="not launched", severity="warning", timeout=6, markup=False)

    def show_body(self) -> None:
        """Notes beside the fields, the answer below them."""
        width, height = self.size
        self.set_class(width >= WIDE, "wide")
        set_height(self.form, max(1, min(len(LAUNCH_FIELDS), height - 5 - ANSWER_LEAST)))
        self.heading.show([launch_heading(self._draft, width, self.look)])
        for row in self.query(FormRow):
            row.say(*launch_note(row.key, self._draft))
        self._show_hint()
        self.answer.show(launch_answer_lines(self._draft, self.question, width - 4, self.look))
        offered = (*LAUNCH_KEYS[:2], PROFILE_KEY, *LAUNCH_KEYS[2:]) if self.desk.settings.profiles else LAUNCH_KEYS
        self.keys.show([key_line(width, offered)])
        super().show_body()

    def _show_hint(self) -> None:
        row = row_of(self.focused)
        sentence = next((one.sentence for one in LAUNCH_FIELDS if row is not None and one.key == row.key), "")
        self.hint.show(hint_lines(sentence, self.size.width - 2))

    def action_copy(self) -> None:
        """The docker run line, as soon as the engine has said which ports are free."""
        self.go_on(self._copy)

    def _copy(self, answer: LaunchPreview) -> None:
        self.app.copy_to_clipboard(answer.command)
        self.notify("copied: the docker run line", timeout=4, markup=False)

    def action_profile(self) -> None:
        """Fill the fields with a profile of the config file."""
        profiles = {profile.name: profile for profile in self.desk.settings.profiles}
        if not profiles:
            self._say("the config file has no profile: [servers.NAME] makes one.")
            return
        choices = [
            (name, self.look.clean(f"{name}  {profile.error or profile.fields.get('repository', '')}", 70))
            for name, profile in profiles.items()
        ]
        self.app.push_screen(ChoiceDialog("Profile", choices), lambda name: self._fill(profiles.get(name or "")))

    def _fill(self, profile: LaunchProfile | None) -> None:
        if profile is None:
            return
        if profile.error:
            self._say(profile.error)
            return
        values = launch_values(self.desk.latest) | profile_values(profile)
        for row in self.query(FormRow):
            row.hold(values[row.key])

    def action_scroll_answer(self, lines: int) -> None:
        """Scroll the answer."""
        self.answer.action_go_lines(lines)
