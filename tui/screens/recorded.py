"""Questions before what needs the ledger or the repository: undo, a trial that was left open, saving."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual import on

from tritop.model import Event, EventKind, ModelVersion, Server, Snapshot
from tritop.operation import SaveConfig, TakeBackTrial, Undo
from tritop.trial import TrialStatus
from tui.desk import Desk
from tui.format import age_s
from tui.present.change import diff_lines
from tui.present.lines import wrapped
from tui.present.trial import trial_lines
from tui.screens.confirm import AskDialog
from tui.widgets.choice import Choice
from tui.widgets.lines import Line

__all__ = ["SaveDialog", "TakeBackDialog", "UndoDialog", "last_change"]

_CAREFUL = "only if nobody else has changed it since"
_CONFIRMED = "even if somebody else has changed it since"


class _SinceDialog(AskDialog):
    """A question with the choice of going on where somebody else has changed the model since."""

    def compose_ticks(self) -> Iterator[Choice]:
        """Careful is what holds at the beginning."""
        yield Choice((_CAREFUL, _CONFIRMED), _CAREFUL, id="since")

    @property
    def confirmed(self) -> bool:
        """Whether it is to go on all the same."""
        return self.query_one("#since", Choice).value == _CONFIRMED

    @on(Choice.Changed)
    def _ticked(self, event: Choice.Changed) -> None:
        event.stop()


class UndoDialog(_SinceDialog):
    """Names the change that is taken back.

    Args:
        desk: what every screen works on.
        server: on which server.
        model: the selected model, for a change that no event in view tells of.
    """

    def __init__(self, desk: Desk, server: Server, model: ModelVersion | None) -> None:
        self._server = server.name
        self._event = last_change(desk.latest, server.name)
        self._model = self._event.model if self._event is not None else model.name if model is not None else ""
        name = desk.look.clean(self._model, 60)
        super().__init__(desk, f"Undo the last change of {name or desk.look.clean(server.name, 60)}?", "Undo")

    def said(self, width: int) -> Sequence[Line]:
        """What it was, by whom and when."""
        event, look = self._event, self.look
        if event is None:
            return wrapped("The newest change that the ledger can take back.", width)
        ago = age_s(max(0.0, self.desk.latest.at - event.at))
        who = f", by {look.clean(event.who, 60)}" if event.who else ""
        said = look.clean(event.outcome or event.text, 400)
        return [*wrapped(f"{ago} ago{who}: {said}", width), *diff_lines(event.diff, width, look)]

    def carry_out(self) -> None:
        """Ask for it."""
        self.desk.submit(Undo(self._server, self._model, confirmed=self.confirmed))


def last_change(snapshot: Snapshot, server: str) -> Event | None:
    """The newest change that an undo would take back, as far as the events in view tell."""
    for event in reversed(snapshot.events):
        if event.server == server and event.kind is EventKind.UNDONE:
            return None  # which change comes before one that was taken back is only in the ledger
        changed = event.kind in (EventKind.OPERATION, EventKind.TRIAL_KEPT) and event.succeeded and event.diff
        if event.server == server and changed:
            return event
    return None


class TakeBackDialog(_SinceDialog):
    """A trial that nobody watches any more.

    Args:
        desk: what every screen works on.
        trial: which one.
    """

    def __init__(self, desk: Desk, trial: TrialStatus) -> None:
        super().__init__(desk, f"Take the trial of {desk.look.clean(trial.model, 60)} back?", "Take back")
        self._trial = trial

    def said(self, width: int) -> Sequence[Line]:
        """What is known about it."""
        return trial_lines(self._trial, self.desk.latest.at, width, self.look)

    def carry_out(self) -> None:
        """Ask for it."""
        self.desk.submit(TakeBackTrial(self._trial.server, self._trial.trial_id, confirmed=self.confirmed))


class SaveDialog(AskDialog):
    """What is written into which file.

    Args:
        desk: what every screen works on.
        server: on which server.
        model: whose configuration.
    """

    def __init__(self, desk: Desk, server: Server, model: str) -> None:
        super().__init__(desk, f"Write what {desk.look.clean(model, 60)} runs into its file?", "Write")
        self._key = (server.name, model)

    def said(self, width: int) -> Sequence[Line]:
        """The file, and each field that changes in it."""
        drift = next((one for one in self.desk.latest.drifts if (one.server, one.model) == self._key), None)
        if drift is None:
            return wrapped("The file is not known any more.", width, "warn")
        path = wrapped(self.look.clean(drift.path, 400), width, "dim")
        kept = wrapped(
            "The rest of the file stays as it is; a backup is kept in a folder of tritop's own.", width, "dim"
        )
        return [*path, *diff_lines(drift.diff, width, self.look), *kept]

    def carry_out(self) -> None:
        """Ask for it."""
        self.desk.submit(SaveConfig(*self._key))
