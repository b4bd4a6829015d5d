"""The question before a change: what it does, what is lost with it, Cancel or Apply."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button

from tritop.change import ChangeClass, Preview
from tritop.operation import EditConfig, LoadModel, ModelChange, PreviewChange, PreviewEdit, ReloadModel
from tui.asking import Question
from tui.desk import Desk
from tui.present.change import LABEL, change_title, preview_lines, serving_lines
from tui.present.lines import bullet
from tui.present.look import Look
from tui.screens.live_dialog import LiveDialog
from tui.screens.painting import set_height
from tui.widgets.choice import Choice
from tui.widgets.lines import Line, LinesView

__all__ = ["AskDialog", "ChangeDialog"]

WIDEST = 100
FRAME_LINES = 4
"""Border, buttons and the line above them."""
FRAME_COLUMNS = 4


class AskDialog(LiveDialog[bool]):
    """A title, some lines, Cancel and a button that goes on; `y` and `n` are the buttons.

    Args:
        desk: what every screen works on.
        title: the question.
        go_on: what the second button says.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n,escape,q", "leave", "cancel", show=False),
        Binding("y", "go_on", "go on", show=False),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
        Binding("up,k", "scroll_lines(-1)", show=False),
        Binding("down,j", "scroll_lines(1)", show=False),
    ]
    DEFAULT_CSS = """
    AskDialog {
        align: center middle;
        & > Vertical {
            width: 100; max-width: 100%; height: auto; max-height: 100%; border: round $primary; padding: 0 1;
            background: $surface; border-title-color: $foreground;
        }
        &.ascii > Vertical { border: ascii $primary; }
        & LinesView { height: 1; }
        & #ticks { height: auto; }
        & #buttons { height: 1; margin-top: 1; align-horizontal: right; & Button { margin-left: 2; } }
    }
    """

    text = getters.query_one("#said", LinesView)
    ticks = getters.query_one("#ticks", Vertical)
    yes = getters.query_one("#go-on", Button)
    no = getters.query_one("#cancel", Button)

    def __init__(self, desk: Desk, title: str, go_on: str) -> None:
        super().__init__(desk)
        self._title = title
        self._go_on = go_on

    def compose(self) -> ComposeResult:
        """A frame with the lines, what must be ticked, and the buttons."""
        with Vertical() as frame:
            frame.border_title = Content(self._title)
            view = LinesView(id="said", ascii=self.desk.settings.ascii)
            view.can_focus = False
            yield view
            yield Vertical(*self.compose_ticks(), id="ticks")
            with Horizontal(id="buttons"):
                yield Button(Content("Cancel (n)"), id="cancel", compact=True)
                yield Button(Content(f"{self._go_on} (y)"), id="go-on", compact=True)

    def compose_ticks(self) -> Iterator[Choice]:
        """What is to be ticked before it goes on."""
        return iter(())

    def on_mount(self) -> None:
        """Nothing happens by an Enter too many."""
        self.no.focus()
        self.choose_button()
        self.call_after_refresh(self.show)

    def choose_button(self) -> None:
        """Give the keys to another button than Cancel, where that is right."""

    def said(self, width: int) -> Sequence[Line]:
        """The lines above the buttons."""
        return ()

    def obstacle(self) -> str:
        """Why it cannot go on now, "" where it can."""
        return ""

    def show_body(self) -> None:
        """Paint the lines as high as there is room for."""
        lines = self.said(max(20, min(WIDEST, self.size.width) - FRAME_COLUMNS - 1))
        room = self.size.height - FRAME_LINES - len(self.ticks.children)
        set_height(self.text, max(1, min(len(lines), room)))
        self.text.show(lines)
        self.yes.disabled = bool(self.obstacle())

    def action_scroll_lines(self, lines: int) -> None:
        """Scroll what does not fit."""
        self.text.action_go_lines(lines)

    @on(Button.Pressed, "#cancel")
    def action_leave(self) -> None:
        """Do nothing."""
        self.dismiss(False)

    @on(Button.Pressed, "#go-on")
    def action_go_on(self) -> None:
        """Do it, where nothing is in the way."""
        reason = self.obstacle()
        if reason:
            self.notify(reason, severity="warning", timeout=4, markup=False)
            return
        self.carry_out()
        self.dismiss(True)

    def carry_out(self) -> None:
        """What going on means."""


