"""The one table of actions: bindings, footer, palette and help are all made from it.

A new action is one entry here and one `do_<name>` method on the screens (or on the App) that
offer it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from textual.binding import Binding, BindingType

from tritop.model import EMPTY_SNAPSHOT, ModelState, ModelVersion, Server, Snapshot, Traffic
from tui.present.may_change import (
    change_reason,
    edit_reason,
    load_reason,
    open_trial,
    save_reason,
    unload_reason,
)
from tui.present.traffic import runs

__all__ = ["ACTIONS", "Action", "Group", "Place", "Situation", "action_named", "actions_in", "bindings_for"]


class Place(StrEnum):
    """A screen that can offer an action; its value is the title of the screen."""

    EVERYWHERE = "everywhere"
    OVERVIEW = "overview"
    SERVER = "server"
    MODEL = "model"
    CONFIG = "config"
    EVENTS = "events"
    GPUS = "gpus"
    LOGS = "log"
    TRIALS = "trials"
    HELP = "help"


class Group(StrEnum):
    """A section of the help."""

    MOVE = "Move"
    VIEWS = "Views"
    TABLE = "Table"
    LOG = "Log"
    CHANGE = "Change"
    TRAFFIC = "Traffic"
    READING = "Reading"
    TRITOP = "tritop"


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides which actions are possible right now."""

    snapshot: Snapshot = EMPTY_SNAPSHOT
    server: Server | None = None
    model: ModelVersion | None = None
    traffic: Traffic | None = None
    """Our traffic to the selected model, stopped or not."""
    read_only: bool = False
    filtered: bool = False
    paused: bool = False
    failures: bool = False
    """Whether an operation failed that nobody has dismissed yet."""


def _always(situation: Situation) -> str:
    return ""


def _needs_model(situation: Situation) -> str:
    return "" if situation.model is not None else "no model is selected"


def _needs_server(situation: Situation) -> str:
    return "" if situation.server is not None else "no server is known yet"


def _needs_gpus(situation: Situation) -> str:
    snapshot = situation.snapshot
    known = snapshot.gpus or snapshot.gpu_source is not None
    return "" if known else "no server reports a GPU, and none is on this host"


def _needs_config(situation: Situation) -> str:
    if situation.model is None:
        return "no model is selected"
    if situation.model.config is None or not situation.model.config.pbtxt:
        return f"the configuration of {situation.model.name} has not been read"
    return ""


def _may_load(situation: Situation) -> str:
    if situation.model is None or situation.server is None:
        return "no model is selected"
    if situation.read_only or situation.server.read_only:
        return f"{situation.server.name} is read-only: traffic would load it"
    if situation.model.state is not ModelState.READY and not runs(situation.traffic):
        return f"{situation.model.name} is not loaded"
    return ""


def _may_steer(situation: Situation) -> str:
    reason = _may_load(situation)
    if not reason and situation.model is not None and not runs(situation.traffic):
        return f"no traffic to {situation.model.name}: b starts it"
    return reason


def _may_edit(situation: Situation) -> str:
    return edit_reason(situation.server, situation.model, situation.read_only)


def _may_load_model(situation: Situation) -> str:
    return load_reason(situation.server, situation.model, situation.read_only)


def _may_unload(situation: Situation) -> str:
    return unload_reason(situation.server, situation.model, situation.read_only)


def _may_undo(situation: Situation) -> str:
    return change_reason(situation.server, situation.read_only)


def _may_save(situation: Situation) -> str:
    return save_reason(situation.snapshot, situation.server, situation.model, situation.read_only)


def _may_decide(situation: Situation) -> str:
    if open_trial(situation.snapshot, situation.server, situation.model) is None:
        return "no trial waits for a decision"
    return change_reason(situation.server, situation.read_only)


def _has_failures(situation: Situation) -> str:
    return "" if situation.failures else "nothing has failed"


