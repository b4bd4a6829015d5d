"""What verbs share: find the servers, then show a Session as a screen, a table or JSON."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritop.cli.arguments import flags_of
from tritop.cli.early import EarlySession
from tritop.cli.run import complain
from tritop.cli.waiting import SamplingWindow, await_snapshot, ending_by_signal, running
from tritop.config import Configuration, Resolved, endpoint_of, load, resolve_targets
from tritop.config.endpoints import with_unique_names
from tritop.endpoint import Endpoint, is_loopback
from tritop.errors import Unreachable, UsageError
from tritop.model import Snapshot
from tritop.session import Session
from tritop.target import default_target

if TYPE_CHECKING:
    from tritop.discovery import ServerProcess

READ_TIMEOUT_S = 10.0
"""How much longer than the sampling window `--once` waits for a server that is slow to answer."""


def configuration_of(namespace: argparse.Namespace) -> Configuration:
    """Flags, environment and config file of this run.

    Raises:
        UsageError: one of them cannot be used.
    """
    configuration = load(flags_of(namespace), os.environ, Path.cwd())
    # Asked for all of them at once, so that a wrong one is named even where it would not be used.
    configuration.all_settings()
    return configuration


def find_servers(configuration: Configuration, texts: Sequence[str]) -> Resolved:
    """The servers that were asked for or, if none was, those on this host.

    Raises:
        UsageError: a TARGET cannot be used.
        Unreachable: none was asked for and none is here; the sentence says what was tried.
    """
    if texts:
        resolved = resolve_targets(configuration, texts)
        for note in (*resolved.notes, *_misspelt_verbs(configuration, texts)):
            complain(note)
        return replace(resolved, endpoints=_as_started(resolved.endpoints))
    endpoints, tried = _servers_here(configuration)
    if not endpoints:
        configured = ", ".join(configuration.file.targets)
        raise Unreachable(
            f"no Triton server was found on this host ({'; '.join(tried)}).",
            f"Name one: tritop {configured or 'gpu-box:8001'}"
            + ("" if configured else ", or try tritop demo, which brings its own."),
        )
    return Resolved(_as_started(endpoints))


def _as_started(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Servers of this host, with what their own command lines say where nobody else said anything."""
    from tritop.discovery import running_servers

    if not any(is_loopback(endpoint.host) for endpoint in endpoints):
        return tuple(endpoints)
    known = {one.target.grpc_port: one for one in running_servers(Path("/proc")) if one.same_network}
    return tuple(_completed(endpoint, known.get(endpoint.grpc_port)) for endpoint in endpoints)


def _completed(endpoint: Endpoint, process: ServerProcess | None) -> Endpoint:
    if process is None or not is_loopback(endpoint.host):
        return endpoint
    guessed = endpoint.metrics_url == default_target(endpoint.host, endpoint.grpc_port).metrics_url
    return replace(
        endpoint,
        http_port=process.target.http_port if guessed else endpoint.http_port,
        metrics_url=process.target.metrics_url if guessed else endpoint.metrics_url,
        repositories=endpoint.repositories or process.repositories,
    )


def _servers_here(configuration: Configuration) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
    """The servers on this host by their processes, ports and containers; and what was tried."""
    from tritop.cli.discovering import containers_here
    from tritop.discovery import discover

    found, containers = discover(), containers_here()
    by_process = [endpoint_of(configuration, target, target.name) for target in found.targets]
    read_only = bool(configuration.setting("read_only").value)
    by_container = [replace(endpoint, read_only=read_only) for endpoint in containers.endpoints]
    # A container's ports may be those of this host, and one of them the usual one: each server once.
    by_address = {endpoint.grpc_address: endpoint for endpoint in (*by_process, *by_container)}
    return tuple(with_unique_names(list(by_address.values()))), (*found.tried, containers.tried)