class ChangeDialog(AskDialog):
    """The question before a change of a model; it asks the server itself what the change would do.

    Each thing that would be lost is ticked by name before the change is sent. Where there is
    nothing to warn of, Enter applies; otherwise it cancels.

    Args:
        desk: what every screen works on.
        change: what to carry out.
        preview: what was found out already; `None` asks.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "count", "count", show=False)]

    def __init__(self, desk: Desk, change: ModelChange, preview: Preview | None = None) -> None:
        super().__init__(desk, change_title(change, desk.look), "Apply")
        self._change = change
        self._preview = preview
        self._question = Question(desk)
        self._count = Question(desk)
        self._chosen = False

    def on_mount(self) -> None:
        """Ask what is not known yet; Textual calls the handler of the base as well."""
        if self._preview is None:
            self._question.ask(_question_of(self._change))

    def compose_ticks(self) -> Iterator[Choice]:
        """One for each thing that would be lost."""
        return self._ticks_of(self._preview) if self._preview is not None else iter(())

    def _ticks_of(self, preview: Preview) -> Iterator[Choice]:
        for place, field in enumerate(preview.lost_fields):
            kept, lost = f"keep {self.look.clean(field, 60)}", f"give up {self.look.clean(field, 60)}"
            yield Choice((kept, lost), kept, id=f"lost-{place}")

    def show_body(self) -> None:
        """Take the answer once it is there, and choose the button that Enter is for."""
        if self._preview is None and self._question.preview is not None:
            self._preview = self._question.preview
            ticks = list(self._ticks_of(self._preview))
            if ticks:
                self.ticks.mount_all(ticks)
        if self._preview is not None and self._count.preview is not None:
            self._preview = replace(self._preview, warnings=self._count.preview.warnings, countable=False)
            self._count.forget()
        super().show_body()
        self.choose_button()

    def choose_button(self) -> None:
        """Give the keys to what Enter is for, once, as soon as it is known what the change does."""
        if self._preview is not None and not self._chosen:
            self._chosen = True
            if self._harmless(self._preview):
                self.yes.focus()
            elif self._preview.lost_fields and not self._preview.obstacle:
                self.call_after_refresh(self._focus_first_tick)

    def _focus_first_tick(self) -> None:
        for tick in self.query(Choice):
            tick.focus()
            return

    def _harmless(self, preview: Preview) -> bool:
        return (
            preview.sendable
            and preview.change is not ChangeClass.UNLOAD
            and not preview.lost_fields
            and not preview.warnings
        )

    def said(self, width: int) -> Sequence[Line]:
        """What goes through the model now, and what the change does."""
        lines: list[Line] = []
        server = next((one for one in self.desk.latest.servers if one.name == self._change.server), None)
        if server is not None:
            lines += serving_lines(server, self._change.model, self.desk.latest.traffic, width, self.look)
        if self._preview is not None:
            said = preview_lines(self._preview, width, self.look)
            return [*lines, *said, *counting_lines(self._preview, self._count, width, self.look)]
        failure = self.look.clean(self._question.failure, 600)
        return [*lines, ((failure, "error") if failure else ("asking the server what it would do", "dim"),)]

    def action_count(self) -> None:
        """Count the live sequences that would be lost."""
        if self._preview is not None and self._preview.countable and (not self._count.asked or self._count.failure):
            self._count.ask(PreviewChange(self._change, count_sequences=True))
            self.show()

    def obstacle(self) -> str:
        """What the preview says against it, or what is not ticked yet."""
        preview = self._preview
        if preview is None:
            return self.look.clean(self._question.failure, 300) or "the server has not said yet what it would do"
        if preview.obstacle:
            return self.look.clean(preview.obstacle, 300)
        if preview.change is ChangeClass.NOTHING:
            return "there is nothing to do"
        missing = [field for field, given_up in self._losses(preview) if not given_up]
        return f"give up {self.look.clean(', '.join(missing), 200)} by name first" if missing else ""

    def _losses(self, preview: Preview) -> list[tuple[str, bool]]:
        ticks = [tick for tick in self.query(Choice) if tick.id is not None]
        given_up = {tick.id: tick.value.startswith("give up ") for tick in ticks}
        return [(field, given_up.get(f"lost-{place}", False)) for place, field in enumerate(preview.lost_fields)]

    @on(Choice.Changed)
    def _ticked(self, event: Choice.Changed) -> None:
        event.stop()
        self.show()

    def carry_out(self) -> None:
        """Send it, based on the configuration that was shown."""
        change, preview = self._change, self._preview
        assert preview is not None
        if not isinstance(change, ReloadModel):
            change = replace(change, based_on=change.based_on or preview.pbtxt_before)
        if isinstance(change, EditConfig | LoadModel):
            change = replace(change, confirmed_losses=preview.lost_fields)
        self.desk.submit(change)


def counting_lines(preview: Preview, count: Question, width: int, look: Look) -> list[Line]:
    """What the count of live sequences that would be lost has come to, where it is of use."""
    if not preview.countable:
        return []
    if count.failure:
        return bullet("sequences", LABEL, look.clean(count.failure, 300), width, "warn")
    if count.asked:
        return bullet("sequences", LABEL, look.clean(count.progress, 100) or "counting", width, "accent")
    return bullet("sequences", LABEL, "c counts them; the server logs every request meanwhile", width, "accent")


def _question_of(change: ModelChange) -> PreviewEdit | PreviewChange:
    if isinstance(change, EditConfig):
        return PreviewEdit(change.server, change.model, change.edit)
    return PreviewChange(change)