@dataclass(frozen=True, slots=True)
class Action:
    """Something the operator can do by a key or from the palette."""

    name: str
    """The method `do_<name>` does it."""
    keys: tuple[str, ...]
    """Textual's key names; the first one is shown."""
    label: str
    """One or two words for the footer."""
    help: str
    """What it does, for help and palette."""
    group: Group
    places: frozenset[Place]
    footer: int = 0
    """Rank in the footer, 1 is dropped last; 0 is never in the footer."""
    shown_keys: str = ""
    """How the keys are written where Textual's names are no use to people."""
    enabled: Callable[[Situation], str] = _always
    """"" when possible, otherwise the reason why not, as part of a sentence."""
    by_widget: bool = False
    """The focused widget binds the keys itself; listed for the help only."""
    palette: bool = True
    opens: Place | None = None
    """The action is to show this screen; no method is needed."""
    on_top: bool = False
    """`opens` over the screen in front, so that Esc returns to it."""

    @property
    def key_text(self) -> str:
        """The keys for people, such as `? F1`."""
        return self.shown_keys or " ".join(self.keys)


_EVERYWHERE = frozenset({Place.EVERYWHERE})
_TABLE = frozenset({Place.OVERVIEW})
_WITH_MODEL = frozenset({Place.OVERVIEW, Place.MODEL, Place.CONFIG})
_STEERING = frozenset({Place.OVERVIEW, Place.MODEL})
_SEARCHED = frozenset(
    {Place.LOGS, Place.CONFIG, Place.EVENTS, Place.SERVER, Place.MODEL, Place.GPUS, Place.TRIALS, Place.HELP}
)
_DECIDING = frozenset({Place.OVERVIEW, Place.MODEL, Place.TRIALS})
_LOG = frozenset({Place.LOGS})
_BELOW = frozenset(
    {Place.LOGS, Place.SERVER, Place.MODEL, Place.CONFIG, Place.EVENTS, Place.GPUS, Place.TRIALS, Place.HELP}
)

