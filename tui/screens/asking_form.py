"""What every form does: ask what the typed values would do as they are typed, and go on with the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Input

from tritop.change import Preview
from tritop.operation import ModelChange, PreviewChange, PreviewEdit
from tui.asking import Asked, Question
from tui.desk import Desk
from tui.screens.confirm import ChangeDialog
from tui.screens.live_dialog import LiveDialog, ResultT

__all__ = ["AskingForm", "ModelForm"]

AnswerT = TypeVar("AnswerT")

ASK_AFTER_S = 0.15
"""The server is asked once nothing was typed for so long."""


class AskingForm(LiveDialog[ResultT | None], Generic[ResultT, AnswerT]):
    """A form over the whole screen.

    Args:
        desk: what every screen works on.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "apply", "apply", show=False),
        Binding("escape", "leave", "back", show=False),
        Binding("pageup", "scroll_answer(-5)", show=False),
        Binding("pagedown", "scroll_answer(5)", show=False),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.question = Question(desk)
        self._timer: Timer | None = None
        self._when_answered: Callable[[AnswerT], None] | None = None

    def wanted(self) -> Asked | None:
        """What to ask about what is typed; `None` where it cannot be used or changes nothing."""
        raise NotImplementedError

    def answered(self) -> AnswerT | None:
        """The answer to it, `None` while there is none."""
        raise NotImplementedError

    def accept(self, answer: AnswerT) -> None:
        """Go on with what is typed."""
        raise NotImplementedError

    def complain(self) -> None:
        """Say why there is nothing to go on with."""
        raise NotImplementedError

    def typed(self) -> None:
        """Something else was typed: an answer to what was there before is no answer any more."""
        self.question.forget()
        self._when_answered = None
        if self._timer is not None:
            self._timer.stop()
        if self.wanted() is not None:
            self._timer = self.set_timer(ASK_AFTER_S, self._ask)
        self.show()

    def _ask(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        wanted = self.wanted()
        if wanted is not None:
            self.question.ask(wanted)
            self.show()

    def show_body(self) -> None:
        """Go on with what waited for the answer."""
        answer = self.answered()
        if answer is not None and self._when_answered is not None:
            go_on, self._when_answered = self._when_answered, None
            go_on(answer)

    def take_typed(self) -> None:
        """Read the fields: a key may come before the message that tells what was typed ahead of it."""

    def go_on(self, do: Callable[[AnswerT], None]) -> None:
        """Do something with the answer to what is typed now, as soon as it is there."""
        if not self.is_current:  # typed ahead of the dialog that is open by now
            return
        self.take_typed()
        answer = self.answered()
        if self.wanted() is None:
            self.complain()
        elif answer is not None:
            do(answer)
        else:
            self._when_answered = do
            if not self.question.asked or self.question.failure:
                self._ask()

    def action_apply(self) -> None:
        """Go on as soon as the answer is there."""
        self.go_on(self.accept)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_apply()

    def action_scroll_answer(self, lines: int) -> None:
        """Scroll the answer."""

    def action_leave(self) -> None:
        """Send nothing."""
        self.dismiss(None)

    def on_unmount(self, event: events.Unmount) -> None:
        """Nobody waits any more."""
        self._when_answered = None


class ModelForm(AskingForm[None, Preview]):
    """A form that changes a model; nothing is sent before the dialog that follows."""

    def wanted(self) -> PreviewEdit | PreviewChange | None:
        """What to ask about what is typed; `None` where it cannot be used or changes nothing."""
        raise NotImplementedError

    def change(self) -> ModelChange:
        """What to send for what is typed."""
        raise NotImplementedError

    def answered(self) -> Preview | None:
        """What the server says that the change would do."""
        return self.question.preview

    def complain(self) -> None:
        """Say why what is typed cannot be applied."""
        self.notify("nothing differs from what runs", severity="warning", timeout=4, markup=False)

    def accept(self, answer: Preview) -> None:
        """Ask once more, then send it."""
        self.app.push_screen(ChangeDialog(self.desk, self.change(), answer), self.sent)

    def sent(self, sent: bool | None) -> None:
        """Leave once it is on its way."""
        if sent:
            self.dismiss(None)
