"""What the verbs that change a model share: one server, the preview, the question, the change."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tritop.change import ChangeClass, Outcome, Preview
from tritop.cli import arguments, serving
from tritop.cli.text import printable
from tritop.cli.units import parse_seconds
from tritop.cli.waiting import ending_by_signal
from tritop.endpoint import Endpoint
from tritop.errors import OperationFailed, UsageError
from tritop.operation import EditConfig, LoadModel, ModelChange, PreviewChange, ReloadModel

if TYPE_CHECKING:
    from tritop.control.recorded import RecordedControl
    from tritop.control.server import Config
    from tritop.control.situation import Situation
    from tritop.logs import LogChunk

Json = dict[str, object]
T = TypeVar("T")
M = TypeVar("M", bound=ModelChange)

_QUIET_S = 1.0
"""Progress is told from here on; what is over sooner needs none."""
_LINE_S = 5.0
"""Seconds between two lines of progress where they cannot overwrite each other."""


def add_arguments(parser: argparse.ArgumentParser, *, config: bool = True) -> None:
    """The options that every verb which changes a model has.

    Args:
        parser: of the verb.
        config: whether --config is the config file; `tritop load` has another use for it.
    """
    parser.add_argument(
        "-u", "--url", metavar="TARGET", action="append", default=[], help="the server; none: this host"
    )
    group = parser.add_argument_group("change")
    group.add_argument("-n", "--dry-run", action="store_true", help="print what would happen and change nothing")
    group.add_argument("-y", "--yes", action="store_true", help="do not ask")
    group.add_argument(
        "--lose",
        metavar="FIELD",
        action="append",
        default=[],
        help="with --yes: give up this field, or 'ensemble NAME', by name; may be repeated",
    )
    group.add_argument(
        "--count-sequences",
        action="store_true",
        help="where live sequences would be lost, count them; the server logs every request meanwhile",
    )
    group.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    group.add_argument("--server-log", metavar="FILE", help="the server's log, where it is not found by itself")
    group.add_argument("--timeout", metavar="DURATION", help="watch the server instead of the call after, say, 30s")
    group.add_argument(
        "--read-only", "--readonly", dest="read_only", action="store_const", const=True, help="change nothing"
    )
    arguments.add_connection(parser)
    arguments.add_repository(parser)
    if config:
        parser.add_argument("--config", metavar="FILE", help="config file, TOML")


def only_server(namespace: argparse.Namespace) -> Endpoint:
    """The one server that is meant.

    Raises:
        UsageError: there are several; a change goes to one, never to a surprise.
    """
    configuration = serving.configuration_of(namespace)
    endpoints = serving.find_servers(configuration, namespace.url).endpoints
    if len(endpoints) > 1:
        raise UsageError(
            f"a change is for one server, and there are {len(endpoints)}: {', '.join(one.name for one in endpoints)}.",
            f"Choose one: -u {endpoints[0].grpc_address}",
        )
    return endpoints[0]


def change(namespace: argparse.Namespace, make: Callable[[str], ModelChange]) -> int:
    """Preview, ask and carry out what `make` makes for the server of this name; return the exit code."""
    endpoint = only_server(namespace)
    wanted = make(endpoint.name)
    return run_with_control(namespace, endpoint, lambda control: apply(control, wanted, namespace))


def run_with_control(
    namespace: argparse.Namespace, endpoint: Endpoint, do: Callable[[RecordedControl], Coroutine[Any, Any, T]]
) -> T:
    """Run something with a control of a server that writes the ledger, and close its connection in any case."""
    from tritop.control.control import Control
    from tritop.control.ledger import Ledger
    from tritop.control.recorded import RecordedControl

    timeout_s = parse_seconds(namespace.timeout, "--timeout") if namespace.timeout else None

    async def run() -> T:
        bare = Control(endpoint, log_since=_log_since(endpoint, namespace.server_log), load_timeout_s=timeout_s)
        repositories = [Path(folder) for folder in endpoint.repositories]
        control = RecordedControl(endpoint, bare, Ledger(), repositories=repositories)
        try:
            return await do(control)
        finally:
            await control.aclose()

    with ending_by_signal():
        import asyncio

        return asyncio.run(run())


def _log_since(endpoint: Endpoint, path: str | None) -> Callable[[float], Iterable[LogChunk]]:
    """Reads the server's log, which is looked for only once it is wanted."""

    def since(at: float) -> Iterable[LogChunk]:
        from tritop.cli.log_places import log_at
        from tritop.runtimes.log_place import FilePlace

        place = FilePlace(Path(path)) if path else log_at(endpoint)
        return place.log_since(at)

    return since


def show(
    namespace: argparse.Namespace, shown: Callable[[Situation], tuple[Json, str]], endpoint: Endpoint | None = None
) -> int:
    """Print what a model is like now, as JSON or as text; asks the one server that is meant if none is given."""
    endpoint = endpoint or only_server(namespace)
    situation = run_with_control(namespace, endpoint, lambda control: control.look(namespace.model))
    document, text = shown(situation)
    if namespace.json:
        from tritop.cli.output import as_json

        print(as_json(document))
    else:
        print("\n".join(printable(line) for line in text.splitlines()))
    return 0


