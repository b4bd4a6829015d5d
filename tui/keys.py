"""The one table of actions: bindings, footer, palette and help are all made from it.

A new action is one entry here and one `do_<name>` method on the screens (or on the App) that
offer it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from textual.binding import Binding, BindingType

from tui import possible
from tui.situation import Place, Situation

__all__ = ["ACTIONS", "Action", "Group", "Place", "Situation", "action_named", "actions_in", "bindings_for"]


class Group(StrEnum):
    """A section of the help."""

    MOVE = "Move"
    VIEWS = "Views"
    TABLE = "Table"
    LOG = "Log"
    SERVERS = "Servers"
    CHANGE = "Change"
    TRAFFIC = "Traffic"
    READING = "Reading"
    TRITOP = "tritop"


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
    enabled: Callable[[Situation], str] = possible.always
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
_TABLES = frozenset({Place.OVERVIEW, Place.SERVERS})
_RUNNING = frozenset({Place.SERVERS, Place.SERVER})
_WITH_MODEL = frozenset({Place.OVERVIEW, Place.MODEL, Place.CONFIG})
_STEERING = frozenset({Place.OVERVIEW, Place.MODEL})
_SEARCHED = frozenset(
    {Place.LOGS, Place.CONFIG, Place.EVENTS, Place.SERVER, Place.MODEL, Place.GPUS, Place.TRIALS, Place.HELP}
)
_DECIDING = frozenset({Place.OVERVIEW, Place.MODEL, Place.TRIALS})
_LOG = frozenset({Place.LOGS})
_BELOW = _SEARCHED | {Place.SERVERS}

ACTIONS: tuple[Action, ...] = (
    Action("move", ("up", "down"), "move", "move up and down", Group.MOVE, _EVERYWHERE,
           shown_keys="↑ ↓ j k", by_widget=True, palette=False),
    Action("ends", ("g", "G"), "ends", "first and last line", Group.MOVE, _EVERYWHERE,
           shown_keys="g G Home End", by_widget=True, palette=False),
    Action("page", ("pageup", "pagedown"), "page", "one page up and down", Group.MOVE, _EVERYWHERE,
           shown_keys="PgUp PgDn", by_widget=True, palette=False),
    Action("detail", ("d", "enter"), "detail", "everything about the selected model", Group.VIEWS,
           _TABLE, footer=1, shown_keys="Enter d", enabled=possible.needs_model,
           opens=Place.MODEL, on_top=True),
    Action("back", ("escape",), "back", "back to where you came from", Group.VIEWS,
           _BELOW, footer=1, shown_keys="Esc"),
    Action("config_text", ("y",), "config", "the running configuration as text", Group.VIEWS,
           _WITH_MODEL - {Place.CONFIG}, footer=5, enabled=possible.needs_config,
           opens=Place.CONFIG, on_top=True),
    Action("view_overview", ("1",), "overview", "every model of every server", Group.VIEWS, _EVERYWHERE,
           opens=Place.OVERVIEW),
    Action("view_server", ("2",), "server", "the server: sources, launch, extensions, memory", Group.VIEWS,
           _EVERYWHERE, footer=7, enabled=possible.needs_server,
           opens=Place.SERVER),
    Action("view_model", ("3",), "model", "the selected model", Group.VIEWS, _EVERYWHERE, enabled=possible.needs_model,
           opens=Place.MODEL),
    Action("view_config", ("4",), "config", "the configuration of the selected model", Group.VIEWS,
           _EVERYWHERE, enabled=possible.needs_config,
           opens=Place.CONFIG),
    Action("view_events", ("5",), "events", "what happened: loads, reloads, restarts, failures", Group.VIEWS,
           _EVERYWHERE, footer=8,
           opens=Place.EVENTS),
    Action("view_gpus", ("6",), "GPUs", "every GPU: load, memory, heat, errors, and who uses it", Group.VIEWS,
           _EVERYWHERE, footer=9, enabled=possible.needs_gpus,
           opens=Place.GPUS),
    Action("view_servers", ("7",), "servers", "every server: where it runs, what it takes, why it is as it is",
           Group.VIEWS, _EVERYWHERE, footer=8, opens=Place.SERVERS),
    Action("server_detail", ("d", "enter"), "server", "everything about the selected server", Group.VIEWS,
           frozenset({Place.SERVERS}), footer=1, shown_keys="Enter d", enabled=possible.needs_server,
           opens=Place.SERVER, on_top=True),
    Action("logs", ("l",), "log", "the log of the server; once more: its newest lines", Group.VIEWS, _EVERYWHERE,
           footer=5, enabled=possible.needs_server,
           opens=Place.LOGS, on_top=True),
    Action("earlier_log", ("L",), "previous log", "the log of the server's run before this one", Group.VIEWS,
           _EVERYWHERE, enabled=possible.needs_server, palette=False),
    Action("next_model", ("greater_than_sign",), "next", "the next model of the table", Group.VIEWS,
           frozenset({Place.MODEL}), footer=6, shown_keys=">"),
    Action("previous_model", ("less_than_sign",), "previous", "the model before", Group.VIEWS,
           frozenset({Place.MODEL}), footer=6, shown_keys="<"),
    Action("filter", ("slash",), "filter", "only rows that hold a text; ! in front: only rows that do not",
           Group.TABLE, _TABLES, footer=4, shown_keys="/"),
    Action("clear_filter", ("escape",), "all rows", "take the filter away", Group.TABLE, _TABLE,
           shown_keys="Esc", enabled=lambda situation: "" if situation.filtered else "there is no filter"),
    Action("sort", ("s", "f6"), "sort", "choose the column to sort by", Group.TABLE, _TABLES,
           footer=3, shown_keys="s F6"),
    Action("reverse_sort", ("S",), "reverse", "turn the order round", Group.TABLE, _TABLES, shown_keys="S"),
    Action("mark", ("space",), "mark", "mark the row", Group.TABLE, _TABLES, shown_keys="Space"),
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
    Action("new_server", ("n",), "new", "launch a server in a container: a form, and the docker run line",
           Group.SERVERS, _TABLES, footer=5, enabled=possible.may_launch),
    Action("start_server", ("o",), "start", "start the server, or start it now where it waits", Group.SERVERS, _RUNNING,
           footer=2, enabled=possible.may_start),
    Action("stop_server", ("x",), "stop", "stop the server; requests under way are finished", Group.SERVERS, _RUNNING,
           footer=2, enabled=possible.may_stop),
    Action("restart_server", ("R",), "restart", "stop the server and start it again", Group.SERVERS, _RUNNING,
           footer=6, enabled=possible.may_restart),
    Action("remove_server", ("D",), "remove", "remove its container, and its log with it", Group.SERVERS, _RUNNING,
           footer=7, enabled=possible.may_remove),
    Action("shell", ("exclamation_mark",), "shell", "a shell in its container; exit comes back", Group.SERVERS,
           _RUNNING, footer=6, shown_keys="!", enabled=possible.may_enter),
    Action("copy_command", ("c",), "copy", "copy the docker run line that makes the same container", Group.SERVERS,
           _RUNNING, footer=7, enabled=possible.has_command),
    Action("edit_batching", ("e",), "edit", "edit batching, queue and instances; nothing is sent without a preview",
           Group.CHANGE, _WITH_MODEL, footer=2, enabled=possible.may_edit),
    Action("edit_config", ("E",), "edit config", "edit the whole configuration as text", Group.CHANGE, _WITH_MODEL,
           enabled=possible.may_edit),
    Action("unload", ("u",), "unload", "unload the model, or take a version of it out", Group.CHANGE, _STEERING,
           footer=5, enabled=possible.may_unload),
    Action("load", ("o",), "load", "load the model; what is loaded is reloaded where its files are newer",
           Group.CHANGE, _STEERING, footer=6, enabled=possible.may_load),
    Action("versions", ("v",), "versions", "choose the versions that are served", Group.CHANGE, _STEERING,
           footer=6, enabled=possible.may_edit),
    Action("undo", ("z",), "undo", "take the last change back", Group.CHANGE, _DECIDING, footer=7,
           enabled=possible.may_undo),
    Action("save_config", ("w",), "save", "write the running configuration into config.pbtxt", Group.CHANGE,
           _WITH_MODEL, footer=7, enabled=possible.may_save),
    Action("view_trials", ("t",), "trials", "trials: before and after, what would take them back", Group.CHANGE,
           _EVERYWHERE, opens=Place.TRIALS, on_top=True),
    Action("keep_trial", ("K",), "keep", "keep the change that is on trial", Group.CHANGE, _EVERYWHERE, footer=3,
           enabled=possible.may_decide),
    Action("take_back_trial", ("Z",), "take back", "take the change that is on trial back now", Group.CHANGE,
           _EVERYWHERE, footer=3, enabled=possible.may_decide),
    Action("dismiss", ("backspace",), "dismiss", "take what failed off the screen", Group.CHANGE, _EVERYWHERE,
           shown_keys="Bksp", enabled=possible.has_failures),
    Action("traffic", ("b",), "traffic", "start or stop our own traffic to the selected model", Group.TRAFFIC,
           _STEERING, footer=2, enabled=possible.may_send),
    Action("traffic_less", ("left_square_bracket",), "less", "half the traffic", Group.TRAFFIC, _STEERING,
           footer=6, shown_keys="[", enabled=possible.may_change_traffic),
    Action("traffic_more", ("right_square_bracket",), "more", "twice the traffic", Group.TRAFFIC, _STEERING,
           footer=6, shown_keys="]", enabled=possible.may_change_traffic),
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
