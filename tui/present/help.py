"""The help: the table of actions, and what the numbers mean."""

from __future__ import annotations

from tui.format import fit
from tui.keys import ACTIONS, Group, Place
from tui.present.lines import Section, bullet, in_columns
from tui.present.look import Look
from tui.widgets.lines import Line

__all__ = ["help_lines"]

_WORDS = (
    ("REQ/s", "requests that succeeded, per second, over the last interval"),
    ("FAIL/s", "requests that failed; a request refused by a full queue may be in no counter of Triton"),
    ("BATCH", "inferences in one execution, on average"),
    ("QUEUE", "mean time a request waits before its execution"),
    ("COMPUTE", "mean time of compute input, infer and output together"),
    ("P99", "99 of 100 requests are faster; the heading says who measured it: 60s (the server, over 60 s), "
            "hist (from a histogram), cli (our own traffic); q, h, c behind a number where they differ"),
    ("PEND", "requests that wait now"),
    ("BUSY", "share of the instances' time spent executing"),
    ("TREND", "requests/s over the last minute"),
    ("TRAFFIC", "our own: ×8 keeps 8 requests in flight, 200/s is a schedule; ! means that the client is the limit"),
    ("WHY", "the one thing that explains a slow or failing model, with the numbers that say so"),
    ("--", "unknown; never the same as 0"),
)  # fmt: skip


def help_lines(width: int, look: Look) -> list[Line]:
    """The page: keys on the left, words on the right where there is room."""
    columns = 2 if width >= 100 else 1
    cells = width // columns
    body = cells - 3 if columns > 1 else cells
    keys = [_keys(group, body, look) for group in Group]
    words = [_words(body, look), _states(body, look)]
    groups = [keys, words] if columns == 2 else [keys + words]
    return in_columns(groups, [cells, width - cells] if columns == 2 else [width], ascii=look.ascii)


def _keys(group: Group, width: int, look: Look) -> Section:
    lines: list[Line] = []
    for action in ACTIONS:
        if action.group is not group:
            continue
        text = action.help + _where(action.places)
        keys = action.key_text.replace("↑", "up").replace("↓", "down") if look.ascii else action.key_text
        body = bullet("", 13, text, width)
        lines.append(((fit(keys, 13) + " ", "key"), *body[0][1:]))
        lines += body[1:]
    return Section(str(group), tuple(lines))


def _where(places: frozenset[Place]) -> str:
    if Place.EVERYWHERE in places or Place.OVERVIEW in places:
        return ""
    return f" (in {', '.join(sorted(str(place) for place in places if place is not Place.HELP))})"


def _words(width: int, look: Look) -> Section:
    lines = [line for word, text in _WORDS for line in bullet(word, 9, look.clean(text), width)]
    return Section("What the numbers mean", tuple(lines))


def _states(width: int, look: Look) -> Section:
    signs = look.glyphs
    pairs = (
        (signs.ready, "ready"),
        (signs.loading, "loading, starting, connecting"),
        (signs.unloading, "unloading, stopping"),
        (signs.unloaded, "unloaded, stopped, off"),
        (signs.failed, "failed, crashed, unreachable"),
        (signs.stale, "does not answer; its numbers are old"),
        (signs.unknown, "unknown"),
    )
    return Section("Signs", tuple(line for sign, text in pairs for line in bullet(sign, 9, text, width)))
