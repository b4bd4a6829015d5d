"""What the keys that change models do: each opens its dialog, which sends an Operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tritop.model import ModelState, ModelVersion, Server
from tritop.operation import KeepTrial, LoadModel, ModelChange, ReloadModel, TakeBackTrial, UnloadModel
from tritop.trial import TrialState
from tui.keys import action_named
from tui.present.may_change import open_trial
from tui.screens.base import SnapshotScreen
from tui.screens.confirm import ChangeDialog
from tui.screens.dialogs import ChoiceDialog
from tui.screens.edit_batching import EditBatchingScreen
from tui.screens.edit_text import EditTextScreen
from tui.screens.recorded import SaveDialog, TakeBackDialog, UndoDialog
from tui.screens.versions import VersionsScreen

if TYPE_CHECKING:
    from tui.app import TritopApp

__all__ = ["ModelActions"]

Target = tuple[Server, ModelVersion]


class ModelActions:
    """The actions of `tui.keys.Group.CHANGE`, for the screen in front.

    Args:
        app: whose screens and Session they work on.
    """

    def __init__(self, app: TritopApp) -> None:
        self._app = app
        self._desk = app.desk

    def _targets(self, action: str) -> list[Target]:
        """What is selected or marked, as far as the action is possible for it."""
        screen = self._app.screen
        if not isinstance(screen, SnapshotScreen):
            return []
        enabled = action_named(action).enabled
        return [target for target in screen.targets() if not enabled(self._desk.situation(target))]

    def do_edit_batching(self) -> None:
        """The form."""
        for server, model in self._targets("edit_batching")[:1]:
            assert model.config is not None
            self._app.push_screen(EditBatchingScreen(self._desk, server, model, model.config))

    def do_edit_config(self) -> None:
        """The whole configuration as text."""
        for server, model in self._targets("edit_config")[:1]:
            assert model.config is not None
            self._app.push_screen(EditTextScreen(self._desk, server, model, model.config))

    def do_versions(self) -> None:
        """Which versions are served."""
        for server, model in self._targets("versions")[:1]:
            self._app.push_screen(VersionsScreen(self._desk, server, model))

    def do_load(self) -> None:
        """Load what is not served without a question; ask before what is served is touched."""
        questions: list[Callable[[], None]] = []
        for server, model in _one_each(self._targets("load")):
            ready = _ready(server, model.name)
            if not ready:
                self._desk.submit(LoadModel(server.name, model.name))
            elif model.version in ready:
                questions.append(self._question(ReloadModel(server.name, model.name)))
            else:
                questions.append(self._question(LoadModel(server.name, model.name, model.version)))
        self._in_turn(questions)

    def do_unload(self) -> None:
        """Ask about each model; where several versions are served, ask first which of them is meant."""
        questions: list[Callable[[], None]] = []
        for server, model in _one_each(self._targets("unload")):
            whole = UnloadModel(server.name, model.name)
            one = UnloadModel(server.name, model.name, model.version)
            ready = _ready(server, model.name)
            if len(ready) > 1 and model.version in ready:
                questions.append(self._choice(whole, one, ready))
            else:
                questions.append(self._question(whole))
        self._in_turn(questions)

    def _in_turn(self, questions: Sequence[Callable[[], None]]) -> None:
        """Each dialog lies over the one before it, so the last one that is pushed is answered first."""
        for question in reversed(questions):
            question()

    def _question(self, change: ModelChange) -> Callable[[], None]:
        def ask() -> None:
            self._app.push_screen(ChangeDialog(self._desk, change))

        return ask

    def _choice(self, whole: UnloadModel, one: UnloadModel, ready: Sequence[str]) -> Callable[[], None]:
        name = self._desk.look.clean(whole.model, 60)
        version = self._desk.look.clean(one.version, 12)
        choices = [
            ("one", f"only version {version}; the others stay"),
            ("whole", f"the whole model: versions {self._desk.look.clean(', '.join(ready), 60)}"),
        ]

        def chosen(key: str | None) -> None:
            if key is not None:
                self._question(one if key == "one" else whole)()

        def ask() -> None:
            self._app.push_screen(ChoiceDialog(f"Unload {name}", choices), chosen)

        return ask

    def do_undo(self) -> None:
        """Name the last change and take it back."""
        screen = self._app.screen
        if isinstance(screen, SnapshotScreen):
            situation = screen.situation()
            assert situation.server is not None
            self._app.push_screen(UndoDialog(self._desk, situation.server, situation.model))

    def do_save_config(self) -> None:
        """Write what runs into the file."""
        for server, model in self._targets("save_config")[:1]:
            self._app.push_screen(SaveDialog(self._desk, server, model.name))

    def do_keep_trial(self) -> None:
        """The change stays."""
        trial = open_trial(self._desk.latest, *self._desk.subject())
        if trial is not None:
            self._desk.submit(KeepTrial(trial.server, trial.trial_id))

    def do_take_back_trial(self) -> None:
        """At once while it is watched; with a question where nobody has watched it."""
        trial = open_trial(self._desk.latest, *self._desk.subject())
        if trial is None:
            return
        if trial.state is TrialState.WATCHING:
            self._desk.submit(TakeBackTrial(trial.server, trial.trial_id))
        else:
            self._app.push_screen(TakeBackDialog(self._desk, trial))

    def do_dismiss(self) -> None:
        """What failed was read."""
        self._desk.dismiss_failures()
        if isinstance(self._app.screen, SnapshotScreen):
            self._app.screen.show()


def _ready(server: Server, model: str) -> tuple[str, ...]:
    return tuple(row.version for row in server.models if row.name == model and row.state is ModelState.READY)


def _one_each(targets: Sequence[Target]) -> list[Target]:
    """Each model once, however many of its versions are marked."""
    return list({(server.name, model.name): (server, model) for server, model in reversed(targets)}.values())[::-1]