ACTIONS: tuple[Action, ...] = (
    Action("move", ("up", "down"), "move", "move up and down", Group.MOVE, _EVERYWHERE,
           shown_keys="↑ ↓ j k", by_widget=True, palette=False),
    Action("ends", ("g", "G"), "ends", "first and last line", Group.MOVE, _EVERYWHERE,
           shown_keys="g G Home End", by_widget=True, palette=False),
    Action("page", ("pageup", "pagedown"), "page", "one page up and down", Group.MOVE, _EVERYWHERE,
           shown_keys="PgUp PgDn", by_widget=True, palette=False),
    Action("detail", ("d", "enter"), "detail", "everything about the selected model", Group.VIEWS,
           _TABLE, footer=1, shown_keys="Enter d", enabled=_needs_model,
           opens=Place.MODEL, on_top=True),
    Action("back", ("escape",), "back", "back to where you came from", Group.VIEWS,
           _BELOW, footer=1, shown_keys="Esc"),
    Action("config_text", ("y",), "config", "the running configuration as text", Group.VIEWS,
           _WITH_MODEL - {Place.CONFIG}, footer=5, enabled=_needs_config,
           opens=Place.CONFIG, on_top=True),
    Action("view_overview", ("1",), "overview", "every model of every server", Group.VIEWS, _EVERYWHERE,
           opens=Place.OVERVIEW),
    Action("view_server", ("2",), "server", "the server: sources, launch, extensions, memory", Group.VIEWS,
           _EVERYWHERE, footer=7, enabled=_needs_server,
           opens=Place.SERVER),
    Action("view_model", ("3",), "model", "the selected model", Group.VIEWS, _EVERYWHERE, enabled=_needs_model,
           opens=Place.MODEL),
    Action("view_config", ("4",), "config", "the configuration of the selected model", Group.VIEWS,
           _EVERYWHERE, enabled=_needs_config,
           opens=Place.CONFIG),
    Action("view_events", ("5",), "events", "what happened: loads, reloads, restarts, failures", Group.VIEWS,
           _EVERYWHERE, footer=8,
           opens=Place.EVENTS),
    Action("view_gpus", ("6",), "GPUs", "every GPU: load, memory, heat, errors, and who uses it", Group.VIEWS,
           _EVERYWHERE, footer=9, enabled=_needs_gpus,
           opens=Place.GPUS),
    Action("logs", ("l",), "log", "the log of the server; once more: its newest lines", Group.VIEWS, _EVERYWHERE,
           footer=5, enabled=_needs_server,
           opens=Place.LOGS, on_top=True),
    Action("earlier_log", ("L",), "previous log", "the log of the server's run before this one", Group.VIEWS,
           _EVERYWHERE, enabled=_needs_server, palette=False),
    Action("next_model", ("greater_than_sign",), "next", "the next model of the table", Group.VIEWS,
           frozenset({Place.MODEL}), footer=6, shown_keys=">"),
    Action("previous_model", ("less_than_sign",), "previous", "the model before", Group.VIEWS,
           frozenset({Place.MODEL}), footer=6, shown_keys="<"),
    Action("filter", ("slash",), "filter", "only rows that hold a text; ! in front: only rows that do not",
           Group.TABLE, _TABLE, footer=4, shown_keys="/"),
    Action("clear_filter", ("escape",), "all rows", "take the filter away", Group.TABLE, _TABLE,
           shown_keys="Esc", enabled=lambda situation: "" if situation.filtered else "there is no filter"),
    Action("sort", ("s", "f6"), "sort", "choose the column to sort by", Group.TABLE, _TABLE,
           footer=3, shown_keys="s F6"),
    Action("reverse_sort", ("S",), "reverse", "turn the order round", Group.TABLE, _TABLE, shown_keys="S"),
    Action("mark", ("space",), "mark", "mark the row", Group.TABLE, _TABLE, shown_keys="Space"),
    Action("search", ("slash",), "search", "find a text on this page; n and N go on", Group.TABLE, _SEARCHED,
           footer=3, shown_keys="/"),
    Action("next_hit", ("n",), "next", "next hit of the search", Group.TABLE, _SEARCHED, palette=False),
    Action("previous_hit", ("N",), "previous", "previous hit of the search", Group.TABLE, _SEARCHED, palette=False),
    Action("newest_log", ("l",), "newest", "follow the newest lines, of every run", Group.LOG, _LOG, footer=4),
    Action("previous_log", ("L",), "previous run", "only the run before the one that is shown", Group.LOG, _LOG,
           footer=6),
    Action("filter_log", ("f", "ampersand"), "filter", "only entries that hold a text; ! in front: that do not",
           Group.LOG, _LOG, footer=3, shown_keys="f &"),
    Action("log_model", ("m",), "model", "only entries that name a model", Group.LOG, _LOG, footer=5),
    Action("next_error", ("e",), "error", "next error; from the end of the log the newest", Group.LOG, _LOG, footer=2),
    Action("previous_error", ("E",), "error before", "the error before", Group.LOG, _LOG),
    Action("wrap", ("w",), "wrap", "wrap long lines, or move them by the arrow keys", Group.LOG, _LOG, footer=6),
    Action("save_log", ("ctrl+s",), "save", "write what is shown to a file", Group.LOG, _LOG, footer=7,
           shown_keys="^S"),
    Action("edit_batching", ("e",), "edit", "edit batching, queue and instances; nothing is sent without a preview",
           Group.CHANGE, _WITH_MODEL, footer=2, enabled=_may_edit),
    Action("edit_config", ("E",), "edit config", "edit the whole configuration as text", Group.CHANGE, _WITH_MODEL,
           enabled=_may_edit),
    Action("unload", ("u",), "unload", "unload the model, or take a version of it out", Group.CHANGE, _STEERING,
           footer=5, enabled=_may_unload),
    Action("load", ("o",), "load", "load the model; what is loaded is reloaded where its files are newer",
           Group.CHANGE, _STEERING, footer=6, enabled=_may_load_model),
    Action("versions", ("v",), "versions", "choose the versions that are served", Group.CHANGE, _STEERING,
           footer=6, enabled=_may_edit),
    Action("undo", ("z",), "undo", "take the last change back", Group.CHANGE, _DECIDING, footer=7, enabled=_may_undo),
    Action("save_config", ("w",), "save", "write the running configuration into config.pbtxt", Group.CHANGE,
           _WITH_MODEL, footer=7, enabled=_may_save),
    Action("view_trials", ("t",), "trials", "trials: before and after, what would take them back", Group.CHANGE,
           _EVERYWHERE, opens=Place.TRIALS, on_top=True),
    Action("keep_trial", ("K",), "keep", "keep the change that is on trial", Group.CHANGE, _EVERYWHERE, footer=3,
           enabled=_may_decide),
    Action("take_back_trial", ("Z",), "take back", "take the change that is on trial back now", Group.CHANGE,
           _EVERYWHERE, footer=3, enabled=_may_decide),
    Action("dismiss", ("backspace",), "dismiss", "take what failed off the screen", Group.CHANGE, _EVERYWHERE,
           shown_keys="Bksp", enabled=_has_failures),
    Action("traffic", ("b",), "traffic", "start or stop our own traffic to the selected model", Group.TRAFFIC,
           _STEERING, footer=2, enabled=_may_load),
    Action("traffic_less", ("left_square_bracket",), "less", "half the traffic", Group.TRAFFIC, _STEERING,
           footer=6, shown_keys="[", enabled=_may_steer),
    Action("traffic_more", ("right_square_bracket",), "more", "twice the traffic", Group.TRAFFIC, _STEERING,
           footer=6, shown_keys="]", enabled=_may_steer),
    Action("pause", ("p",), "pause", "hold the picture; reading goes on", Group.READING, _EVERYWHERE, footer=9),
    Action("slower", ("plus",), "slower", "longer interval between readings", Group.READING, _EVERYWHERE,
           shown_keys="+"),
    Action("faster", ("minus",), "faster", "shorter interval between readings", Group.READING, _EVERYWHERE,
           shown_keys="-"),
    Action("read_now", ("ctrl+r", "f5"), "read now", "read every source at once", Group.READING, _EVERYWHERE,
           shown_keys="^R F5"),
    Action("help", ("question_mark", "f1"), "help", "this page", Group.TRITOP, _EVERYWHERE,
           footer=1, shown_keys="? F1",
           opens=Place.HELP, on_top=True),
    Action("palette", ("colon", "ctrl+p"), "command", "every action and every model, by typing",
           Group.TRITOP, _EVERYWHERE, shown_keys=": ^P", palette=False),
    Action("theme", (), "theme", "choose the colours", Group.TRITOP, _EVERYWHERE, shown_keys="in :"),
    Action("suspend", ("ctrl+z",), "suspend", "to the shell and back with fg", Group.TRITOP, _EVERYWHERE,
           shown_keys="^Z", palette=False),
    Action("quit", ("q",), "quit", "end tritop; what it started ends with it", Group.TRITOP, _EVERYWHERE,
           footer=1, shown_keys="q ^C"),
)  # fmt: skip
"""Every action, in the order of the help."""


def actions_in(place: Place) -> tuple[Action, ...]:
    """Actions that a screen offers, those of every screen included; help has no screen below it."""
    return tuple(action for action in ACTIONS if action.places & {place, Place.EVERYWHERE})


def action_named(name: str) -> Action:
    """The action of that name.

    Raises:
        KeyError: there is none.
    """
    return _BY_NAME[name]


_BY_NAME = {action.name: action for action in ACTIONS}


def bindings_for(place: Place) -> list[BindingType]:
    """Textual's bindings for the actions of one screen, or of the App for `Place.EVERYWHERE`."""
    return [
        Binding(key, f"do({action.name!r})", action.label, show=False, id=f"{place}.{action.name}.{key}")
        for action in ACTIONS
        if place in action.places and not action.by_widget
        for key in action.keys
    ]