def config_of(situation: Situation) -> Config:
    """The configuration of a model.

    Raises:
        OperationFailed: it is not loaded, and the server gives none then.
    """
    if situation.current is None:
        raise OperationFailed(
            f"{situation.model} is not loaded, so the server does not say how it is configured.",
            f"Load it: tritop load {situation.model}",
        )
    return situation.current


def read_text(path: str) -> str:
    """A file, or stdin for `-`.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}.") from error


async def apply(control: RecordedControl, wanted: ModelChange, namespace: argparse.Namespace) -> int:
    """Preview a change, ask about it where it may hurt, and carry it out.

    Raises:
        TritopError: it was not carried out; the sentence says why.
    """
    sure = await agreed(control, wanted, namespace)
    if sure is None:
        return 0
    progress = ProgressLine()
    try:
        outcome = await control.perform(sure, progress)
    finally:
        progress.end()
    tell_outcome(outcome, as_json=namespace.json)
    return 0


async def agreed(control: RecordedControl, wanted: M, namespace: argparse.Namespace) -> M | None:
    """Preview a change and have it agreed to.

    Returns:
        The change, based on what was shown and with what is given up for it; `None` where only a
        preview was asked for.

    Raises:
        OperationFailed: it cannot be done, or the operator said no.
        UsageError: nobody can be asked, and the command line does not say it.
    """
    progress = ProgressLine()
    try:
        preview = await control.preview(PreviewChange(wanted, namespace.count_sequences), progress)
    finally:
        progress.end()
    if namespace.dry_run:
        tell_preview(preview, as_json=namespace.json)
    if preview.obstacle:
        raise OperationFailed(f"not sent: {preview.obstacle}")
    if namespace.dry_run:
        return None
    losses = _confirmed_losses(preview, namespace) if preview.sendable else ()
    if isinstance(wanted, ReloadModel):
        return wanted
    based = replace(wanted, based_on=wanted.based_on or preview.pbtxt_before)
    return replace(based, confirmed_losses=losses) if isinstance(based, EditConfig | LoadModel) else based


def tell_preview(preview: Preview, *, as_json: bool) -> None:
    """Print a preview on stdout: it is what was asked for."""
    from tritop.cli.preview_text import preview_document, preview_lines

    if as_json:
        from tritop.cli.output import as_json as encoded

        print(encoded(preview_document(preview)))
    else:
        print("\n".join(preview_lines(preview)))


def tell_outcome(outcome: Outcome, *, as_json: bool) -> None:
    """Print what became of a change: its notes on stderr, the outcome on stdout."""
    if as_json:
        from tritop.cli.output import as_json as encoded
        from tritop.cli.preview_text import outcome_document

        print(encoded(outcome_document(outcome)))
    else:
        print(printable(outcome.text))


def _confirmed_losses(preview: Preview, namespace: argparse.Namespace) -> tuple[str, ...]:
    """What is given up by name, once everything else is agreed to as well.

    Raises:
        UsageError: nobody can be asked, and the command line does not say it.
        OperationFailed: the operator said no.
    """
    given_up = tuple(field.strip() for text in namespace.lose for field in text.split(","))
    lost = [field for field in preview.lost_fields if field not in given_up]
    if not namespace.yes and _needs_question(preview):
        given_up += _ask(preview, lost)
    elif lost:
        options = " ".join(f"--lose '{field}'" if " " in field else f"--lose {field}" for field in lost)
        raise UsageError(f"{preview.model} would lose {', '.join(lost)}.", f"Say that it may: {options}")
    return given_up


def _needs_question(preview: Preview) -> bool:
    """Whether anything that is served now is touched."""
    return preview.change is not ChangeClass.LOAD or bool(preview.warnings)


def _ask(preview: Preview, lost: list[str]) -> tuple[str, ...]:
    from tritop.cli.preview_text import preview_lines

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "nobody can be asked whether to go on: this is no terminal.", "Look with --dry-run, then say --yes."
        )
    print("\n".join(preview_lines(preview)), file=sys.stderr)
    for question in (*(f"Give up {printable(field)}?" for field in lost), "Apply?"):
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise OperationFailed("nothing was changed.")
    return tuple(lost)


class ProgressLine:
    """Tells on stderr how a change that takes over a second comes along."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told_at = float("-inf")
        self._in_place = sys.stderr.isatty()
        self._is_open = False

    def __call__(self, text: str) -> None:
        """Take the newest sentence."""
        now = time.monotonic()
        if now - self._began < _QUIET_S:
            return
        if self._in_place:
            sys.stderr.write(f"\r\x1b[K{printable(text)}")
            self._is_open = True
        elif now - self._told_at >= _LINE_S:
            sys.stderr.write(f"{printable(text)}\n")
            self._told_at = now
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line free for what follows."""
        if self._is_open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
