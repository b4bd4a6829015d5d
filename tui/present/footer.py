"""The last line: the keys that do something right now."""

from __future__ import annotations

from rich.cells import cell_len

from tui.keys import Action, Place, Situation, actions_in
from tui.present.may_change import names_mode
from tui.widgets.lines import Line

__all__ = ["footer_line"]


def footer_line(place: Place, situation: Situation, width: int) -> Line:
    """Keys and labels of the actions, in the table's order; the highest rank goes first where there is no room.

    What the server's control mode forbids stands there in parentheses: its key says why, and what to
    start the server with. What is not possible for any other reason is left out.
    """
    offered: list[tuple[Action, bool]] = []
    for action in actions_in(place):
        reason = action.enabled(situation) if action.footer and action.opens is not place else "not here"
        if not reason or names_mode(reason):
            offered.append((action, not reason))
    while offered and sum(_cells(action, possible) for action, possible in offered) > width:
        # What cannot be done makes room first.
        offered.remove(max(offered, key=lambda one: (not one[1], one[0].footer)))
    spans: list[tuple[str, str]] = []
    for action, possible in offered:
        if possible:
            spans += [(f" {_first_key(action)}", "key"), (f" {action.label} ", "dim")]
        else:
            spans.append((f" ({_first_key(action)} {action.label}) ", "dim"))
    return tuple(spans)


def _first_key(action: Action) -> str:
    return action.key_text.split()[0]


def _cells(action: Action, possible: bool) -> int:
    return cell_len(_first_key(action)) + cell_len(action.label) + (3 if possible else 5)