def show(
    session: Session,
    namespace: argparse.Namespace,
    configuration: Configuration,
    *,
    title: str,
    until: Callable[[Snapshot], bool] | None = None,
    timeout_s: float = READ_TIMEOUT_S,
    judge: Callable[[Snapshot], int] | None = None,
    early: bool = False,
) -> int:
    """Run a session in the way that the command line asks for, and return the exit code.

    Args:
        session: not started yet.
        namespace: with `once`, `json` and `ndjson`.
        configuration: for the settings of the screen.
        title: what the screen calls the session.
        until: when `--once` has seen enough; one sampling window of every server by default.
        timeout_s: how much longer than two intervals `--once` waits for that.
        judge: the exit code of `--once` for its Snapshot, by the health of the servers by default.
        early: whether the session begins before the screen is imported, for numbers sooner and a
            screen later.
    """
    if namespace.ndjson:
        return _stream(session, one_line=namespace.once)
    if wants_screen(namespace):
        return draw(session, configuration, title, early=early)
    wait_s = 2 * configuration.interval_s + timeout_s
    snapshot = await_snapshot(session, until or SamplingWindow(), wait_s)
    return print_once(snapshot, as_table=not namespace.json, judge=judge)


def wants_screen(namespace: argparse.Namespace) -> bool:
    """Whether a screen is to be drawn.

    Raises:
        UsageError: it is, and there is no terminal to draw it on.
    """
    if namespace.once or namespace.json or namespace.ndjson:
        return False
    missing = [name for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout)) if not stream.isatty()]
    if missing or os.environ.get("TERM") == "dumb":
        what = f"{missing[0]} is not a terminal" if missing else "this terminal cannot place its cursor (TERM=dumb)"
        raise UsageError(f"{what}, so no screen can be drawn.", "Use --once for a table, --json or --ndjson.")
    return True


def print_once(snapshot: Snapshot | None, *, as_table: bool, judge: Callable[[Snapshot], int] | None = None) -> int:
    """Print one Snapshot on stdout and its faults on stderr; return the exit code."""
    from tritop.cli.output import as_json, exit_code, snapshot_document
    from tritop.cli.table import faults_of, rates_table

    if snapshot is None:
        raise Unreachable("nothing was read in time.", "The host may be overloaded: try a longer --interval.")
    if snapshot.bug:
        sys.stderr.write(snapshot.bug)
        return 1
    print(rates_table(snapshot) if as_table else as_json(snapshot_document(snapshot)), flush=True)
    for sentence, advice in faults_of(snapshot):
        complain(sentence, advice)
    return (judge or exit_code)(snapshot)


def _stream(session: Session, *, one_line: bool) -> int:
    """Print every Snapshot as a line of JSON until the reader or a signal ends it."""
    from tritop.cli.output import as_json, exit_code, snapshot_document

    with running(session) as arrived:
        while True:
            snapshot = arrived.get()
            if snapshot.bug:
                sys.stderr.write(snapshot.bug)
                return 1
            print(as_json(snapshot_document(snapshot)), flush=True)
            if one_line:
                return exit_code(snapshot)


def draw(session: Session, configuration: Configuration, title: str, *, early: bool) -> int:
    """Show a session on the terminal; `early` lets it read while the screen is being imported."""
    settings = configuration.screen(title)
    from tritop.cli.terminal import keep_logging_off_the_screen, prepare_environment

    prepare_environment(settings, os.environ)
    keep_logging_off_the_screen()
    with ending_by_signal():
        begun = EarlySession(session) if early else session
        try:
            from tui.app import run
        except BaseException:
            begun.stop()
            raise
    return run(begun, settings)


def _misspelt_verbs(configuration: Configuration, texts: Sequence[str]) -> list[str]:
    """What to say where a TARGET looks like a verb with a slip in it."""
    import difflib

    from tritop.cli.commands import command_names

    first = texts[0]
    if first in configuration.file.targets or not first.isalpha():
        return []
    near = difflib.get_close_matches(first, command_names(), n=1, cutoff=0.75)
    return [f"{first!r} is taken as the name of a host; the verb is spelled {near[0]!r}."] if near else []
