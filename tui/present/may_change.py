"""Whether a server lets its models be changed, and if not: why, and what to start it with."""

from __future__ import annotations

from tritop.change import Drift, DriftState
from tritop.model import ControlMode, ModelState, ModelVersion, Server, ServerState, Snapshot
from tritop.trial import TrialStatus

__all__ = [
    "change_reason",
    "edit_reason",
    "load_reason",
    "names_mode",
    "open_trial",
    "save_reason",
    "unload_reason",
]

_NO_FOLDER = (DriftState.NOT_HERE, DriftState.AMBIGUOUS, DriftState.UNREADABLE)
_ANSWERING = (ServerState.READY, ServerState.NOT_READY)
_MODES = {
    ControlMode.POLL: "polls its repository: edit config.pbtxt there, which tritop does once --repository says where "
    "that is, or start it with --model-control-mode=explicit",
    ControlMode.NONE: "loads and unloads nothing: start it with --model-control-mode=explicit",
    ControlMode.NONE_OR_POLL: "forbids it (control mode none or poll): edit config.pbtxt in its repository if it "
    "polls, or start it with --model-control-mode=explicit",
}


_FLAG = "--model-control-mode=explicit"


def names_mode(reason: str) -> bool:
    """Whether a reason is the server's control mode."""
    return _FLAG in reason


def change_reason(server: Server | None, read_only: bool) -> str:
    """Why no model of a server can be changed, "" where they can."""
    if server is None:
        return "no server is known yet"
    if read_only or server.read_only:
        return f"{server.name} is watched read-only: start tritop without --read-only to change something"
    if server.state not in _ANSWERING:
        return f"{server.name} does not answer"
    if server.control_mode in _MODES:
        return f"{server.name} {_MODES[server.control_mode]}"
    return ""


def edit_reason(snapshot: Snapshot, server: Server | None, model: ModelVersion | None, read_only: bool) -> str:
    """Why the configuration of a model cannot be edited, on the server or in its file."""
    if model is None:
        return "no model is selected"
    reason = change_reason(server, read_only)
    if reason and not (_is_filed(server, read_only) and _drift_of(snapshot, server, model) is not None):
        return reason
    if model.config is None or not model.config.pbtxt:
        return f"the configuration of {model.name} is not known: it must be loaded to be edited"
    return ""


def _is_filed(server: Server | None, read_only: bool) -> bool:
    """Whether a server reads configurations from its repository only, so that edits are made there."""
    if server is None or read_only or server.read_only or server.state not in _ANSWERING:
        return False
    return server.control_mode in _MODES


def _drift_of(snapshot: Snapshot, server: Server | None, model: ModelVersion) -> Drift | None:
    """What is known of the model's file, `None` where no repository with it is readable from here."""
    name = server.name if server is not None else ""
    found = next((one for one in snapshot.drifts if (one.server, one.model) == (name, model.name)), None)
    return None if found is None or found.state in _NO_FOLDER else found


def load_reason(server: Server | None, model: ModelVersion | None, read_only: bool) -> str:
    """Why a model cannot be loaded or reloaded."""
    if model is None:
        return "no model is selected"
    if model.state in (ModelState.LOADING, ModelState.UNLOADING):
        return f"{model.name} is {str(model.state).lower()}"
    return change_reason(server, read_only)


def unload_reason(server: Server | None, model: ModelVersion | None, read_only: bool) -> str:
    """Why a model cannot be unloaded."""
    if model is None:
        return "no model is selected"
    if model.state not in (ModelState.READY, ModelState.LOADING):
        return f"{model.name} is not loaded"
    return change_reason(server, read_only)


def save_reason(snapshot: Snapshot, server: Server | None, model: ModelVersion | None, read_only: bool) -> str:
    """Why the running configuration cannot be written into its file; the control mode has no say in it."""
    if model is None or server is None:
        return "no model is selected"
    if read_only or server.read_only:
        return f"{server.name} is watched read-only"
    drift = next((one for one in snapshot.drifts if (one.server, one.model) == (server.name, model.name)), None)
    if drift is None:
        return f"the repository of {server.name} cannot be read from here"
    if not drift.diff:
        return drift.text.rstrip(".") or f"{model.name} runs as its file says"
    return ""


def open_trial(snapshot: Snapshot, server: Server | None, model: ModelVersion | None) -> TrialStatus | None:
    """The trial that waits for a decision: that of the selected model, otherwise the newest one."""
    waiting = [trial for trial in snapshot.trials if trial.open]
    here = [
        trial
        for trial in waiting
        if server is not None and model is not None and (trial.server, trial.model) == (server.name, model.name)
    ]
    return max(here or waiting, key=lambda trial: trial.began_at, default=None)
