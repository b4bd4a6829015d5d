"""Whether an action is possible now: "" where it is, otherwise the reason why not, as part of a sentence."""

from __future__ import annotations

from tritop.model import ModelState
from tritop.operation import Wish
from tui.present.may_change import (
    change_reason,
    edit_reason,
    load_reason,
    open_trial,
    save_reason,
    unload_reason,
)
from tui.present.may_run import command_reason, launch_reason, shell_reason, steer_reason
from tui.present.traffic import runs
from tui.situation import Situation


def always(situation: Situation) -> str:
    """Nothing is in the way."""
    return ""


def needs_model(situation: Situation) -> str:
    """A model is selected."""
    return "" if situation.model is not None else "no model is selected"


def needs_server(situation: Situation) -> str:
    """A server is known."""
    return "" if situation.server is not None else "no server is known yet"


def needs_gpus(situation: Situation) -> str:
    """A GPU is known, or is looked for."""
    snapshot = situation.snapshot
    known = snapshot.gpus or snapshot.gpu_source is not None
    return "" if known else "no server reports a GPU, and none is on this host"


def needs_config(situation: Situation) -> str:
    """The configuration of the selected model has been read."""
    if situation.model is None:
        return "no model is selected"
    if situation.model.config is None or not situation.model.config.pbtxt:
        return f"the configuration of {situation.model.name} has not been read"
    return ""


def may_send(situation: Situation) -> str:
    """Our traffic may be sent to the selected model."""
    if situation.model is None or situation.server is None:
        return "no model is selected"
    if situation.read_only or situation.server.read_only:
        return f"{situation.server.name} is read-only: traffic would load it"
    if situation.model.state is not ModelState.READY and not runs(situation.traffic):
        return f"{situation.model.name} is not loaded"
    return ""


def may_change_traffic(situation: Situation) -> str:
    """There is traffic of ours to steer."""
    reason = may_send(situation)
    if not reason and situation.model is not None and not runs(situation.traffic):
        return f"no traffic to {situation.model.name}: b starts it"
    return reason


def may_edit(situation: Situation) -> str:
    """The configuration of the selected model may be changed."""
    return edit_reason(situation.snapshot, situation.server, situation.model, situation.read_only)


def may_load(situation: Situation) -> str:
    """The selected model may be loaded."""
    return load_reason(situation.server, situation.model, situation.read_only)


def may_unload(situation: Situation) -> str:
    """The selected model may be unloaded."""
    return unload_reason(situation.server, situation.model, situation.read_only)


def may_undo(situation: Situation) -> str:
    """A change of the server may be taken back."""
    return change_reason(situation.server, situation.read_only)


def may_save(situation: Situation) -> str:
    """The running configuration may be written into its file."""
    return save_reason(situation.snapshot, situation.server, situation.model, situation.read_only)


def may_decide(situation: Situation) -> str:
    """A trial waits for a word."""
    if open_trial(situation.snapshot, situation.server, situation.model) is None:
        return "no trial waits for a decision"
    return change_reason(situation.server, situation.read_only)


def has_failures(situation: Situation) -> str:
    """Something failed that nobody has dismissed."""
    return "" if situation.failures else "nothing has failed"


def may_launch(situation: Situation) -> str:
    """A new server may be launched."""
    return launch_reason(situation.snapshot, situation.read_only)


def may_start(situation: Situation) -> str:
    """The selected server may be started."""
    return _steer(situation, Wish.START)


def may_stop(situation: Situation) -> str:
    """The selected server may be stopped."""
    return _steer(situation, Wish.STOP)


def may_restart(situation: Situation) -> str:
    """The selected server may be restarted."""
    return _steer(situation, Wish.RESTART)


def may_remove(situation: Situation) -> str:
    """The container of the selected server may be removed."""
    return _steer(situation, Wish.REMOVE)


def _steer(situation: Situation, wish: Wish) -> str:
    return steer_reason(situation.snapshot, situation.server, wish, situation.read_only)


def may_enter(situation: Situation) -> str:
    """A shell may be opened in the container of the selected server."""
    return shell_reason(situation.snapshot, situation.server, situation.read_only)


def has_command(situation: Situation) -> str:
    """The command line of the selected server is known."""
    return command_reason(situation.server)
