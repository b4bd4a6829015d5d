"""`tritop demo`: a real Triton, real models and real traffic, brought along and taken away again."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tritop.cli import arguments, serving
from tritop.cli.commands import Command
from tritop.cli.commands.watch import FIRST_INTERVAL_S
from tritop.cli.run import complain
from tritop.model import ServerState, Snapshot, Traffic, TrafficState

TRAFFIC_S = 3.0
"""Seconds of traffic that `--once` waits for, so that its numbers are those of a running server."""
START_TIMEOUT_S = 120.0
"""Bound on starting the server and loading its models on a slow machine."""

_ENDED = (ServerState.FAILED, ServerState.STOPPED)
"""A server that crashed is started again, until that is given up."""


class DemoShown:
    """Tells when the demo has something to show: its traffic has flowed for a while, or it failed."""

    def __init__(self) -> None:
        self._flowing_since: float | None = None

    def __call__(self, snapshot: Snapshot) -> bool:
        """Look at the next Snapshot."""
        if snapshot.bug or any(_reasons(snapshot)):
            return True
        if not any(_flows(snapshot, traffic) for traffic in snapshot.traffic):
            return False
        if self._flowing_since is None:
            self._flowing_since = snapshot.mono
        return snapshot.mono - self._flowing_since >= TRAFFIC_S


def _flows(snapshot: Snapshot, traffic: Traffic) -> bool:
    """Whether the server itself counts the requests of our traffic."""
    return traffic.state is TrafficState.RUNNING and any(
        model.name == traffic.model and (model.requests_per_s or 0.0) > 0.0
        for server in snapshot.servers
        if server.name == traffic.server
        for model in server.models
    )


def judge(snapshot: Snapshot) -> int:
    """0 when the demo runs and its traffic flows; that one model fails to load belongs to it."""
    reasons = list(_reasons(snapshot))
    for reason in reasons:
        complain(reason)
    if reasons:
        return 1
    if not any(_flows(snapshot, traffic) for traffic in snapshot.traffic):
        complain(f"no traffic flowed within {START_TIMEOUT_S:.0f} s.", "The machine may be overloaded: try again.")
        return 1
    return 0


def _reasons(snapshot: Snapshot) -> Iterator[str]:
    """Why the demo cannot go on, in sentences."""
    for server in snapshot.servers:
        if server.state in _ENDED:
            yield (server.launch.explanation if server.launch else "") or f"the server {server.name} is {server.state}."
    for traffic in snapshot.traffic:
        if traffic.state is TrafficState.FAILED:
            yield traffic.fault or f"the traffic to {traffic.model} failed."


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_interval(parser)
    arguments.add_output(parser, stream=True)
    arguments.add_screen(parser)
    arguments.add_general(parser)


def _run(namespace: argparse.Namespace) -> int:
    configuration = serving.configuration_of(namespace)
    screen = serving.wants_screen(namespace)
    from tritop.runtimes.embedded import find_embedded_triton

    find_embedded_triton()
    from tritop.demo.session import demo_session

    session = demo_session(
        interval_s=configuration.interval_s,
        first_interval_s=min(FIRST_INTERVAL_S, configuration.interval_s) if screen else None,
        attended=screen,
    )
    return serving.show(
        session,
        namespace,
        configuration,
        title="demo",
        until=DemoShown(),
        timeout_s=START_TIMEOUT_S,
        judge=judge,
    )


COMMAND = Command(
    name="demo",
    summary="Start a real Triton with real models and traffic, show it, and stop it at the end.",
    add_arguments=_add_arguments,
    run=_run,
)
