"""`tritop [TARGET...]`: the screen, a table or JSON of servers that run already."""

from __future__ import annotations

import argparse

from tritop.cli import arguments, serving
from tritop.cli.commands import Command
from tritop.endpoint import Endpoint
from tritop.errors import Unreachable

FIRST_INTERVAL_S = 0.25
"""The screen's second reading comes this soon after its first, so that rates show at once."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_targets(parser)
    arguments.add_connection(parser)
    arguments.add_repository(parser)
    arguments.add_interval(parser)
    arguments.add_output(parser, stream=True)
    arguments.add_screen(parser)
    arguments.add_general(parser)


def _run(namespace: argparse.Namespace) -> int:
    configuration = serving.configuration_of(namespace)
    screen = serving.wants_screen(namespace)
    texts = arguments.target_texts(namespace)
    from tritop.cli.discovering import containers_here, engine_here

    discover = screen and not texts
    endpoints: tuple[Endpoint, ...] = ()
    try:
        endpoints = serving.find_servers(configuration, texts).endpoints
    except Unreachable:
        # Containers that do not run are shown as well, and where there are none the first one can be launched.
        if not (discover and containers_here().answered):
            raise
    if discover:
        # The session finds the containers by itself, those that come later as well.
        theirs = {endpoint.grpc_address for endpoint in containers_here().endpoints}
        endpoints = tuple(endpoint for endpoint in endpoints if endpoint.grpc_address not in theirs)
    from tritop.live import LiveSession
    from tritop.live.gpus import nvml_collector

    interval_s = configuration.interval_s
    session = LiveSession(
        endpoints,
        interval_s=interval_s,
        first_interval_s=min(FIRST_INTERVAL_S, interval_s) if screen else None,
        attended=screen,
        make_gpu_collector=nvml_collector,
        engine=engine_here() if screen or not texts else "",
        discover=discover,
        read_only=bool(configuration.setting("read_only").value),
    )
    title = endpoints[0].name if len(endpoints) == 1 and not discover else ""
    return serving.show(session, namespace, configuration, title=title, early=True)


COMMAND = Command(
    name="watch",
    summary="Watch servers that run already; what tritop does without a verb.",
    description="Watch, steer and run Triton Inference Server from a terminal.",
    usage="tritop [OPTION...] [TARGET...]\n       tritop VERB [OPTION...] ...",
    add_arguments=_add_arguments,
    run=_run,
)
