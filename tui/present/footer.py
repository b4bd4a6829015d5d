"""The last line: the keys that do something right now."""

from __future__ import annotations

from rich.cells import cell_len

from tui.keys import Action, Place, Situation, actions_in
from tui.widgets.lines import Line

__all__ = ["footer_line"]


def footer_line(place: Place, situation: Situation, width: int) -> Line:
    """Keys and labels of the possible actions, in the table's order; the highest rank goes first."""
    offered = [action for action in actions_in(place) if action.footer and action.opens is not place]
    offered = [action for action in offered if not action.enabled(situation)]
    while offered and sum(_cells(action) for action in offered) > width:
        offered.remove(max(offered, key=lambda action: action.footer))
    spans: list[tuple[str, str]] = []
    for action in offered:
        spans += [(f" {_first_key(action)}", "key"), (f" {action.label} ", "dim")]
    return tuple(spans)


def _first_key(action: Action) -> str:
    return action.key_text.split()[0]


def _cells(action: Action) -> int:
    return cell_len(_first_key(action)) + cell_len(action.label) + 3
