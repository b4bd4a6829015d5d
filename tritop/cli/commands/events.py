"""`tritop events`: what was done to servers and what happened to them, from the ledger."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from tritop.cli import arguments
from tritop.cli.commands import Command
from tritop.cli.interrupted import settle
from tritop.cli.run import complain
from tritop.cli.text import printable
from tritop.cli.units import parse_seconds
from tritop.cli.waiting import ending_by_signal
from tritop.endpoint import place_of
from tritop.errors import UsageError

if TYPE_CHECKING:
    from tritop.control.entry import Entry

_FOLLOW_S = 0.25
"""How often --follow looks for new entries."""

_DESCRIPTION = """What was done to servers and what happened to them, oldest first, as the ledger has it.

The ledger is one file for all tritops of a user; tritop events --path prints where it is. The servers of
changes whose tritop was killed are looked at, to say what became of them."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-s", "--server", metavar="SERVER", help="only this server: its name, or host:port")
    parser.add_argument("-m", "--model", metavar="MODEL", help="only this model")
    parser.add_argument(
        "--since", metavar="WHEN", help="only later than: 10m, 2h, 3d ago, or a time such as 2026-03-01T09:30"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is added, until interrupted")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with the whole configurations")
    parser.add_argument("--path", action="store_true", help="print where the ledger is")
    arguments.add_general(parser)


def _run(namespace: argparse.Namespace) -> int:
    from tritop.control.ledger import Ledger, Tail

    ledger = Ledger()
    if namespace.path:
        print(ledger.path)
        return 0
    since = _since(namespace.since, time.time()) if namespace.since else 0.0
    settle(namespace, ledger)
    with ending_by_signal():
        tail = Tail(ledger)
        shown = _show(tail.new_entries(), namespace, since)
        if not shown and not namespace.follow:
            complain("the ledger has no such event.", f"It is {ledger.path}.")
        while namespace.follow:
            time.sleep(_FOLLOW_S)
            _show(tail.new_entries(), namespace, since)
    return 0


def _show(entries: Iterable[Entry], namespace: argparse.Namespace, since: float) -> int:
    """Print the entries that were asked for, and return how many they were."""
    shown = 0
    for entry in entries:
        if entry.at < since or namespace.model not in {None, entry.model}:
            continue
        wanted = namespace.server
        if wanted not in {None, entry.server} and place_of(wanted) != entry.endpoint:
            continue
        print(_json_line(entry) if namespace.json else _text(entry), flush=True)
        shown += 1
    return shown


def _json_line(entry: Entry) -> str:
    from tritop.cli.output import as_json, iso8601

    author = entry.author
    return as_json(
        {
            "id": entry.id,
            "at": iso8601(entry.at),
            "kind": entry.kind.value,
            "server": entry.server,
            "endpoint": entry.endpoint,
            "model": entry.model,
            "version": entry.version,
            "who": entry.who or None,
            "pid": author.pid if author else None,
            "action": entry.action,
            "text": entry.text,
            "diff": [{"path": one.path, "before": one.before, "after": one.after} for one in entry.diff],
            "config_before": entry.pbtxt_before or None,
            "config_after": entry.pbtxt_after or None,
            "versions_before": list(entry.versions_before),
            "versions_after": list(entry.versions_after),
            "outcome": entry.outcome,
            "succeeded": entry.succeeded,
            "duration_s": entry.duration_s,
            "trial_s": entry.trial_s,
            "refers_to": entry.refers_to or None,
        }
    )


def _text(entry: Entry) -> str:
    """One line: when, where, what, who, and what became of it."""
    when = datetime.fromtimestamp(entry.at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    model = f"{entry.model} {entry.version}".strip()
    kind = f"{entry.kind} failed" if entry.succeeded is False else str(entry.kind)
    words = (when, entry.server or entry.endpoint, kind, model, entry.who, _became(entry))
    return "  ".join(printable(word) for word in words if word)


def _became(entry: Entry) -> str:
    """What became of it or, where that is not known, how far it is."""
    from tritop.control.author import is_running
    from tritop.control.interrupted import is_open

    if not is_open(entry):
        return entry.outcome or entry.text
    assert entry.author is not None
    if is_running(entry.author) is not False:
        return f"{entry.text}: under way"
    return (
        f"{entry.text}: interrupted, and not known to be in force; a tritop that watches {entry.server} will find out"
    )


def _since(text: str, now: float) -> float:
    """A point in time [s since the epoch] from how long ago it was, or from a local time.

    Raises:
        UsageError: it is neither.
    """
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        pass
    for unit, seconds in (("d", 86_400.0), ("h", 3_600.0), ("m", 60.0)):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdecimal():
            return now - float(number) * seconds
    try:
        return now - parse_seconds(text, "--since")
    except UsageError as error:
        raise UsageError(
            f"--since {text!r} is no point in time.", "Say how long ago, as 30s, 10m, 2h or 3d, or 2026-03-01T09:30."
        ) from error


COMMAND = Command(
    name="events",
    summary="List what was done to servers and what happened to them.",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
